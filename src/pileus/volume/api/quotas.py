"""/v3/os-quota-sets, /v3/os-quota-class-sets and /v3/limits"""

from typing import Any

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route
from pileus.volume.schemas import quotas as schemas
from pileus.volume.schemas.fields import read_bool
from pileus.volume.service import quotas


def show(call: Call) -> Any:
    project_id, text = call.path["project_id"], call.query.get("usage")
    try:
        with_use = read_bool(text) if text is not None else False
    except BadRequest:
        raise BadRequest(f"Value '{text}' is not a valid value for 'usage'.") from None
    details = quotas.show(call.ctx, project_id)
    shown = details if with_use else {name: facts["limit"] for name, facts in details.items()}
    return {"quota_set": {"id": project_id, **shown}}


def defaults(call: Call) -> Any:
    project_id = call.path["project_id"]
    return {"quota_set": {"id": project_id, **quotas.defaults(call.ctx, project_id)}}


def update(call: Call) -> Any:
    return {"quota_set": quotas.update(call.ctx, call.path["project_id"], schemas.read_set(call.body))}


def reset(call: Call) -> None:
    quotas.reset(call.ctx, call.path["project_id"])


def show_class(call: Call) -> Any:
    name = call.path["name"]
    return {"quota_class_set": {"id": name, **quotas.show_class(call.ctx, name)}}


def update_class(call: Call) -> Any:
    return {"quota_class_set": quotas.update_class(call.ctx, call.path["name"], schemas.read_class(call.body))}


def show_limits(call: Call) -> Any:
    query = call.query
    project_id = (query.get("project_id") or query.get("tenant_id") or "") if call.since("3.39") else ""
    return schemas.show_limits(*quotas.show_limits(call.ctx, project_id))


SET = "/v3/os-quota-sets/{project_id}"
CLASS = "/v3/os-quota-class-sets/{name}"

routes = (
    Route("GET", SET, show),
    Route("GET", SET + "/defaults", defaults),
    Route("PUT", SET, update, schemas.Update),
    Route("DELETE", SET, reset),
    Route("GET", CLASS, show_class),
    Route("PUT", CLASS, update_class, schemas.UpdateClass),
    Route("GET", "/v3/limits", show_limits),
)
