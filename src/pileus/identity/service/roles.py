"""Roles, and the roles they imply."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.identity import effective, tables
from pileus.identity.service.users import require_domain
from pileus.identity.service.words import merged, not_found, require_mutable, role_target
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import Role
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Forbidden, NotFound


def _rule(action: str, domain_id: str | None) -> str:
    return f"identity:{action}_domain_role" if domain_id else f"identity:{action}_role"


def list_(ctx: Context, where: Mapping[str, Any]) -> list[Role]:
    """Return the global roles, or those of the domain that is named."""
    domain_id = where.get("domain_id") or ""
    ctx.require("identity:list_domain_roles" if domain_id else "identity:list_roles")
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, Role, **{**where, "domain_id": domain_id})


def get(ctx: Context, role_id: str) -> Role:
    """Return a role.

    :raises NotFound: when there is none.
    """
    with ctx.cloud.db.read() as tx:
        return _require(ctx, tx, "get", role_id)


def create(ctx: Context, values: Mapping[str, Any]) -> Role:
    """Make a role.

    :raises Conflict: when there is one of that name.
    """
    given = dict(values)
    domain_id = given.pop("domain_id", None) or ""
    ctx.require(_rule("create", domain_id))
    role = Role(ids.hex_id(), domain_id=domain_id, **given)
    with ctx.cloud.db.begin() as tx:
        if domain_id:
            require_domain(tx, domain_id)
        rows.add(tx, role, "role", f"Duplicate entry found with name {role.name}.")
        revisions.bump(tx)
    return role


def update(ctx: Context, role_id: str, values: Mapping[str, Any]) -> Role:
    """Change a role.

    :raises Conflict: when the name is taken.
    """
    given = dict(values)
    with ctx.cloud.db.begin() as tx:
        role = _require(ctx, tx, "update", role_id)
        require_mutable("role", role, given)
        if (given.pop("domain_id", role.domain_id) or "") != role.domain_id:
            raise BadRequest("Cannot change Domain ID")
        columns = merged({"extra": role.extra, "options": role.options}, given)
        rows.change(tx, Role, role_id, columns, "role", f"Duplicate entry found with name {given.get('name', role.name)}.")
        revisions.bump(tx)
        return rows.get(tx, Role, role_id) or role


def delete(ctx: Context, role_id: str) -> None:
    """Delete a role and all its assignments."""
    with ctx.cloud.db.begin() as tx:
        require_mutable("role", _require(ctx, tx, "delete", role_id))
        rows.drop(tx, Role, id=role_id)
        revisions.bump(tx)


def list_implied(ctx: Context, prior_id: str) -> tuple[Role, list[Role]]:
    """Return a role and the roles that it implies directly."""
    ctx.require("identity:list_implied_roles")
    with ctx.cloud.db.read() as tx:
        prior = there(tx, prior_id)
        return prior, _in_order(tx, links.implications(tx).get(prior_id, []))


def list_inferences(ctx: Context) -> list[tuple[Role, list[Role]]]:
    """Return every role that implies others, with those."""
    ctx.require("identity:list_role_inference_rules")
    with ctx.cloud.db.read() as tx:
        known = {role.id: role for role in rows.find(tx, Role)}
        return [(known[prior], [known[id] for id in implied]) for prior, implied in links.implications(tx).items()]


def get_implied(ctx: Context, prior_id: str, implied_id: str, rule: str = "identity:get_implied_role") -> tuple[Role, Role]:
    """Return two roles of which the first implies the second.

    :raises NotFound: when it does not.
    """
    ctx.require(rule)
    with ctx.cloud.db.read() as tx:
        prior, implied = there(tx, prior_id), there(tx, implied_id)
        if not links.exists(tx, tables.implied_roles, prior_id=prior_id, implied_id=implied_id):
            raise NotFound(f"{prior_id} does not imply {implied_id}.")
    return prior, implied


def create_implied(ctx: Context, prior_id: str, implied_id: str) -> tuple[Role, Role]:
    """Have a role imply another.

    :raises Forbidden: when the other is the role admin, or would lead back to the first.
    """
    ctx.require("identity:create_implied_role")
    with ctx.cloud.db.begin() as tx:
        prior, implied = there(tx, prior_id), there(tx, implied_id)
        if implied.name == "admin" and not implied.domain_id:
            raise Forbidden(f"{implied_id} cannot be an implied roles.")
        if prior_id in effective.closure([implied_id], links.implications(tx)):
            raise Forbidden(f"{implied_id} cannot be an implied roles.")
        links.add(tx, tables.implied_roles, prior_id=prior_id, implied_id=implied_id)
        revisions.bump(tx)
    return prior, implied


def delete_implied(ctx: Context, prior_id: str, implied_id: str) -> None:
    """Have a role not imply another any more.

    :raises NotFound: when it does not.
    """
    ctx.require("identity:delete_implied_role")
    with ctx.cloud.db.begin() as tx:
        there(tx, prior_id)
        there(tx, implied_id)
        if not links.drop(tx, tables.implied_roles, prior_id=prior_id, implied_id=implied_id):
            raise NotFound(f"{prior_id} does not imply {implied_id}.")
        revisions.bump(tx)


def there(tx: Connection, role_id: str) -> Role:
    """Return a role.

    :raises NotFound: when there is none.
    """
    role = rows.get(tx, Role, role_id)
    if role is None:
        raise not_found("role", role_id)
    return role


def _in_order(tx: Connection, role_ids: list[str]) -> list[Role]:
    return sorted(rows.by_id(tx, Role, role_ids).values(), key=lambda role: role.name)


def _require(ctx: Context, tx: Connection, action: str, role_id: str) -> Role:
    role = rows.get(tx, Role, role_id)
    ctx.require(_rule(action, role.domain_id if role else None), role_target(role))
    if role is None:
        raise not_found("role", role_id)
    return role
