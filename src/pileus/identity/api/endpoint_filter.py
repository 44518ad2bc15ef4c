"""/v3/OS-EP-FILTER"""

from collections.abc import Sequence
from typing import Any

from pileus.identity.api.parts import page, values, where
from pileus.identity.schemas.catalog import show_endpoint
from pileus.identity.schemas.extensions import GroupCreateBody, GroupUpdateBody, show_group
from pileus.identity.schemas.projects import show_project
from pileus.identity.service import catalog, projects
from pileus.identity.service import endpoint_filter as filters
from pileus.identity.store.records import Endpoint, EndpointGroup, Project
from pileus.kernel.http import Call, Route


def list_groups(call: Call) -> Any:
    """List endpoint groups"""
    return _groups(call, filters.list_groups(call.ctx, where(call, "name")))


def create_group(call: Call) -> Any:
    """Create an endpoint group"""
    return _group(call, filters.create_group(call.ctx, values(call, "endpoint_group", extra=False)))


def show_one_group(call: Call) -> Any:
    """Show an endpoint group"""
    return _group(call, filters.get_group(call.ctx, call.path["group_id"]))


def update_group(call: Call) -> Any:
    """Update an endpoint group"""
    return _group(call, filters.update_group(call.ctx, call.path["group_id"], values(call, "endpoint_group", extra=False)))


def delete_group(call: Call) -> Any:
    """Delete an endpoint group"""
    filters.delete_group(call.ctx, call.path["group_id"])


def endpoints_of_group(call: Call) -> Any:
    """List the endpoints of a group"""
    return _endpoints(call, filters.endpoints_of_group(call.ctx, call.path["group_id"]))


def projects_of_group(call: Call) -> Any:
    """List the projects that were given a group"""
    return _projects(call, filters.projects_of_group(call.ctx, call.path["group_id"]))


def groups_of_project(call: Call) -> Any:
    """List the endpoint groups that a project was given"""
    return _groups(call, filters.groups_of_project(call.ctx, call.path["project_id"]))


def group_of_project(call: Call) -> Any:
    """Show an endpoint group that a project was given"""
    return _group(call, filters.get_group_of_project(call.ctx, call.path["group_id"], call.path["project_id"]))


def give_group(call: Call) -> Any:
    """Give a project the endpoints of a group"""
    filters.give_group(call.ctx, call.path["group_id"], call.path["project_id"])


def take_group(call: Call) -> Any:
    """Take the endpoints of a group from a project"""
    filters.take_group(call.ctx, call.path["group_id"], call.path["project_id"])


def endpoints_of_project(call: Call) -> Any:
    """List the endpoints that a project was given"""
    return _endpoints(call, filters.endpoints_of_project(call.ctx, call.path["project_id"]))


def projects_of_endpoint(call: Call) -> Any:
    """List the projects that were given an endpoint"""
    return _projects(call, filters.projects_of_endpoint(call.ctx, call.path["endpoint_id"]))


def check_endpoint(call: Call) -> Any:
    """Check that a project was given an endpoint"""
    filters.check_endpoint(call.ctx, call.path["project_id"], call.path["endpoint_id"])


def give_endpoint(call: Call) -> Any:
    """Give a project an endpoint"""
    filters.give_endpoint(call.ctx, call.path["project_id"], call.path["endpoint_id"])


def take_endpoint(call: Call) -> Any:
    """Take an endpoint from a project"""
    filters.take_endpoint(call.ctx, call.path["project_id"], call.path["endpoint_id"])


def _group(call: Call, group: EndpointGroup) -> dict[str, Any]:
    return {"endpoint_group": show_group(group, call.base_url)}


def _groups(call: Call, found: Sequence[EndpointGroup]) -> dict[str, Any]:
    return page(call, "endpoint_groups", [show_group(group, call.base_url) for group in found])


def _endpoints(call: Call, found: Sequence[Endpoint]) -> dict[str, Any]:
    settings = call.cloud.settings
    return page(call, "endpoints", [show_endpoint(one, catalog.base_url(settings, one.url), call.base_url) for one in found])


def _projects(call: Call, found: list[Project]) -> dict[str, Any]:
    tags = projects.tags_of(call.ctx, found)
    return page(call, "projects", [show_project(one, call.base_url, tags.get(one.id, ())) for one in found])


AT = "/v3/OS-EP-FILTER"
GROUPS = f"{AT}/endpoint_groups"
GROUP = f"{GROUPS}/{{group_id}}"
OF_PROJECT = f"{GROUP}/projects/{{project_id}}"
ENDPOINT = f"{AT}/projects/{{project_id}}/endpoints/{{endpoint_id}}"
ROUTES = (
    Route("GET", GROUPS, list_groups, rule="identity:list_endpoint_groups"),
    Route("POST", GROUPS, create_group, body=GroupCreateBody, status=201, rule="identity:create_endpoint_group"),
    Route("GET", GROUP, show_one_group, rule="identity:get_endpoint_group"),
    Route("PATCH", GROUP, update_group, body=GroupUpdateBody, rule="identity:update_endpoint_group"),
    Route("DELETE", GROUP, delete_group, status=204, rule="identity:delete_endpoint_group"),
    Route("GET", f"{GROUP}/endpoints", endpoints_of_group, rule="identity:list_endpoints_associated_with_endpoint_group"),
    Route("GET", f"{GROUP}/projects", projects_of_group, rule="identity:list_projects_associated_with_endpoint_group"),
    Route("GET", OF_PROJECT, group_of_project, rule="identity:get_endpoint_group_in_project"),
    Route("PUT", OF_PROJECT, give_group, status=204, rule="identity:add_endpoint_group_to_project"),
    Route("DELETE", OF_PROJECT, take_group, status=204, rule="identity:remove_endpoint_group_from_project"),
    Route(
        "GET",
        f"{AT}/projects/{{project_id}}/endpoint_groups",
        groups_of_project,
        rule="identity:list_endpoint_groups_for_project",
    ),
    Route("GET", f"{AT}/projects/{{project_id}}/endpoints", endpoints_of_project, rule="identity:list_endpoints_for_project"),
    Route("GET", f"{AT}/endpoints/{{endpoint_id}}/projects", projects_of_endpoint, rule="identity:list_projects_for_endpoint"),
    Route("GET", ENDPOINT, check_endpoint, status=204, rule="identity:check_endpoint_in_project"),
    Route("PUT", ENDPOINT, give_endpoint, status=204, rule="identity:add_endpoint_to_project"),
    Route("DELETE", ENDPOINT, take_endpoint, status=204, rule="identity:remove_endpoint_from_project"),
)
