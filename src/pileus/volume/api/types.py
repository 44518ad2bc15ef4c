"""/v3/types and /v3/default-types"""

import ast
from typing import Any

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route
from pileus.volume.api.queries import cut, next_links, read_cut, read_public
from pileus.volume.api.resource_filters import check_filters
from pileus.volume.schemas import types as schemas
from pileus.volume.service import type_specs, types
from pileus.volume.store.types import Type

ADMIN_ERRORS = (400, 401, 403, 404, 409)
PAGING = {"limit", "marker", "offset", "sort", "sort_key", "sort_dir"}
SORT_KEYS = {
    "id": lambda kind: kind.id, "name": lambda kind: kind.name, "created_at": lambda kind: kind.created_at,
    "updated_at": lambda kind: kind.updated_at, "description": lambda kind: kind.description,
    "is_public": lambda kind: kind.is_public, "qos_specs_id": lambda kind: kind.qos_specs_id,
}  # fmt: skip


def index(call: Call) -> Any:
    wanted = read_cut(call)
    filters = {key: value for key, value in call.query.pairs if key not in PAGING}
    if call.since("3.52"):
        check_filters(call, "volume_type", filters)
    elif not call.ctx.is_admin:
        filters.pop("extra_specs", None)
    is_public = read_public(filters.pop("is_public", None)) if call.ctx.is_admin else True
    specs = _read_specs(filters.pop("extra_specs")) if "extra_specs" in filters else None
    name = filters.pop("name", None) if call.ctx.is_admin else None
    unknown = filters.keys() - {"is_public", "name", "all_tenants", "fields"}
    found = [] if unknown and call.ctx.is_admin else types.list_all(call.ctx, is_public, specs, name)
    part = cut(found, wanted, SORT_KEYS)
    sight = types.sight(call.ctx)
    answer: dict[str, Any] = {"volume_types": [schemas.show(kind, sight) for kind in part]}
    if links := next_links(call, wanted, [kind.id for kind in part]):
        answer["volume_type_links"] = links
    return answer


def show(call: Call) -> Any:
    return _shown(call, types.get(call.ctx, call.path["type_id"]))


def show_default(call: Call) -> Any:
    return _shown(call, types.get_default(call.ctx))


def create(call: Call) -> Any:
    values = schemas.read_create(call.body)
    type_specs.check_specs(values["extra_specs"])
    made = schemas.show_changed(types.create(call.ctx, values))
    if types.sight(call.ctx).access:
        made["os-volume-type-access:is_public"] = made["is_public"]
    return {"volume_type": made}


def update(call: Call) -> Any:
    changed = types.update(call.ctx, call.path["type_id"], schemas.read_update(call.body))
    return {"volume_type": schemas.show_changed(changed)}


def delete(call: Call) -> None:
    types.delete(call.ctx, call.path["type_id"])


def list_access(call: Call) -> Any:
    type_id = call.path["type_id"]
    projects = types.list_projects(call.ctx, type_id)
    return {"volume_type_access": [{"volume_type_id": type_id, "project_id": project} for project in projects]}


def act(call: Call) -> None:
    type_id, action = call.path["type_id"], call.body
    if action.add and not action.remove:
        types.add_project(call.ctx, type_id, action.add.project)
    elif action.remove and not action.add:
        types.remove_project(call.ctx, type_id, action.remove.project)
    else:
        raise BadRequest("There is no such action.")


def list_specs(call: Call) -> Any:
    return {"extra_specs": type_specs.list_specs(call.ctx, call.path["type_id"])}


def show_spec(call: Call) -> Any:
    key = call.path["key"]
    return {key: type_specs.get_spec(call.ctx, call.path["type_id"], key)}


def create_specs(call: Call) -> Any:
    type_specs.set_specs(call.ctx, call.path["type_id"], call.body.extra_specs)
    return {"extra_specs": call.body.extra_specs}


def update_spec(call: Call) -> Any:
    specs = call.body
    call.require_one(specs)
    type_specs.set_specs(call.ctx, call.path["type_id"], specs, "update")
    return specs


def delete_spec(call: Call) -> None:
    type_specs.delete_spec(call.ctx, call.path["type_id"], call.path["key"])


