"""/v2.1/os-quota-sets, /v2.1/os-quota-class-sets, /v2.1/limits"""

from typing import Any

from pileus.compute.api.queries import check_names
from pileus.compute.schemas import quotas as schemas
from pileus.compute.service import quotas
from pileus.kernel.http import Call, Route


def show(call: Call) -> Any:
    check_names(call, "user_id")
    project_id = call.path["project_id"]
    details = quotas.show(call.ctx, project_id, call.query.get("user_id") or "")
    return schemas.show_set(schemas.only_limits(details), call.version, project_id)


def detail(call: Call) -> Any:
    check_names(call, "user_id")
    project_id = call.path["project_id"]
    details = quotas.show(call.ctx, project_id, call.query.get("user_id") or "", rule="detail")
    return schemas.show_set(details, call.version, project_id)


def defaults(call: Call) -> Any:
    project_id = call.path["project_id"]
    return schemas.show_set(quotas.defaults(call.ctx, project_id), call.version, project_id)


def update(call: Call) -> Any:
    check_names(call, "user_id")
    asked, user_id = call.body.quota_set, call.query.get("user_id") or ""
    values, force = schemas.read_limits(asked), schemas.read_force(asked)
    details = quotas.update(call.ctx, call.path["project_id"], values, force, user_id)
    return schemas.show_set(schemas.only_limits(details), call.version)


def reset(call: Call) -> None:
    check_names(call, "user_id")
    quotas.reset(call.ctx, call.path["project_id"], call.query.get("user_id") or "")


def show_class(call: Call) -> Any:
    name = call.path["name"]
    return schemas.show_class(quotas.show_class(call.ctx, name), call.version, name)


def update_class(call: Call) -> Any:
    values = schemas.read_limits(call.body.quota_class_set)
    return schemas.show_class(quotas.update_class(call.ctx, call.path["name"], values), call.version)


def show_limits(call: Call) -> Any:
    check_names(call, "tenant_id", "reserved")
    return schemas.show_limits(quotas.show_limits(call.ctx, call.query.get("tenant_id") or ""), call.version)


SET = "/v2.1/os-quota-sets/{project_id}"
CLASS = "/v2.1/os-quota-class-sets/{name}"

routes = (
    Route("GET", SET, show),
    Route("GET", SET + "/detail", detail),
    Route("GET", SET + "/defaults", defaults),
    Route("PUT", SET, update, schemas.Update, until="2.35"),
    Route("PUT", SET, update, schemas.Update236, since="2.36", until="2.56"),
    Route("PUT", SET, update, schemas.Update257, since="2.57"),
    Route("DELETE", SET, reset, status=202),
    Route("GET", CLASS, show_class),
    Route("PUT", CLASS, update_class, schemas.UpdateClass, until="2.49"),
    Route("PUT", CLASS, update_class, schemas.UpdateClass250, since="2.50", until="2.56"),
    Route("PUT", CLASS, update_class, schemas.UpdateClass257, since="2.57"),
    Route("GET", "/v2.1/limits", show_limits),
)
