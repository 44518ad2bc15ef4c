"""/v3/groups"""

from typing import Any

from pileus.identity.api.parts import page, values, where
from pileus.identity.schemas.users import GroupCreateBody, GroupUpdateBody, show_group, show_user
from pileus.identity.service import groups
from pileus.kernel.http import Call, Route


def list_(call: Call) -> Any:
    """List groups"""
    found = groups.list_(call.ctx, where(call, "name", "domain_id"))
    return page(call, "groups", [show_group(group, call.base_url) for group in found])


def create(call: Call) -> Any:
    """Create a group"""
    made = groups.create(call.ctx, values(call, "group", plain_description=True))
    return {"group": show_group(made, call.base_url)}


def show(call: Call) -> Any:
    """Show a group"""
    return {"group": show_group(groups.get(call.ctx, call.path["group_id"]), call.base_url)}


def update(call: Call) -> Any:
    """Update a group"""
    changed = groups.update(call.ctx, call.path["group_id"], values(call, "group", plain_description=True))
    return {"group": show_group(changed, call.base_url)}


def delete(call: Call) -> Any:
    """Delete a group"""
    groups.delete(call.ctx, call.path["group_id"])


def list_users(call: Call) -> Any:
    """List the users of a group"""
    found = groups.list_users(call.ctx, call.path["group_id"], where(call, "name", flags=("enabled",)))
    return page(call, "users", [show_user(user, call.base_url) for user in found])


def check_user(call: Call) -> Any:
    """Check whether a user is in a group"""
    groups.check_user(call.ctx, call.path["group_id"], call.path["user_id"])


def add_user(call: Call) -> Any:
    """Add a user to a group"""
    groups.add_user(call.ctx, call.path["group_id"], call.path["user_id"])


def remove_user(call: Call) -> Any:
    """Remove a user from a group"""
    groups.remove_user(call.ctx, call.path["group_id"], call.path["user_id"])


ONE = "/v3/groups/{group_id}"
ROUTES = (
    Route("GET", "/v3/groups", list_, rule="identity:list_groups"),
    Route("POST", "/v3/groups", create, body=GroupCreateBody, status=201, rule="identity:create_group"),
    Route("GET", ONE, show, rule="identity:get_group"),
    Route("PATCH", ONE, update, body=GroupUpdateBody, rule="identity:update_group"),
    Route("DELETE", ONE, delete, status=204, rule="identity:delete_group"),
    Route("GET", f"{ONE}/users", list_users, rule="identity:list_users_in_group"),
    Route("GET", f"{ONE}/users/{{user_id}}", check_user, status=204, rule="identity:check_user_in_group"),
    Route("PUT", f"{ONE}/users/{{user_id}}", add_user, status=204, rule="identity:add_user_to_group"),
    Route("DELETE", f"{ONE}/users/{{user_id}}", remove_user, status=204, rule="identity:remove_user_from_group"),
)
