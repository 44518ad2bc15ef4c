"""/v3/group_types"""

from typing import Any

from pileus.kernel.errors import NotFound
from pileus.kernel.http import Call, Route
from pileus.volume.api.queries import cut, next_links, read_cut, read_public
from pileus.volume.schemas import groups as schemas
from pileus.volume.service import group_types
from pileus.volume.store.group_types import GroupType

SINCE = "3.11"
ERRORS = (400, 401, 403, 404, 409)
SORT_KEYS = {
    "id": lambda kind: kind.id, "name": lambda kind: kind.name, "created_at": lambda kind: kind.created_at,
    "updated_at": lambda kind: kind.updated_at, "description": lambda kind: kind.description,
    "is_public": lambda kind: kind.is_public,
}  # fmt: skip


def index(call: Call) -> Any:
    wanted = read_cut(call)
    is_public = read_public(call.query.get("is_public")) if call.ctx.is_admin else True
    part = cut(group_types.list_all(call.ctx, is_public), wanted, SORT_KEYS)
    with_specs = group_types.sees_specs(call.ctx)
    answer: dict[str, Any] = {"group_types": [schemas.show_type(kind, with_specs) for kind in part]}
    if links := next_links(call, wanted, [kind.id for kind in part]):
        answer["group_type_links"] = links
    return answer


def show(call: Call) -> Any:
    return _shown(call, group_types.get(call.ctx, call.path["group_type_id"]))


def show_default(call: Call) -> Any:
    raise NotFound("Default group type can not be found.")  # groups always name their type


def create(call: Call) -> Any:
    return _shown(call, group_types.create(call.ctx, schemas.read_type(call.body)))


def update(call: Call) -> Any:
    return _shown(call, group_types.update(call.ctx, call.path["group_type_id"], schemas.read_type_changes(call.body)))


def delete(call: Call) -> None:
    group_types.delete(call.ctx, call.path["group_type_id"])


def list_specs(call: Call) -> Any:
    return {"group_specs": group_types.list_specs(call.ctx, call.path["group_type_id"])}


def show_spec(call: Call) -> Any:
    key = call.path["key"]
    return {key: group_types.get_spec(call.ctx, call.path["group_type_id"], key)}


def create_specs(call: Call) -> Any:
    group_types.set_specs(call.ctx, call.path["group_type_id"], call.body.group_specs)
    return {"group_specs": call.body.group_specs}


def update_spec(call: Call) -> Any:
    specs = call.body
    call.require_one(specs)
    group_types.set_specs(call.ctx, call.path["group_type_id"], specs, "update")
    return specs


def delete_spec(call: Call) -> None:
    group_types.delete_spec(call.ctx, call.path["group_type_id"], call.path["key"])


def _shown(call: Call, kind: GroupType) -> Any:
    return {"group_type": schemas.show_type(kind, group_types.sees_specs(call.ctx))}


ONE = "/v3/group_types/{group_type_id}"
SPECS = ONE + "/group_specs"

routes = (
    Route("GET", "/v3/group_types", index, since=SINCE),
    Route("POST", "/v3/group_types", create, schemas.CreateType, status=202, since=SINCE, errors=ERRORS),
    Route("GET", "/v3/group_types/default", show_default, since=SINCE),
    Route("GET", ONE, show, since=SINCE),
    Route("PUT", ONE, update, schemas.UpdateType, since=SINCE, errors=ERRORS),
    Route("DELETE", ONE, delete, status=202, since=SINCE),
    Route("GET", SPECS, list_specs, since=SINCE),
    Route("POST", SPECS, create_specs, schemas.CreateSpecs, status=202, since=SINCE),
    Route("GET", SPECS + "/{key}", show_spec, since=SINCE),
    Route("PUT", SPECS + "/{key}", update_spec, schemas.Specs, since=SINCE),
    Route("DELETE", SPECS + "/{key}", delete_spec, status=202, since=SINCE),
)
