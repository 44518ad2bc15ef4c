"""/v3/attachments"""

from typing import Any

from msgspec import UNSET

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route
from pileus.volume.api.queries import cut, fits, read_cut
from pileus.volume.api.volume_queries import given_filters
from pileus.volume.schemas import attachments as schemas
from pileus.volume.schemas.fields import read_uuid
from pileus.volume.service import attachments as service
from pileus.volume.service import connections

FILTERS = {"volume_id": "volume_id", "instance_id": "server_id", "status": "status", "attach_status": "status"}
SORTED_BY = {name: lambda row, name=name: getattr(row, name) for name in ("id", "created_at", "status", "volume_id")}


def _found(call: Call) -> Any:
    wanted = read_cut(call)
    given = given_filters(call, set(FILTERS))
    exact = {FILTERS[name]: value for name, value in given.items() if name in FILTERS}
    like = {FILTERS[name[:-1]] + "~": value for name, value in given.items() if name.endswith("~") and name[:-1] in FILTERS}
    if len(exact) + len(like) < len(given) or (like and not call.since("3.34")):
        return []
    found = service.list_all(call.ctx, exact, all_projects="all_tenants" in call.query)
    return cut([row for row in found if fits(row, like)], wanted, SORTED_BY)


def index(call: Call) -> Any:
    """List attachments with few words."""
    return {"attachments": [schemas.show_brief(row) for row in _found(call)]}


def detail(call: Call) -> Any:
    """List attachments."""
    rows = _found(call)
    told = connections.describe(call.ctx, rows)
    return {"attachments": [schemas.show(row, told[row.id]) for row in rows]}


def _show(call: Call, row: Any) -> Any:
    return {"attachment": schemas.show(row, connections.describe(call.ctx, [row])[row.id])}


def show(call: Call) -> Any:
    """Show an attachment."""
    return _show(call, service.show(call.ctx, call.path["attachment_id"]))


def create(call: Call) -> Any:
    """Keep a volume for someone, and make it reachable if a connector is given."""
    body = call.body.attachment
    if body.mode is not UNSET and not call.since("3.54"):
        raise BadRequest("Additional properties are not allowed ('mode' was unexpected)")
    server_id = None if body.instance_uuid is UNSET else read_uuid(body.instance_uuid, "instance_uuid")
    volume_id = read_uuid(body.volume_uuid, "volume_uuid")
    mode = "" if body.mode is UNSET else body.mode
    return _show(call, service.create(call.ctx, volume_id, server_id, body.connector or None, mode))


def update(call: Call) -> Any:
    """Make a volume that is kept reachable for a host."""
    return _show(call, service.update(call.ctx, call.path["attachment_id"], call.body.attachment.connector))


def complete(call: Call) -> None:
    """Say that a volume is in use."""
    service.complete(call.ctx, call.path["attachment_id"])


def delete(call: Call) -> Any:
    """Let go of a volume."""
    return {"attachments": [schemas.show_brief(row) for row in service.delete(call.ctx, call.path["attachment_id"])]}


ROOT, ONE = "/v3/attachments", "/v3/attachments/{attachment_id}"
ERRORS = (400, 401, 403, 404, 409, 503)

routes = (
    Route("GET", ROOT, index, since="3.27", rule="volume:get_all"),
    Route("POST", ROOT, create, schemas.Create, since="3.27", rule="volume:attachment_create", errors=ERRORS),
    Route("GET", ROOT + "/detail", detail, since="3.27", rule="volume:get_all"),
    Route("GET", ONE, show, since="3.27", rule="volume:get"),
    Route("PUT", ONE, update, schemas.Update, since="3.27", rule="volume:attachment_update", errors=ERRORS),
    Route("DELETE", ONE, delete, since="3.27", rule="volume:attachment_delete", errors=ERRORS),
    Route(
        "POST", ONE + "/action", complete, schemas.Complete, since="3.44", status=204, rule="volume:attachment_complete",
        errors=ERRORS,
    ),
)  # fmt: skip
