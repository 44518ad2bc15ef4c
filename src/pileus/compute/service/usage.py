"""What projects have used of the cloud over a time."""

from dataclasses import dataclass

from pileus.compute.policies.quotas import USAGE
from pileus.compute.store import usage as store
from pileus.compute.store.usage import Span
from pileus.kernel import clock
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest
from pileus.kernel.paging import Page


@dataclass(frozen=True, slots=True)
class Report:
    """The lives of servers that fall into a time, in seconds since the epoch."""

    start: float
    stop: float
    spans: tuple[Span, ...]


def report(ctx: Context, start: str | None, stop: str | None, page: Page, project_id: str | None = None) -> Report:
    """Return a page of the lives of servers, of one project or (None) of all.

    :param start: ISO 8601, UTC; so is stop.  Not given: now.
    :raises BadRequest: when a time cannot be read, or start is not before stop.
    """
    if project_id is None:
        ctx.require(USAGE + "list")
    else:
        ctx.require(USAGE + "show", {"project_id": project_id})
    now = ctx.cloud.clock.now()
    begin, end = _read(start, now), _read(stop, now)
    if begin >= end:
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    end = min(end, now)
    with ctx.cloud.db.read() as tx:
        return Report(begin, end, tuple(store.spans(tx, begin, end, project_id, page)))


def _read(text: str | None, now: float) -> float:
    if not text:
        return now
    try:
        if "T" not in text and "." not in text:
            raise ValueError(text)
        return clock.from_iso(text)
    except (ValueError, OverflowError):
        raise BadRequest("Datetime is in invalid format") from None
