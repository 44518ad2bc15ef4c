"""Users and their passwords."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.identity import effective, passwords
from pileus.identity.service import security
from pileus.identity.service.words import (
    domain_of,
    merged,
    not_found,
    require_mutable,
    unauthenticated,
    user_target,
)
from pileus.identity.state import state_of
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import Assignment, Credential, Group, OAuthToken, Project, Trust, User
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest

PASSWORD_MAX = 4096


def get_name(cloud: Cloud, user_id: str) -> str | None:
    """Return the name of a user; None when there is none.  For other services: checks no rule."""
    with cloud.db.read() as tx:
        user = rows.get(tx, User, user_id)
    return user.name if user else None


def list_(ctx: Context, where: Mapping[str, Any]) -> list[User]:
    """Return users whose attributes equal those given; a domain's own people see those of the domain."""
    ctx.require("identity:list_users", {"target.domain_id": ctx.domain_id or where.get("domain_id")})
    limits = dict(where) | ({"domain_id": ctx.domain_id} if ctx.domain_id else {})
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, User, **limits)


def get(ctx: Context, user_id: str) -> User:
    """Return a user.

    :raises NotFound: when there is none.
    """
    with ctx.cloud.db.read() as tx:
        user = rows.get(tx, User, user_id)
    ctx.require("identity:get_user", user_target(user))
    return _there(user, user_id)


def create(ctx: Context, values: Mapping[str, Any]) -> User:
    """Make a user.

    :raises NotFound: when the domain or default project is not there.
    :raises Conflict: when the domain has a user of that name.
    """
    given = dict(values)
    domain_id = domain_of(ctx, given.pop("domain_id", None))
    ctx.require("identity:create_user", {"target.user.domain_id": domain_id})
    if (password := given.pop("password", None)) is not None:
        given |= _new_password(ctx.cloud, password, given.get("options") or {}, by_self=False)
    user = User(ids.hex_id(), domain_id=domain_id, created_at=ctx.cloud.clock.now(), **given)
    with ctx.cloud.db.begin() as tx:
        require_domain(tx, domain_id)
        _check_default_project(tx, user.default_project_id)
        rows.add(tx, user, "user", f"Duplicate entry found with name {user.name} at domain ID {domain_id}.")
    return user


def update(ctx: Context, user_id: str, values: Mapping[str, Any]) -> User:
    """Change a user; a new password, or disabling, makes their tokens void.

    :raises NotFound: when there is no such user or project.
    :raises Conflict: when the name is taken.
    """
    with ctx.cloud.db.read() as tx:
        user = rows.get(tx, User, user_id)
    ctx.require("identity:update_user", user_target(user))
    user = _there(user, user_id)
    given = dict(values)
    if given.pop("domain_id", user.domain_id) != user.domain_id:
        raise BadRequest("Cannot change Domain ID")
    secret_changed = "password" in given
    if secret_changed:
        options = {**user.options, **(given.get("options") or {})}
        given |= _new_password(ctx.cloud, given.pop("password"), options, by_self=False)
    with ctx.cloud.db.begin() as tx:
        _check_default_project(tx, given.get("default_project_id"))
        name = given.get("name", user.name)
        details = f"Duplicate entry found with name {name} at domain ID {user.domain_id}."
        rows.change(tx, User, user_id, merged(_as_old(user), given), "user", details)
        if secret_changed:
            security.remember(tx, ctx.cloud, user)
        if given.get("enabled") is True:
            links.set_failures(tx, user_id, 0, 0)
        if secret_changed or given.get("enabled") is False:
            revisions.revoke(tx, "user", user_id, ctx.cloud.clock.now())
        revisions.bump(tx)
        return _there(rows.get(tx, User, user_id), user_id)


def delete(ctx: Context, user_id: str) -> None:
    """Delete a user, with their assignments and credentials."""
    with ctx.cloud.db.read() as tx:
        user = rows.get(tx, User, user_id)
    ctx.require("identity:delete_user", user_target(user))
    user = _there(user, user_id)
    require_mutable("user", user)
    with ctx.cloud.db.begin() as tx:
        remove(tx, ctx.cloud, user)


