"""/v3/registered_limits and /v3/limits"""

from typing import Any

from pileus.identity.api.parts import page, where
from pileus.identity.schemas.extensions import (
    LimitCreateBody,
    LimitUpdateBody,
    RegisteredCreateBody,
    RegisteredUpdateBody,
    show_limit,
    show_registered,
)
from pileus.identity.schemas.fields import given
from pileus.identity.service import limits
from pileus.kernel.http import Call, Route

MODEL = "Limit enforcement and validation does not take project hierarchy into consideration."


def show_model(call: Call) -> Any:
    """Tell how limits are to be enforced"""
    limits.require_model(call.ctx)
    return {"model": {"name": "flat", "description": MODEL}}


def list_registered(call: Call) -> Any:
    """List registered limits"""
    found = limits.list_registered(call.ctx, where(call, "service_id", "region_id", "resource_name"))
    return page(call, "registered_limits", [show_registered(limit, call.base_url) for limit in found])


def register(call: Call) -> Any:
    """Register limits"""
    made = limits.register(call.ctx, [given(limit) for limit in call.body.registered_limits])
    return page(call, "registered_limits", [show_registered(limit, call.base_url) for limit in made])


def show_one_registered(call: Call) -> Any:
    """Show a registered limit"""
    return {"registered_limit": show_registered(limits.get_registered(call.ctx, call.path["limit_id"]), call.base_url)}


def update_registered(call: Call) -> Any:
    """Update a registered limit"""
    changed = limits.update_registered(call.ctx, call.path["limit_id"], given(call.body.registered_limit))
    return {"registered_limit": show_registered(changed, call.base_url)}


def unregister(call: Call) -> Any:
    """Delete a registered limit"""
    limits.unregister(call.ctx, call.path["limit_id"])


def list_(call: Call) -> Any:
    """List limits of projects and domains"""
    found = limits.list_(call.ctx, where(call, "service_id", "region_id", "resource_name", "project_id", "domain_id"))
    return page(call, "limits", [show_limit(full, call.base_url) for full in found])


def create(call: Call) -> Any:
    """Create limits of projects or domains"""
    made = limits.create(call.ctx, [given(limit) for limit in call.body.limits])
    return page(call, "limits", [show_limit(full, call.base_url) for full in made])


def show(call: Call) -> Any:
    """Show a limit"""
    return {"limit": show_limit(limits.get(call.ctx, call.path["limit_id"]), call.base_url)}


def update(call: Call) -> Any:
    """Update a limit"""
    return {"limit": show_limit(limits.update(call.ctx, call.path["limit_id"], given(call.body.limit)), call.base_url)}


def delete(call: Call) -> Any:
    """Delete a limit"""
    limits.delete(call.ctx, call.path["limit_id"])


REGISTERED = "/v3/registered_limits"
ROUTES = (
    Route("GET", "/v3/limits/model", show_model, rule="identity:get_limit_model"),
    Route("GET", REGISTERED, list_registered, rule="identity:list_registered_limits"),
    Route("POST", REGISTERED, register, body=RegisteredCreateBody, status=201, rule="identity:create_registered_limits"),
    Route("GET", f"{REGISTERED}/{{limit_id}}", show_one_registered, rule="identity:get_registered_limit"),
    Route(
        "PATCH",
        f"{REGISTERED}/{{limit_id}}",
        update_registered,
        body=RegisteredUpdateBody,
        rule="identity:update_registered_limit",
    ),
    Route("DELETE", f"{REGISTERED}/{{limit_id}}", unregister, status=204, rule="identity:delete_registered_limit"),
    Route("GET", "/v3/limits", list_, rule="identity:list_limits"),
    Route("POST", "/v3/limits", create, body=LimitCreateBody, status=201, rule="identity:create_limits"),
    Route("GET", "/v3/limits/{limit_id}", show, rule="identity:get_limit"),
    Route("PATCH", "/v3/limits/{limit_id}", update, body=LimitUpdateBody, rule="identity:update_limit"),
    Route("DELETE", "/v3/limits/{limit_id}", delete, status=204, rule="identity:delete_limit"),
)
