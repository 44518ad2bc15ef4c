"""/v2.1/os-migrations, /v2.1/extensions, /v2.1/os-instance_usage_audit_log"""

import datetime
from typing import Any

from pileus.compute.api.queries import check_names, links, read_page
from pileus.compute.schemas.fields import show_time
from pileus.compute.service import records
from pileus.compute.store import migrations
from pileus.compute.store.migrations import Search
from pileus.kernel import clock
from pileus.kernel.errors import BadRequest, NotFound
from pileus.kernel.http import Call, Route
from pileus.kernel.paging import Page, next_link

MIGRATION_FILTERS = {"hidden", "host", "instance_uuid", "source_compute", "status", "migration_type"}
PAGED = MIGRATION_FILTERS | {"limit", "marker", "changes-since"}
COLUMNS = {"source_compute": "host", "instance_uuid": "server_id", "status": "status", "migration_type": "migration_type"}
OWNERS = {"user_id": "user_id", "project_id": "project_id"}
LINKED = {"queued", "preparing", "running", "post-migrating"}


def list_migrations(call: Call) -> Any:
    page, since, before, names, columns = Page(), None, None, MIGRATION_FILTERS, dict(COLUMNS)
    if call.since("2.59"):
        page, since, names = read_page(call), _time(call.query.get("changes-since")), PAGED
    if call.since("2.66"):
        before, names = _time(call.query.get("changes-before")), names | {"changes-before"}
    if call.since("2.80"):
        names, columns = names | set(OWNERS), columns | OWNERS
    check_names(call, *names, since="2.59")
    if since is not None and before is not None and since > before:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    project_id = call.query.get("project_id") if call.since("2.80") else None
    others = project_id not in (None, call.ctx.project_id) or call.ctx.is_admin
    exact = {column: value for name, column in columns.items() if (value := call.query.get(name))}
    if not others:
        exact["project_id"] = call.ctx.project_id
    by_host = "host" in call.query or "source_compute" in call.query
    wanted = Search(exact, since, before, page.limit, page.marker, call.query.get("host") or None)
    found = records.list_migrations(call.ctx, wanted, others, by_host)
    body: dict[str, Any] = {"migrations": [_migration(call, row) for row in found]}
    if found and page.limit is not None and len(found) == page.limit:
        body["migrations_links"] = [{"rel": "next", "href": next_link(call.path_url, call.query.pairs, found[-1].uuid)}]
    return body


def _migration(call: Call, row: Any) -> dict[str, Any]:
    dest = row.dest_compute or (row.host if row.migration_type == migrations.RESIZE else None)
    shown = {
        "id": row.id, "instance_uuid": row.server_id, "status": row.status, "source_compute": row.host, "dest_compute": dest,
        "source_node": row.host, "dest_node": dest, "dest_host": row.dest_host, "old_instance_type_id": row.old_flavor,
        "new_instance_type_id": row.new_flavor, "created_at": show_time(row.created_at), "updated_at": show_time(row.updated_at),
    }  # fmt: skip
    if call.since("2.23"):
        shown["migration_type"] = row.migration_type
        if row.migration_type == migrations.LIVE and row.status in LINKED:
            shown["links"] = links(call, f"servers/{row.server_id}/migrations", str(row.id))
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
