"""/v2.1/os-simple-tenant-usage"""

from typing import Any

from pileus.compute.api.queries import MOST, check_names, read_page
from pileus.compute.schemas.quotas import show_usage
from pileus.compute.service import usage
from pileus.compute.service.usage import Report
from pileus.kernel.http import Call, Route
from pileus.kernel.paging import Page, next_link


def index(call: Call) -> Any:
    check_names(call, "start", "end", "detailed", "limit", "marker")
    found, page = _report(call, None)
    shown = _show(call, found, call.query.get("detailed") == "1")
    return _with_link(call, {"tenant_usages": shown}, "tenant_usages_links", found, page)


def show(call: Call) -> Any:
    check_names(call, "start", "end", "limit", "marker")
    found, page = _report(call, call.path["project_id"])
    shown = _show(call, found, detailed=True)
    return _with_link(call, {"tenant_usage": shown[0] if shown else {}}, "tenant_usage_links", found, page)


def _report(call: Call, project_id: str | None) -> tuple[Report, Page]:
    page = read_page(call) if call.since("2.40") else Page(MOST)
    return usage.report(call.ctx, call.query.get("start"), call.query.get("end"), page, project_id), page


def _show(call: Call, found: Report, detailed: bool) -> list[dict[str, Any]]:
    return show_usage(list(found.spans), found.start, found.stop, call.cloud.clock.now(), detailed)


def _with_link(call: Call, answer: dict[str, Any], name: str, found: Report, page: Page) -> dict[str, Any]:
    if call.since("2.40") and found.spans and len(found.spans) == page.limit:
        answer[name] = [{"rel": "next", "href": next_link(call.path_url, call.query.pairs, found.spans[-1].id)}]
    return answer


routes = (
    Route("GET", "/v2.1/os-simple-tenant-usage", index),
    Route("GET", "/v2.1/os-simple-tenant-usage/{project_id}", show),
)
