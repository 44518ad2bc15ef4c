"""/v2.1/os-hosts, until microversion 2.42, and /v2.1/os-server-external-events"""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.compute.schemas.servers import check_uuid
from pileus.compute.service import events, old_hosts
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Answer, Call, Route

LAST = "2.42"
Switch = Annotated[str, Meta(pattern=r"^\s*(?i:enable|disable)\s*$(?!\n)")]


class Update(Struct, forbid_unknown_fields=True):
    """PUT /os-hosts/{host}: at least one of them."""

    status: Switch | UnsetType = UNSET
    maintenance_mode: Switch | UnsetType = UNSET


class Event(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Something that happened to a server outside of compute."""

    name: str
    server_uuid: str
    status: str | UnsetType = UNSET
    tag: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET


class Events(Struct, forbid_unknown_fields=True):
    """POST /os-server-external-events."""

    events: Annotated[list[Event], Meta(min_length=1)]


def index(call: Call) -> Any:
    """List what runs on which host."""
    return {"hosts": old_hosts.list_hosts(call.ctx, call.query.get("zone") or "")}


def show(call: Call) -> Any:
    """Show what a host has and who uses it."""
    return {"host": [{"resource": found} for found in old_hosts.show(call.ctx, call.path["host"])]}


def _read(switch: str | UnsetType) -> bool | None:
    return None if switch is UNSET else switch.strip().lower() == "enable"


def update(call: Call) -> Any:
    """Let a host take servers, or not."""
    enabled, maintenance = _read(call.body.status), _read(call.body.maintenance_mode)
    if enabled is None and maintenance is None:
        raise BadRequest("Invalid input for field/attribute body: it needs status or maintenance_mode.")
    old_hosts.update(call.ctx, call.path["host"], enabled, maintenance)
    return {"host": call.path["host"], "status": "enabled" if enabled else "disabled"}


def _power(rule: str) -> Any:
    def handler(call: Call) -> None:
        old_hosts.refuse_power(call.ctx, call.path["host"], rule)

    handler.__doc__ = f"Ask a host to {rule}: refused, as no one here has its switch."
    return handler


def report_events(call: Call) -> Answer:
    """Take news of servers from other services."""
    names = events.known(call.version)
    for event in call.body.events:
        check_uuid("server_uuid", event.server_uuid)
        if event.name not in names:
            raise BadRequest(f"Invalid input for field/attribute name. Value: {event.name}. It is not one of {list(names)}")
        if event.status is not UNSET and event.status not in events.STATUSES:
            raise BadRequest(f"Invalid input for field/attribute status. Value: {event.status}.")
    told = [(event.name, event.server_uuid, None if event.tag is UNSET else event.tag) for event in call.body.events]
    codes = events.report(call.ctx, told)
    shown = []
    for event, code in zip(call.body.events, codes, strict=True):
        given = {"name": event.name, "server_uuid": event.server_uuid}
        given |= {} if event.tag is UNSET else {"tag": event.tag}
        shown.append({**given, "status": "completed" if code == 200 else "failed", "code": code})
    return Answer({"events": shown}, status=200 if set(codes) == {200} else 207)


ONE = "/v2.1/os-hosts/{host}"
RULE = "os_compute_api:os-hosts:"
BAD = (401, 403, 404, 501)

routes = (
    Route("GET", "/v2.1/os-hosts", index, rule=RULE + "list", until=LAST),
    Route("GET", ONE, show, rule=RULE + "show", until=LAST),
    Route("PUT", ONE, update, body=Update, rule=RULE + "update", until=LAST, errors=(400, *BAD)),
    Route("GET", ONE + "/startup", _power("start"), rule=RULE + "start", until=LAST, errors=BAD),
    Route("GET", ONE + "/shutdown", _power("shutdown"), rule=RULE + "shutdown", until=LAST, errors=BAD),
    Route("GET", ONE + "/reboot", _power("reboot"), rule=RULE + "reboot", until=LAST, errors=BAD),
    Route("POST", "/v2.1/os-server-external-events", report_events, body=Events, errors=(400, 401, 403),
          rule="os_compute_api:os-server-external-events:create"),
)  # fmt: skip
