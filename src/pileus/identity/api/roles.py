"""/v3/roles and the roles they imply"""

from typing import Any

from pileus.identity.api.parts import page, values, where
from pileus.identity.schemas.roles import RoleCreateBody, RoleUpdateBody, show_brief, show_role
from pileus.identity.service import roles
from pileus.identity.store.records import Role
from pileus.kernel.http import Answer, Call, Route


def list_(call: Call) -> Any:
    """List roles"""
    found = roles.list_(call.ctx, where(call, "name", "domain_id"))
    return page(call, "roles", [show_role(role, call.base_url) for role in found])


def create(call: Call) -> Any:
    """Create a role"""
    return {"role": show_role(roles.create(call.ctx, values(call, "role")), call.base_url)}


def show(call: Call) -> Any:
    """Show a role"""
    return {"role": show_role(roles.get(call.ctx, call.path["role_id"]), call.base_url)}


def update(call: Call) -> Any:
    """Update a role"""
    return {"role": show_role(roles.update(call.ctx, call.path["role_id"], values(call, "role")), call.base_url)}


def delete(call: Call) -> Any:
    """Delete a role"""
    roles.delete(call.ctx, call.path["role_id"])


def list_implied(call: Call) -> Any:
    """List the roles that a role implies"""
    prior, implied = roles.list_implied(call.ctx, call.path["prior_role_id"])
    return {"role_inference": _inference(call, prior, implied), "links": {"self": call.path_url}}


def show_implied(call: Call) -> Any:
    """Show that a role implies another"""
    if call.method == "HEAD":
        roles.get_implied(call.ctx, *_pair(call), rule="identity:check_implied_role")
        return Answer(None, 204)
    return _one(call, *roles.get_implied(call.ctx, *_pair(call)))


def create_implied(call: Call) -> Any:
    """Have a role imply another"""
    return _one(call, *roles.create_implied(call.ctx, *_pair(call)))


def delete_implied(call: Call) -> Any:
    """Have a role not imply another any more"""
    roles.delete_implied(call.ctx, *_pair(call))


def list_inferences(call: Call) -> Any:
    """List all roles that imply others"""
    found = roles.list_inferences(call.ctx)
    return {"role_inferences": [_inference(call, prior, implied) for prior, implied in found], "links": {"self": call.path_url}}


def _pair(call: Call) -> tuple[str, str]:
    return call.path["prior_role_id"], call.path["implied_role_id"]


def _one(call: Call, prior: Role, implied: Role) -> dict[str, Any]:
    both = {"prior_role": show_brief(prior, call.base_url), "implies": show_brief(implied, call.base_url)}
    return {"role_inference": both, "links": {"self": call.path_url}}


def _inference(call: Call, prior: Role, implied: list[Role]) -> dict[str, Any]:
    return {
        "prior_role": show_brief(prior, call.base_url),
        "implies": [show_brief(role, call.base_url) for role in implied],
    }


ONE = "/v3/roles/{role_id}"
IMPLIED = "/v3/roles/{prior_role_id}/implies"
ROUTES = (
    Route("GET", "/v3/roles", list_, rule="identity:list_roles"),
    Route("POST", "/v3/roles", create, body=RoleCreateBody, status=201, rule="identity:create_role"),
    Route("GET", ONE, show, rule="identity:get_role"),
    Route("PATCH", ONE, update, body=RoleUpdateBody, rule="identity:update_role"),
    Route("DELETE", ONE, delete, status=204, rule="identity:delete_role"),
    Route("GET", IMPLIED, list_implied, rule="identity:list_implied_roles"),
    Route("GET", IMPLIED + "/{implied_role_id}", show_implied, rule="identity:get_implied_role"),
    Route("PUT", IMPLIED + "/{implied_role_id}", create_implied, status=201, rule="identity:create_implied_role"),
    Route("DELETE", IMPLIED + "/{implied_role_id}", delete_implied, status=204, rule="identity:delete_implied_role"),
    Route("GET", "/v3/role_inferences", list_inferences, rule="identity:list_role_inference_rules"),
)
