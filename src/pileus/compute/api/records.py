"""/v2.1/os-migrations, /v2.1/extensions, /v2.1/os-instance_usage_audit_log"""

import datetime
from typing import Any

from pileus.compute.api.queries import check_names, read_page
from pileus.compute.service import records
from pileus.kernel import clock
from pileus.kernel.errors import BadRequest, NotFound
from pileus.kernel.http import Call, Route

MIGRATION_FILTERS = (
    "hidden", "host", "instance_uuid", "source_compute", "status", "migration_type", "limit", "marker", "changes-since",
    "changes-before", "user_id", "project_id",
)  # fmt: skip


def list_migrations(call: Call) -> Any:
    check_names(call, *MIGRATION_FILTERS, since="2.59")
    if call.since("2.59"):
        page = read_page(call)
        if page.marker:
            raise BadRequest(f"Marker {page.marker} could not be found.")
        for name in ("changes-since", "changes-before"):
            _check_time(call.query.get(name))
    project_id = call.query.get("project_id")
    others = project_id not in (None, call.ctx.project_id) or call.ctx.is_admin
    by_host = "host" in call.query or "source_compute" in call.query
    return {"migrations": records.list_migrations(call.ctx, others, by_host)}


def _check_time(text: str | None) -> None:
    try:
        clock.from_iso(text or "2000-01-01")
    except ValueError:
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
