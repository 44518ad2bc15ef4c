"""Which endpoints a project's tokens show: those given to it, alone or by groups; a project that was given none sees all."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.identity import tables
from pileus.identity.service.catalog import filtered
from pileus.identity.service.words import not_found
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import Endpoint, EndpointGroup, Project
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound

FILTERS = ("service_id", "region_id", "interface")


def list_groups(ctx: Context, where: Mapping[str, Any]) -> list[EndpointGroup]:
    """Return the endpoint groups."""
    ctx.require("identity:list_endpoint_groups", {})
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, EndpointGroup, **where)


def get_group(ctx: Context, group_id: str) -> EndpointGroup:
    """Return an endpoint group.

    :raises NotFound: when there is none.
    """
    ctx.require("identity:get_endpoint_group", {})
    with ctx.cloud.db.read() as tx:
        return _group(tx, group_id)


def create_group(ctx: Context, values: Mapping[str, Any]) -> EndpointGroup:
    """Make an endpoint group.

    :raises BadRequest: when its filters name what endpoints have not.
    """
    ctx.require("identity:create_endpoint_group", {})
    _check_filters(values.get("filters"))
    made = EndpointGroup(ids.hex_id(), **values)
    with ctx.cloud.db.begin() as tx:
        rows.add(tx, made, "endpoint_group", "Duplicate entry.")
    return made


def update_group(ctx: Context, group_id: str, values: Mapping[str, Any]) -> EndpointGroup:
    """Change an endpoint group."""
    ctx.require("identity:update_endpoint_group", {})
    _check_filters(values.get("filters"))
    with ctx.cloud.db.begin() as tx:
        _group(tx, group_id)
        rows.change(tx, EndpointGroup, group_id, dict(values))
        revisions.bump(tx)
        return _group(tx, group_id)


def delete_group(ctx: Context, group_id: str) -> None:
    """Delete an endpoint group."""
    ctx.require("identity:delete_endpoint_group", {})
    with ctx.cloud.db.begin() as tx:
        _group(tx, group_id)
        rows.drop(tx, EndpointGroup, id=group_id)
        revisions.bump(tx)


def endpoints_of_group(ctx: Context, group_id: str) -> list[Endpoint]:
    """Return the endpoints that are in a group."""
    ctx.require("identity:list_endpoints_associated_with_endpoint_group", {})
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, Endpoint, **_group(tx, group_id).filters)


def projects_of_group(ctx: Context, group_id: str) -> list[Project]:
    """Return the projects that were given a group."""
    ctx.require("identity:list_projects_associated_with_endpoint_group", {})
    with ctx.cloud.db.read() as tx:
        _group(tx, group_id)
        return list(rows.by_id(tx, Project, links.group_project_ids(tx, group_id)).values())


def groups_of_project(ctx: Context, project_id: str) -> list[EndpointGroup]:
    """Return the groups that a project was given."""
    ctx.require("identity:list_endpoint_groups_for_project", {})
    with ctx.cloud.db.read() as tx:
        _project(tx, project_id)
        return list(rows.by_id(tx, EndpointGroup, links.project_group_ids(tx, project_id)).values())


def get_group_of_project(ctx: Context, group_id: str, project_id: str) -> EndpointGroup:
    """Return a group that a project was given.

    :raises NotFound: when it was not.
    """
    ctx.require("identity:get_endpoint_group_in_project", {})
    with ctx.cloud.db.read() as tx:
        _project(tx, project_id)
        if group_id not in links.project_group_ids(tx, project_id):
            raise NotFound("Could not find Endpoint Group to project association.")
        return _group(tx, group_id)


def give_group(ctx: Context, group_id: str, project_id: str) -> None:
    """Give a project the endpoints of a group."""
    ctx.require("identity:add_endpoint_group_to_project", {})
    with ctx.cloud.db.begin() as tx:
        _project(tx, project_id)
        _group(tx, group_id)
        links.add(tx, tables.project_endpoint_groups, project_id=project_id, group_id=group_id)
        revisions.bump(tx)


def take_group(ctx: Context, group_id: str, project_id: str) -> None:
    """Take the endpoints of a group from a project.

    :raises NotFound: when it was not given them.
    """
    ctx.require("identity:remove_endpoint_group_from_project", {})
    with ctx.cloud.db.begin() as tx:
        _project(tx, project_id)
        _group(tx, group_id)
        if not links.drop(tx, tables.project_endpoint_groups, project_id=project_id, group_id=group_id):
            raise NotFound("Could not find Endpoint Group to project association.")
        revisions.bump(tx)


def endpoints_of_project(ctx: Context, project_id: str) -> list[Endpoint]:
    """Return the endpoints that a project was given, alone or by groups."""
    ctx.require("identity:list_endpoints_for_project", {})
    with ctx.cloud.db.read() as tx:
        _project(tx, project_id)
        return list(rows.by_id(tx, Endpoint, filtered(tx, project_id) or ()).values())


def projects_of_endpoint(ctx: Context, endpoint_id: str) -> list[Project]:
    """Return the projects that were given an endpoint."""
    ctx.require("identity:list_projects_for_endpoint", {})
    with ctx.cloud.db.read() as tx:
        _endpoint(tx, endpoint_id)
        return list(rows.by_id(tx, Project, links.endpoint_project_ids(tx, endpoint_id)).values())


def check_endpoint(ctx: Context, project_id: str, endpoint_id: str) -> None:
    """Tell whether a project was given an endpoint.

    :raises NotFound: when it was not.
    """
    ctx.require("identity:check_endpoint_in_project", {})
    with ctx.cloud.db.read() as tx:
        _project(tx, project_id)
        _endpoint(tx, endpoint_id)
        if endpoint_id not in links.project_endpoint_ids(tx, project_id):
            raise not_found("endpoint", endpoint_id)


def give_endpoint(ctx: Context, project_id: str, endpoint_id: str) -> None:
    """Give a project an endpoint."""
    ctx.require("identity:add_endpoint_to_project", {})
    with ctx.cloud.db.begin() as tx:
        _project(tx, project_id)
        _endpoint(tx, endpoint_id)
        links.add(tx, tables.project_endpoints, project_id=project_id, endpoint_id=endpoint_id)
        revisions.bump(tx)


def take_endpoint(ctx: Context, project_id: str, endpoint_id: str) -> None:
    """Take an endpoint from a project.

    :raises NotFound: when it was not given it.
    """
    ctx.require("identity:remove_endpoint_from_project", {})
    with ctx.cloud.db.begin() as tx:
        if not links.drop(tx, tables.project_endpoints, project_id=project_id, endpoint_id=endpoint_id):
            raise not_found("endpoint", endpoint_id)
        revisions.bump(tx)


def _check_filters(filters: Mapping[str, Any] | None) -> None:
    if filters is None:
        return
    if set(filters) - set(FILTERS):
        raise BadRequest(f"Invalid input for field 'filters': it may name {', '.join(FILTERS)} and nothing else.")
    if filters.get("interface", "public") not in ("public", "internal", "admin"):
        raise BadRequest(f"Invalid input for field 'filters': {filters['interface']} is not an interface.")


def _group(tx: Connection, group_id: str) -> EndpointGroup:
    found = rows.get(tx, EndpointGroup, group_id)
    if found is None:
        raise not_found("Endpoint Group", group_id)
    return found


def _project(tx: Connection, project_id: str) -> None:
    if rows.get(tx, Project, project_id) is None:
        raise not_found("project", project_id)


def _endpoint(tx: Connection, endpoint_id: str) -> None:
    if rows.get(tx, Endpoint, endpoint_id) is None:
        raise not_found("endpoint", endpoint_id)
