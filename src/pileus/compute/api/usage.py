"""/v2.1/os-simple-tenant-usage"""

from typing import Any

from pileus.compute.api.queries import check_names, read_page
from pileus.compute.schemas import quotas as schemas
from pileus.compute.service import usage
from pileus.compute.store.usage import Span
from pileus.kernel import clock
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route
from pileus.kernel.paging import Page, next_link


def index(call: Call) -> Any:
    check_names(call, "start", "end", "detailed", "limit", "marker")
    start, stop, page = *_period(call), _page(call)
    spans = usage.list_spans(call.ctx, start, stop, page)
    detailed = call.query.get("detailed") == "1"
    shown = schemas.show_usage(spans, start, stop, call.cloud.clock.now(), detailed)
    return _with_link(call, {"tenant_usages": shown}, "tenant_usages_links", spans, page)


def show(call: Call) -> Any:
    check_names(call, "start", "end", "limit", "marker")
    start, stop, page = *_period(call), _page(call)
    spans = usage.spans_of(call.ctx, call.path["project_id"], start, stop, page)
    shown = schemas.show_usage(spans, start, stop, call.cloud.clock.now(), detailed=True)
    return _with_link(call, {"tenant_usage": shown[0] if shown else {}}, "tenant_usage_links", spans, page)


def _page(call: Call) -> Page:
    return read_page(call) if call.since("2.40") else Page(1000)


def _with_link(call: Call, answer: dict[str, Any], name: str, spans: list[Span], page: Page) -> dict[str, Any]:
    if call.since("2.40") and spans and len(spans) == page.limit:
        answer[name] = [{"rel": "next", "href": next_link(call.path_url, call.query.pairs, spans[-1].id)}]
    return answer


def _period(call: Call) -> tuple[float, float]:
    now = call.cloud.clock.now()
    start, stop = (_time(call.query.get(name), now) for name in ("start", "end"))
    if start >= stop:
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    return start, min(stop, now)


def _time(text: str | None, now: float) -> float:
    if not text:
        return now
    try:
        if "T" not in text and "." not in text:
            raise ValueError(text)
        return clock.from_iso(text)
    except (ValueError, OverflowError):
        raise BadRequest("Datetime is in invalid format") from None


routes = (
    Route("GET", "/v2.1/os-simple-tenant-usage", index),
    Route("GET", "/v2.1/os-simple-tenant-usage/{project_id}", show),
)
