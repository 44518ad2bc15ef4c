"""/v3/users"""

from typing import Any

from pileus.identity.api.parts import off_threads, page, values, where
from pileus.identity.schemas.projects import show_project
from pileus.identity.schemas.users import (
    PasswordChangeBody,
    UserCreateBody,
    UserUpdateBody,
    show_group,
    show_user,
)
from pileus.identity.service import projects, users
from pileus.kernel.http import Call, Route


def list_(call: Call) -> Any:
    """List users"""
    found = users.list_(call.ctx, where(call, "name", "domain_id", flags=("enabled",)))
    return page(call, "users", [show_user(user, call.base_url) for user in found])


def create(call: Call) -> Any:
    """Create a user"""
    return {"user": show_user(users.create(call.ctx, values(call, "user")), call.base_url)}


def show(call: Call) -> Any:
    """Show a user"""
    return {"user": show_user(users.get(call.ctx, call.path["user_id"]), call.base_url)}


def update(call: Call) -> Any:
    """Update a user"""
    return {"user": show_user(users.update(call.ctx, call.path["user_id"], values(call, "user")), call.base_url)}


def delete(call: Call) -> Any:
    """Delete a user"""
    users.delete(call.ctx, call.path["user_id"])


def change_password(call: Call) -> Any:
    """Change one's own password"""
    change = call.body.user
    users.change_password(call.cloud, call.path["user_id"], change.original_password, change.password)


def list_groups(call: Call) -> Any:
    """List the groups of a user"""
    found = users.list_groups(call.ctx, call.path["user_id"], where(call, "name"))
    return page(call, "groups", [show_group(group, call.base_url) for group in found])


def list_projects(call: Call) -> Any:
    """List the projects of a user"""
    found = users.list_projects(call.ctx, call.path["user_id"], where(call, "name", "domain_id", flags=("enabled",)))
    tags = projects.tags_of(call.ctx, found)
    return page(call, "projects", [show_project(project, call.base_url, tags.get(project.id, ())) for project in found])


ONE = "/v3/users/{user_id}"
ROUTES = (
    Route("GET", "/v3/users", list_, rule="identity:list_users"),
    Route("POST", "/v3/users", off_threads(create), body=UserCreateBody, status=201, stream=True, rule="identity:create_user"),
    Route("GET", ONE, show, rule="identity:get_user"),
    Route("PATCH", ONE, off_threads(update), body=UserUpdateBody, stream=True, rule="identity:update_user"),
    Route("DELETE", ONE, delete, status=204, rule="identity:delete_user"),
    Route("POST", f"{ONE}/password", off_threads(change_password), body=PasswordChangeBody, status=204, stream=True, public=True),
    Route("GET", f"{ONE}/groups", list_groups, rule="identity:list_groups_for_user"),
    Route("GET", f"{ONE}/projects", list_projects, rule="identity:list_user_projects"),
)
