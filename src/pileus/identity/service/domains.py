"""Domains."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.identity import effective
from pileus.identity.service import groups, projects, users
from pileus.identity.service.words import domain_target, not_found, require_mutable
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import Group, Project, Role, User
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden


def list_(ctx: Context, where: Mapping[str, Any]) -> list[Project]:
    """Return domains whose attributes equal those given."""
    ctx.require("identity:list_domains", {"target.domain.id": ctx.domain_id})
    with ctx.cloud.db.read() as tx:
        found = rows.find(tx, Project, is_domain=True, **where)
    return [domain for domain in found if not ctx.domain_id or domain.id == ctx.domain_id]


def get(ctx: Context, domain_id: str) -> Project:
    """Return a domain.

    :raises NotFound: when there is none.
    """
    with ctx.cloud.db.read() as tx:
        return _require(ctx, tx, "identity:get_domain", domain_id)


def create(ctx: Context, values: Mapping[str, Any]) -> Project:
    """Make a domain.

    :raises Conflict: when there is one of that name.
    """
    ctx.require("identity:create_domain", {})
    given = dict(values)
    tags = given.pop("tags", [])
    id = given.pop("explicit_domain_id", None) or ids.hex_id()
    if not all(c in "0123456789abcdef" for c in id) or len(id) != 32:
        raise BadRequest("Domain ID does not conform to required UUID format.")
    domain = Project(id, is_domain=True, **given)
    said = f"it is not permitted to have two projects acting as domains with the same name: {domain.name}"
    with ctx.cloud.db.begin() as tx:
        if rows.get(tx, Project, id):
            raise Conflict(f"Conflict occurred attempting to store domain - Duplicate ID, {id}.")
        rows.add(tx, domain, "project", said)
        links.set_tags(tx, domain.id, tags)
        revisions.bump(tx)  # every process reads the list of domains again
    return domain


def update(ctx: Context, domain_id: str, values: Mapping[str, Any]) -> Project:
    """Change a domain; disabling it makes the tokens of its users and for its projects void.

    :raises Conflict: when the name is taken.
    """
    given = dict(values)
    tags = given.pop("tags", None)
    with ctx.cloud.db.begin() as tx:
        domain = _require(ctx, tx, "identity:update_domain", domain_id)
        require_mutable("domain", domain, given)
        projects.change(tx, ctx.cloud, domain, given)
        if tags is not None:
            links.set_tags(tx, domain_id, tags)
        return rows.get(tx, Project, domain_id) or domain


def delete(ctx: Context, domain_id: str) -> None:
    """Delete a disabled domain with all that is in it.

    :raises Forbidden: when it is enabled.
    """
    with ctx.cloud.db.begin() as tx:
        domain = _require(ctx, tx, "identity:delete_domain", domain_id)
        require_mutable("domain", domain)
        if domain.enabled:
            raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
        _remove(tx, ctx.cloud, domain)


def delete_project(ctx: Context, project_id: str) -> None:
    """Delete a project that has none below it, or a disabled domain under its name as a project.

    :raises Forbidden: when it is an enabled domain, or has others below it.
    """
    with ctx.cloud.db.begin() as tx:
        project = projects.require(ctx, tx, "identity:delete_project", project_id)
        require_mutable("project", project)
        if not project.is_domain:
            return projects.remove_leaf(tx, ctx.cloud, project)
        if project.enabled:
            raise Forbidden(
                f"cannot delete an enabled project acting as a domain. Please disable the project {project_id} first."
            )
        _remove(tx, ctx.cloud, project)
    return None


def _remove(tx: Connection, cloud: Cloud, domain: Project) -> None:
    """Delete a domain with all that is in it."""
    for user in rows.find(tx, User, domain_id=domain.id):
        users.remove(tx, cloud, user)
    for group in rows.find(tx, Group, domain_id=domain.id):
        groups.remove(tx, group)
    below = effective.subtree(domain.id, rows.find(tx, Project, is_domain=False, domain_id=domain.id))
    for project in reversed(below):
        projects.remove(tx, cloud, project)
    rows.drop(tx, Role, domain_id=domain.id)
    projects.remove(tx, cloud, domain)


def _require(ctx: Context, tx: Connection, rule: str, domain_id: str) -> Project:
    domain = rows.get(tx, Project, domain_id)
    if domain is not None and not domain.is_domain:
        domain = None
    ctx.require(rule, domain_target(domain))
    if domain is None:
        raise not_found("domain", domain_id)
    return domain
