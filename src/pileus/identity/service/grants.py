"""Giving roles: to a user or a group, on a project, a domain or the system."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.identity import tables
from pileus.identity.service.roles import there
from pileus.identity.service.words import (
    domain_target,
    forbidden,
    group_target,
    not_found,
    project_target,
    role_target,
    user_target,
)
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import Assignment, Group, Project, Role, User
from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound


@dataclass(frozen=True)
class Place:
    """Whose roles, and where.  inherited: on what lies below, not on the target itself."""

    actor_kind: str
    actor_id: str
    target_kind: str
    target_id: str
    inherited: bool = False

    def rule(self, action: str) -> str:
        """Return the rule that guards an action ("create", "check", "list", "revoke")."""
        if self.target_kind == "system":
            return f"identity:{action}_system_grant{'s' if action == 'list' else ''}_for_{self.actor_kind}"
        return "identity:list_grants" if action == "list" else f"identity:{action}_grant"


def list_(ctx: Context, place: Place) -> list[Role]:
    """Return the roles given there."""
    with ctx.cloud.db.read() as tx:
        _require(ctx, tx, place, "list", None)
        held = rows.find(tx, Assignment, **_where(place))
        found = rows.by_id(tx, Role, [a.role_id for a in held])
    return sorted(found.values(), key=lambda role: role.name)


def check(ctx: Context, place: Place, role_id: str) -> Role:
    """Return a role that was given there.

    :raises NotFound: when it was not.
    """
    with ctx.cloud.db.read() as tx:
        role: Role = _require(ctx, tx, place, "check", role_id)
        if not links.exists(tx, tables.assignments, **_where(place), role_id=role_id):
            raise _missing(place, role_id)
    return role


def create(ctx: Context, place: Place, role_id: str) -> None:
    """Give a role; nothing changes when it was given already."""
    with ctx.cloud.db.begin() as tx:
        role = _require(ctx, tx, place, "create", role_id)
        if role.domain_id and place.target_kind == "project":
            project = rows.get(tx, Project, place.target_id)
            if project is not None and project.home_id != role.domain_id:
                raise forbidden()
        if role.domain_id and place.target_kind == "system":
            raise forbidden()
        if links.add(tx, tables.assignments, **_where(place), role_id=role_id):
            revisions.bump(tx)


def revoke(ctx: Context, place: Place, role_id: str) -> None:
    """Take a role away; tokens lose it at once.

    :raises NotFound: when it was not given.
    """
    with ctx.cloud.db.begin() as tx:
        _require(ctx, tx, place, "revoke", role_id)
        if not links.drop(tx, tables.assignments, **_where(place), role_id=role_id):
            raise _missing(place, role_id)
        revisions.bump(tx)


def _where(place: Place) -> dict[str, Any]:
    return {
        "actor_kind": place.actor_kind,
        "actor_id": place.actor_id,
        "target_kind": place.target_kind,
        "target_id": place.target_id,
        "inherited": place.inherited,
    }


def _missing(place: Place, role_id: str) -> NotFound:
    return NotFound(
        f"Could not find role assignment with role: {role_id}, user or group: {place.actor_id}, "
        f"project, domain, or system: {place.target_id}."
    )


def _require(ctx: Context, tx: Connection, place: Place, action: str, role_id: str | None) -> Any:
    """Check the rule, then that all that is named is there; return the role."""
    user = rows.get(tx, User, place.actor_id) if place.actor_kind == "user" else None
    group = rows.get(tx, Group, place.actor_id) if place.actor_kind == "group" else None
    target = rows.get(tx, Project, place.target_id) if place.target_kind != "system" else None
    if target is not None and place.target_kind == "domain" and not target.is_domain:
        target = None
    role = rows.get(tx, Role, role_id) if role_id else None
    facts = {**user_target(user), **group_target(group), **role_target(role)}
    facts |= domain_target(target) if place.target_kind == "domain" else project_target(target)
    ctx.require(place.rule(action), facts)
    if user is None and group is None and action != "revoke":
        raise not_found(place.actor_kind, place.actor_id)
    if target is None and place.target_kind != "system":
        raise not_found(place.target_kind, place.target_id)
    return there(tx, role_id) if role_id else None
