"""What projects have used of the cloud over a time."""

from pileus.compute.policies.quotas import USAGE
from pileus.compute.store import usage as store
from pileus.compute.store.usage import Span
from pileus.kernel.context import Context
from pileus.kernel.paging import Page


def list_spans(ctx: Context, start: float, stop: float, page: Page) -> list[Span]:
    """Return a page of the lives of all projects' servers."""
    ctx.require(USAGE + "list")
    with ctx.cloud.db.read() as tx:
        return list(store.spans(tx, start, stop, None, page))


def spans_of(ctx: Context, project_id: str, start: float, stop: float, page: Page) -> list[Span]:
    """Return a page of the lives of one project's servers."""
    ctx.require(USAGE + "show", {"project_id": project_id})
    with ctx.cloud.db.read() as tx:
        return list(store.spans(tx, start, stop, project_id, page))