def remove(tx: Connection, cloud: Cloud, user: User) -> None:
    """Delete a user's rows and tell the other services."""
    rows.drop(tx, Assignment, actor_kind="user", actor_id=user.id)
    rows.drop(tx, Credential, user_id=user.id)
    rows.drop(tx, OAuthToken, user_id=user.id)
    rows.drop(tx, Trust, trustor_user_id=user.id)
    rows.drop(tx, Trust, trustee_user_id=user.id)
    rows.drop(tx, User, id=user.id)
    revisions.bump(tx)
    cloud.events.publish(tx, cloud, "identity.user.deleted", {"id": user.id, "user_id": user.id})


def change_password(cloud: Cloud, user_id: str, original: str, password: str) -> None:
    """Have somebody who knows a user's password change it.  Needs no token.

    :raises Unauthenticated: when the original password is wrong, or the user not there, disabled or locked out.
    :raises BadRequest: when the settings do not allow the change.
    """
    with cloud.db.read() as tx:
        user = rows.get(tx, User, user_id)
    good = passwords.matches(original, user.password_hash if user else None, cloud.settings.bcrypt_rounds)
    domain = state_of(cloud).view(cloud).domains.get(user.domain_id) if user else None
    if user is None or domain is None or security.is_locked_out(cloud, user):
        raise unauthenticated()
    security.note_login(cloud, user, good)
    if not (good and user.enabled and domain.enabled):
        raise unauthenticated()
    security.require_changeable(cloud, user, password)
    columns = _new_password(cloud, password, user.options, by_self=True)
    with cloud.db.begin() as tx:
        security.remember(tx, cloud, user)
        rows.change(tx, User, user_id, columns)
        revisions.revoke(tx, "user", user_id, cloud.clock.now())


def list_groups(ctx: Context, user_id: str, where: Mapping[str, Any]) -> list[Group]:
    """Return the groups that a user is in."""
    with ctx.cloud.db.read() as tx:
        user = rows.get(tx, User, user_id)
        ctx.require("identity:list_groups_for_user", user_target(user))
        _there(user, user_id)
        found = rows.find(tx, Group, id=links.group_ids(tx, user_id), **where)
    return [group for group in found if not ctx.domain_id or group.domain_id == ctx.domain_id]


def list_projects(ctx: Context, user_id: str, where: Mapping[str, Any]) -> list[Project]:
    """Return the projects on which a user has a role."""
    with ctx.cloud.db.read() as tx:
        user = rows.get(tx, User, user_id)
        ctx.require("identity:list_user_projects", user_target(user))
        _there(user, user_id)
        return reachable_projects(tx, user_id, where)


def reachable_projects(tx: Connection, user_id: str, where: Mapping[str, Any] | None = None) -> list[Project]:
    """Return the projects on which a user has a role."""
    held = links.assignments_of(tx, user_id)
    if any(a.inherited for a in held):
        everything = {project.id: project for project in rows.find(tx, Project, is_domain=False)}
        wanted = effective.reachable_projects(held, everything)
    else:
        wanted = [a.target_id for a in held if a.target_kind == "project"]
    return rows.find(tx, Project, is_domain=False, id=wanted, **(where or {})) if wanted else []


def hash_password(cloud: Cloud, password: str | None) -> str | None:
    """Return the hash of a password.

    :raises BadRequest: when it is empty or too long.
    """
    if password is None:
        return None
    if not password:
        raise BadRequest("Password validation error: the password is empty.")
    if len(password) > PASSWORD_MAX:
        raise BadRequest(f"The password length must be less than or equal to {PASSWORD_MAX}.")
    return passwords.make_hash(password, cloud.settings.bcrypt_rounds)


def _new_password(cloud: Cloud, password: str | None, options: Mapping[str, Any], by_self: bool) -> dict[str, Any]:
    """Return the columns of a user whose password is replaced."""
    if password is not None:
        security.require_form(cloud, password)
    return {"password_hash": hash_password(cloud, password), **security.stamps(cloud, options, by_self)}


def require_domain(tx: Connection, domain_id: str) -> Project:
    """Return a domain.

    :raises NotFound: when there is none.
    """
    domain = rows.get(tx, Project, domain_id)
    if domain is None or not domain.is_domain:
        raise not_found("domain", domain_id)
    return domain


def _check_default_project(tx: Connection, project_id: str | None) -> None:
    if project_id is None:
        return
    project = rows.get(tx, Project, project_id)
    if project is not None and project.is_domain:
        raise BadRequest(f"User's default project ID cannot be a domain ID: {project_id}")


def _as_old(user: User) -> dict[str, Any]:
    return {"extra": user.extra, "options": user.options}


def _there(user: User | None, user_id: str) -> User:
    if user is None:
        raise not_found("user", user_id)
    return user
