"""/v3/policies and OS-ENDPOINT-POLICY"""

from typing import Any

from pileus.identity.api.parts import page, values, where
from pileus.identity.schemas.catalog import show_endpoint
from pileus.identity.schemas.extensions import PolicyCreateBody, PolicyUpdateBody, show_policy
from pileus.identity.service import catalog, policy_files
from pileus.identity.service.policy_files import Place
from pileus.kernel.http import Call, Route


def list_(call: Call) -> Any:
    """List kept policies"""
    return page(call, "policies", [show_policy(one, call.base_url) for one in policy_files.list_(call.ctx, where(call, "type"))])


def create(call: Call) -> Any:
    """Keep a policy"""
    return {"policy": show_policy(policy_files.create(call.ctx, values(call, "policy")), call.base_url)}


def show(call: Call) -> Any:
    """Show a kept policy"""
    return {"policy": show_policy(policy_files.get(call.ctx, call.path["policy_id"]), call.base_url)}


def update(call: Call) -> Any:
    """Update a kept policy"""
    changed = policy_files.update(call.ctx, call.path["policy_id"], values(call, "policy"))
    return {"policy": show_policy(changed, call.base_url)}


def delete(call: Call) -> Any:
    """Delete a kept policy"""
    policy_files.delete(call.ctx, call.path["policy_id"])


def associate(call: Call) -> Any:
    """Have a policy be the one for an endpoint or service"""
    policy_files.associate(call.ctx, call.path["policy_id"], _place(call))


def check(call: Call) -> Any:
    """Check that a policy is the one for an endpoint or service"""
    policy_files.check(call.ctx, call.path["policy_id"], _place(call))


def dissociate(call: Call) -> Any:
    """Have a policy not be for an endpoint or service any more"""
    policy_files.dissociate(call.ctx, call.path["policy_id"], _place(call))


def _place(call: Call) -> Place:
    return Place(*(call.path.get(name, "") for name in ("endpoint_id", "service_id", "region_id")))


def of_endpoint(call: Call) -> Any:
    """Show the policy for an endpoint"""
    return {"policy": show_policy(policy_files.for_endpoint(call.ctx, call.path["endpoint_id"]), call.base_url)}


def list_endpoints(call: Call) -> Any:
    """List the endpoints a policy is for"""
    found = policy_files.endpoints_of(call.ctx, call.path["policy_id"])
    settings = call.cloud.settings
    return page(call, "endpoints", [show_endpoint(one, catalog.base_url(settings, one.url), call.base_url) for one in found])


ONE = "/v3/policies/{policy_id}"
ASSOCIATED = f"{ONE}/OS-ENDPOINT-POLICY"
PLACES = {
    "endpoint": "endpoints/{endpoint_id}",
    "service": "services/{service_id}",
    "region_and_service": "services/{service_id}/regions/{region_id}",
}
ROUTES = (
    Route("GET", "/v3/policies", list_, rule="identity:list_policies"),
    Route("POST", "/v3/policies", create, body=PolicyCreateBody, status=201, rule="identity:create_policy"),
    Route("GET", ONE, show, rule="identity:get_policy"),
    Route("PATCH", ONE, update, body=PolicyUpdateBody, rule="identity:update_policy"),
    Route("DELETE", ONE, delete, status=204, rule="identity:delete_policy"),
    *(
        Route(method, f"{ASSOCIATED}/{place}", handler, status=204, rule=f"identity:{verb}_policy_association_for_{name}")
        for name, place in PLACES.items()
        for method, handler, verb in (("PUT", associate, "create"), ("GET", check, "check"), ("DELETE", dissociate, "delete"))
    ),
    Route("GET", f"{ASSOCIATED}/endpoints", list_endpoints, rule="identity:list_endpoints_for_policy"),
    Route(
        "GET",
        "/v3/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy",
        of_endpoint,
        rule="identity:get_policy_for_endpoint",
    ),
)
