"""/v2.1/os-services"""

from typing import Any

from msgspec import UNSET

from pileus.compute.api.queries import check_names
from pileus.compute.schemas import hosts as schemas
from pileus.compute.schemas.fields import read_bool
from pileus.compute.service import hosts
from pileus.kernel import ids
from pileus.kernel.errors import BadRequest, NotFound
from pileus.kernel.http import Call, Route


def index(call: Call) -> Any:
    check_names(call, "host", "binary")
    found = hosts.list_services(call.ctx, call.query.get("host") or "", call.query.get("binary") or "")
    now = call.cloud.clock.now()
    return {"services": [schemas.show_service(host, call.version, now) for host in found]}


def act(call: Call) -> Any:
    """enable, disable, disable-log-reason and force-down, as before 2.53."""
    body, action = call.body, call.path["service_id"]
    shown: dict[str, Any] = {"host": body.host, "binary": body.binary}
    values: dict[str, Any]
    if action == "force-down" and call.since("2.11"):
        if body.forced_down is UNSET:
            raise BadRequest("Missing forced_down field")
        values = {"forced_down": read_bool(body.forced_down)}
        shown |= values
    elif action == "enable":
        values = {"disabled": False, "disabled_reason": None}
        shown["status"] = "enabled"
    elif action in ("disable", "disable-log-reason"):
        reason = None if body.disabled_reason is UNSET or action == "disable" else body.disabled_reason
        if action == "disable-log-reason" and reason is None:
            raise BadRequest("Missing disabled reason field")
        values = {"disabled": True, "disabled_reason": reason}
        shown |= {"status": "disabled", **({"disabled_reason": reason} if reason else {})}
    else:
        raise NotFound("Unknown action")
    hosts.update_by_name(call.ctx, body.host, body.binary, **values)
    return {"service": shown}


def update(call: Call) -> Any:
    body, service_uuid = call.body, _uuid(call.path["service_id"])
    values: dict[str, Any] = {}
    if body.disabled_reason is not UNSET and body.status != "disabled":
        raise BadRequest("Specifying disabled_reason requires that status is 'disabled'.")
    if body.status is not UNSET:
        reason = None if body.disabled_reason is UNSET else body.disabled_reason
        values = {"disabled": body.status == "disabled", "disabled_reason": reason}
    if body.forced_down is not UNSET:
        values["forced_down"] = read_bool(body.forced_down)
    if not values:
        raise BadRequest("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    host = hosts.update_by_id(call.ctx, service_uuid, **values)
    return {"service": schemas.show_service(host, call.version, call.cloud.clock.now())}


def delete(call: Call) -> None:
    text = call.path["service_id"]
    if call.since("2.53"):
        hosts.delete_service(call.ctx, service_uuid=_uuid(text))
    elif text.isascii() and text.isdecimal():
        hosts.delete_service(call.ctx, id=min(int(text), 2**31 - 1))
    else:
        raise BadRequest("Invalid input received: id must be an integer")


def _uuid(text: str) -> str:
    if not ids.is_uuid(text):
        raise BadRequest(f"Invalid uuid {text}")
    return text


SERVICE = "/v2.1/os-services/{service_id}"

routes = (
    Route("GET", "/v2.1/os-services", index),
    Route("PUT", SERVICE, act, schemas.UpdateByName, until="2.10"),
    Route("PUT", SERVICE, act, schemas.UpdateByName211, since="2.11", until="2.52"),
    Route("PUT", SERVICE, update, schemas.UpdateById, since="2.53"),
    Route("DELETE", SERVICE, delete, status=204, errors=(400, 401, 403, 404, 409)),
)
