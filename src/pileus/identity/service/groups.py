"""Groups of users."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.identity import tables
from pileus.identity.service.users import require_domain
from pileus.identity.service.words import domain_of, group_target, merged, not_found, user_target
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import Assignment, Group, User
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound


def list_(ctx: Context, where: Mapping[str, Any]) -> list[Group]:
    """Return groups whose attributes equal those given."""
    ctx.require("identity:list_groups", {"target.domain_id": ctx.domain_id or where.get("domain_id")})
    limits = dict(where) | ({"domain_id": ctx.domain_id} if ctx.domain_id else {})
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, Group, **limits)


def get(ctx: Context, group_id: str) -> Group:
    """Return a group.

    :raises NotFound: when there is none.
    """
    with ctx.cloud.db.read() as tx:
        return _require(ctx, tx, "identity:get_group", group_id)


def create(ctx: Context, values: Mapping[str, Any]) -> Group:
    """Make a group.

    :raises Conflict: when the domain has one of that name.
    """
    given = dict(values)
    domain_id = domain_of(ctx, given.pop("domain_id", None))
    ctx.require("identity:create_group", {"target.group.domain_id": domain_id})
    group = Group(ids.hex_id(), domain_id=domain_id, **given)
    with ctx.cloud.db.begin() as tx:
        require_domain(tx, domain_id)
        rows.add(tx, group, "group", f"Duplicate entry found with name {group.name} at domain ID {domain_id}.")
    return group


def update(ctx: Context, group_id: str, values: Mapping[str, Any]) -> Group:
    """Change a group.

    :raises Conflict: when the name is taken.
    """
    given = dict(values)
    with ctx.cloud.db.begin() as tx:
        group = _require(ctx, tx, "identity:update_group", group_id)
        if given.pop("domain_id", group.domain_id) != group.domain_id:
            raise BadRequest("Cannot change Domain ID")
        name = given.get("name", group.name)
        details = f"Duplicate entry found with name {name} at domain ID {group.domain_id}."
        rows.change(tx, Group, group_id, merged({"extra": group.extra}, given), "group", details)
        return rows.get(tx, Group, group_id) or group


def delete(ctx: Context, group_id: str) -> None:
    """Delete a group; its members lose what they held through it."""
    with ctx.cloud.db.begin() as tx:
        remove(tx, _require(ctx, tx, "identity:delete_group", group_id))


def remove(tx: Connection, group: Group) -> None:
    """Delete a group's rows."""
    rows.drop(tx, Assignment, actor_kind="group", actor_id=group.id)
    rows.drop(tx, Group, id=group.id)
    revisions.bump(tx)


def list_users(ctx: Context, group_id: str, where: Mapping[str, Any]) -> list[User]:
    """Return the users of a group."""
    with ctx.cloud.db.read() as tx:
        _require(ctx, tx, "identity:list_users_in_group", group_id)
        found = rows.find(tx, User, id=links.member_ids(tx, group_id), **where)
    return [user for user in found if not ctx.domain_id or user.domain_id == ctx.domain_id]


def check_user(ctx: Context, group_id: str, user_id: str) -> None:
    """Tell whether a user is in a group.

    :raises NotFound: when they are not.
    """
    with ctx.cloud.db.read() as tx:
        _require_both(ctx, tx, "identity:check_user_in_group", group_id, user_id)
        if not links.exists(tx, tables.memberships, user_id=user_id, group_id=group_id):
            raise NotFound(f"User '{user_id}' not found in group '{group_id}'.")


def add_user(ctx: Context, group_id: str, user_id: str) -> None:
    """Put a user into a group; nothing changes when they are in it."""
    with ctx.cloud.db.begin() as tx:
        _require_both(ctx, tx, "identity:add_user_to_group", group_id, user_id)
        if links.add(tx, tables.memberships, user_id=user_id, group_id=group_id):
            revisions.bump(tx)


def remove_user(ctx: Context, group_id: str, user_id: str) -> None:
    """Take a user out of a group.

    :raises NotFound: when they are not in it.
    """
    with ctx.cloud.db.begin() as tx:
        _require_both(ctx, tx, "identity:remove_user_from_group", group_id, user_id)
        if not links.drop(tx, tables.memberships, user_id=user_id, group_id=group_id):
            raise NotFound(f"User '{user_id}' not found in group '{group_id}'.")
        revisions.bump(tx)


def _require(ctx: Context, tx: Connection, rule: str, group_id: str) -> Group:
    group = rows.get(tx, Group, group_id)
    ctx.require(rule, group_target(group))
    if group is None:
        raise not_found("group", group_id)
    return group


def _require_both(ctx: Context, tx: Connection, rule: str, group_id: str, user_id: str) -> None:
    group, user = rows.get(tx, Group, group_id), rows.get(tx, User, user_id)
    ctx.require(rule, {**group_target(group), **user_target(user)})
    if group is None:
        raise not_found("group", group_id)
    if user is None:
        raise not_found("user", user_id)