def show_encryption(call: Call) -> Any:
    type_id = call.path["type_id"]
    found = type_specs.get_encryption(call.ctx, type_id)
    return schemas.show_encryption(type_id, found) if found else {}


def show_encryption_part(call: Call) -> Any:
    type_id, key = call.path["type_id"], call.path["key"]
    found = type_specs.get_encryption(call.ctx, type_id)
    shown = schemas.show_encryption(type_id, found) if found else {}
    if key not in shown:
        raise type_specs.no_encryption(type_id)
    return {key: shown[key]}


def create_encryption(call: Call) -> Any:
    type_id = call.path["type_id"]
    made = type_specs.create_encryption(call.ctx, type_id, schemas.read_encryption(call.body.encryption))
    return {"encryption": schemas.show_made_encryption(type_id, made)}


def update_encryption(call: Call) -> Any:
    changes = schemas.read_encryption(call.body.encryption)
    type_specs.update_encryption(call.ctx, call.path["type_id"], changes)
    return {"encryption": changes}


def delete_encryption(call: Call) -> None:
    type_specs.delete_encryption(call.ctx, call.path["type_id"])


def list_defaults(call: Call) -> Any:
    return {"default_types": [schemas.show_default(*pair) for pair in types.list_project_defaults(call.ctx)]}


def show_project_default(call: Call) -> Any:
    project_id = call.path["project_id"]
    return {"default_type": schemas.show_default(project_id, types.get_project_default(call.ctx, project_id))}


def set_project_default(call: Call) -> Any:
    project_id = call.path["project_id"]
    type_id = types.set_project_default(call.ctx, project_id, call.body.default_type.volume_type)
    return {"default_type": schemas.show_default(project_id, type_id)}


def unset_project_default(call: Call) -> None:
    types.unset_project_default(call.ctx, call.path["project_id"])


def _shown(call: Call, kind: Type) -> Any:
    return {"volume_type": schemas.show(kind, types.sight(call.ctx))}


def _read_specs(text: str) -> dict[str, Any]:
    """Read extra specs that are looked for: they are sent as Python writes a dict."""
    try:
        specs = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        specs = None
    if not isinstance(specs, dict):
        raise BadRequest(f"Invalid extra_specs filter [{text}]")
    return {str(key): value for key, value in specs.items()}


ONE = "/v3/types/{type_id}"
SPEC = ONE + "/extra_specs"
ENCRYPTION = ONE + "/encryption"
DEFAULT = "/v3/default-types/{project_id}"

routes = (
    Route("GET", "/v3/types", index),
    Route("POST", "/v3/types", create, schemas.Create, errors=ADMIN_ERRORS),
    Route("GET", "/v3/types/default", show_default),
    Route("GET", ONE, show),
    Route("PUT", ONE, update, schemas.Update, errors=ADMIN_ERRORS),
    Route("DELETE", ONE, delete, status=202),
    Route("POST", ONE + "/action", act, schemas.Action, status=202, errors=ADMIN_ERRORS),
    Route("GET", ONE + "/os-volume-type-access", list_access),
    Route("GET", SPEC, list_specs),
    Route("POST", SPEC, create_specs, schemas.CreateSpecs),
    Route("GET", SPEC + "/{key}", show_spec),
    Route("PUT", SPEC + "/{key}", update_spec, schemas.Specs),
    Route("DELETE", SPEC + "/{key}", delete_spec, status=202),
    Route("GET", ENCRYPTION, show_encryption),
    Route("POST", ENCRYPTION, create_encryption, schemas.CreateEncryption),
    Route("GET", ENCRYPTION + "/{key}", show_encryption_part),
    Route("PUT", ENCRYPTION + "/{key}", update_encryption, schemas.UpdateEncryption),
    Route("DELETE", ENCRYPTION + "/{key}", delete_encryption, status=202),
    Route("GET", "/v3/default-types", list_defaults, since="3.62"),
    Route("GET", DEFAULT, show_project_default, since="3.62"),
    Route("PUT", DEFAULT, set_project_default, schemas.SetDefault, since="3.62"),
    Route("DELETE", DEFAULT, unset_project_default, since="3.62", status=204),
)
