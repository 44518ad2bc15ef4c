"""/v3/OS-TRUST"""

from typing import Any

from pileus.identity.api.parts import page, values, where
from pileus.identity.schemas.fields import given
from pileus.identity.schemas.roles import show_role
from pileus.identity.schemas.trusts import TrustCreateBody, show_full_trust, show_trust
from pileus.identity.service import trusts
from pileus.kernel.http import Call, Route


def list_(call: Call) -> Any:
    """List trusts"""
    found = trusts.list_(call.ctx, where(call, "trustor_user_id", "trustee_user_id"))
    return page(call, "trusts", [show_trust(trust, call.base_url) for trust in found])


def create(call: Call) -> Any:
    """Create a trust"""
    wanted = values(call, "trust", extra=False)
    wanted["roles"] = [given(role) for role in wanted.get("roles", [])]
    return {"trust": show_full_trust(trusts.create(call.ctx, wanted), call.base_url)}


def show(call: Call) -> Any:
    """Show a trust"""
    return {"trust": show_full_trust(trusts.get(call.ctx, call.path["trust_id"]), call.base_url)}


def delete(call: Call) -> Any:
    """Delete a trust and what was given on of it"""
    trusts.delete(call.ctx, call.path["trust_id"])


def list_roles(call: Call) -> Any:
    """List the roles of a trust"""
    found = trusts.list_roles(call.ctx, call.path["trust_id"])
    return page(call, "roles", [show_role(role, call.base_url) for role in found])


def show_one_role(call: Call) -> Any:
    """Show a role of a trust"""
    return {"role": show_role(trusts.get_role(call.ctx, call.path["trust_id"], call.path["role_id"]), call.base_url)}


AT = "/v3/OS-TRUST/trusts"
ROUTES = (
    Route("GET", AT, list_, rule="identity:list_trusts"),
    Route("POST", AT, create, body=TrustCreateBody, status=201, rule="identity:create_trust"),
    Route("GET", f"{AT}/{{trust_id}}", show, rule="identity:get_trust"),
    Route("DELETE", f"{AT}/{{trust_id}}", delete, status=204, rule="identity:delete_trust"),
    Route("GET", f"{AT}/{{trust_id}}/roles", list_roles, rule="identity:list_roles_for_trust"),
    Route("GET", f"{AT}/{{trust_id}}/roles/{{role_id}}", show_one_role, rule="identity:get_role_for_trust"),
)
