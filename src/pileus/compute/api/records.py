"""/v2.1/os-migrations, /v2.1/extensions, /v2.1/os-instance_usage_audit_log"""

import datetime
from typing import Any

from pileus.compute.api.queries import check_names, read_page
from pileus.compute.schemas.fields import show_time
from pileus.compute.service import records
from pileus.compute.store.migrations import Search
from pileus.kernel import clock
from pileus.kernel.errors import BadRequest, NotFound
from pileus.kernel.http import Call, Route
from pileus.kernel.paging import Page, next_link

MIGRATION_FILTERS = (
    "hidden", "host", "instance_uuid", "source_compute", "status", "migration_type", "limit", "marker", "changes-since",
    "changes-before", "user_id", "project_id",
)  # fmt: skip


TYPE = "resize"


def list_migrations(call: Call) -> Any:
    check_names(call, *MIGRATION_FILTERS, since="2.59")
    page, since, before = Page(), None, None
    if call.since("2.59"):
        page = read_page(call)
        since, before = _time(call.query.get("changes-since")), _time(call.query.get("changes-before"))
    project_id = call.query.get("project_id")
    others = project_id not in (None, call.ctx.project_id) or call.ctx.is_admin
    names = {"host": "host", "source_compute": "host", "instance_uuid": "server_id", "status": "status"}
    names |= {"user_id": "user_id", "project_id": "project_id"} if call.since("2.80") else {}
    exact = {column: value for name, column in names.items() if (value := call.query.get(name))}
    if not others:
        exact["project_id"] = call.ctx.project_id
    by_host = "host" in call.query or "source_compute" in call.query
    found = records.list_migrations(call.ctx, Search(exact, since, before, page.limit, page.marker), others, by_host)
    kept = [_migration(call, row) for row in found if call.query.get("migration_type") in (None, "", TYPE)]
    body: dict[str, Any] = {"migrations": kept}
    if found and page.limit is not None and len(found) == page.limit:
        body["migrations_links"] = [{"rel": "next", "href": next_link(call.path_url, call.query.pairs, found[-1].uuid)}]
    return body


def _migration(call: Call, row: Any) -> dict[str, Any]:
    shown = {
        "id": row.id, "instance_uuid": row.server_id, "status": row.status, "source_compute": row.host, "dest_compute": row.host,
        "source_node": row.host, "dest_node": row.host, "dest_host": None, "old_instance_type_id": row.old_flavor,
        "new_instance_type_id": row.new_flavor, "created_at": show_time(row.created_at), "updated_at": show_time(row.updated_at),
    }  # fmt: skip
    shown |= {"migration_type": TYPE} if call.since("2.23") else {}
    shown |= {"uuid": row.uuid} if call.since("2.59") else {}
    return shown | ({"user_id": row.user_id, "project_id": row.project_id} if call.since("2.80") else {})


def _time(text: str | None) -> float | None:
    try:
        return clock.from_iso(text) if text else None
    except (ValueError, OverflowError):
        raise BadRequest(f"Invalid input for query parameters. Value: {text}. It is not a date-time.") from None


def list_extensions(call: Call) -> Any:
    return {"extensions": [_show(alias, name) for alias, name in sorted(records.list_extensions(call.ctx).items())]}


def show_extension(call: Call) -> Any:
    alias = call.path["alias"]
    found = records.list_extensions(call.ctx)
    if alias not in found:
        raise NotFound("The resource could not be found.")
    return {"extension": _show(alias, found[alias])}


def _show(alias: str, name: str) -> dict[str, Any]:
    facts = {"alias": alias, "name": name, "description": "", "links": [], "updated": "2014-12-03T00:00:00Z"}
    return {**facts, "namespace": "http://docs.openstack.org/compute/ext/fake_xml"}


def list_audits(call: Call) -> Any:
    hosts = records.audited_hosts(call.ctx, "list")
    return {"instance_usage_audit_logs": _audit(hosts, call.cloud.clock.now())}


def show_audit(call: Call) -> Any:
    text = call.path["before_timestamp"]
    try:
        before = clock.from_iso(text.replace(" ", "T", 1))
    except (ValueError, OverflowError):
        raise BadRequest(f"Invalid timestamp for date {text}") from None
    return {"instance_usage_audit_log": _audit(records.audited_hosts(call.ctx, "show"), before)}


def _audit(hosts: list[str], before: float) -> dict[str, Any]:
    """The month that ended last before a time."""
    moment = datetime.datetime.fromtimestamp(before, datetime.UTC)
    end = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = (end - datetime.timedelta(days=1)).replace(day=1)
    none = {"num_hosts_done": 0, "num_hosts_running": 0, "total_instances": 0, "total_errors": 0, "log": {}}
    return {
        **none,
        "num_hosts": len(hosts),
        "num_hosts_not_run": len(hosts),
        "hosts_not_run": hosts,
        "overall_status": f"0 of {len(hosts)} hosts done. 0 errors.",
        "period_beginning": start.strftime("%Y-%m-%d %H:%M:%S"),
        "period_ending": end.strftime("%Y-%m-%d %H:%M:%S"),
    }


AUDIT = "/v2.1/os-instance_usage_audit_log"

routes = (
    Route("GET", "/v2.1/os-migrations", list_migrations),
    Route("GET", "/v2.1/extensions", list_extensions),
    Route("GET", "/v2.1/extensions/{alias}", show_extension),
    Route("GET", AUDIT, list_audits),
    Route("GET", AUDIT + "/{before_timestamp}", show_audit),
)
