"""Application credentials: a secret with which a program acts as a user in one project, with some of their roles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pileus.identity import effective, tables
from pileus.identity.service import tokens
from pileus.identity.service.users import hash_password
from pileus.identity.service.words import BLAME, expecting, forbidden, not_found
from pileus.identity.state import state_of
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import AccessRule, AppCredential, Role
from pileus.kernel import ids
from pileus.kernel.clock import from_iso
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Forbidden

RESTRICTED = "Using method 'application_credential' is not allowed for managing additional application credentials."


@dataclass(frozen=True)
class Full:
    """An application credential with its roles and rules; secret only when it was just made."""

    credential: AppCredential
    roles: list[Role]
    rules: list[AccessRule]
    secret: str = ""


def list_(ctx: Context, user_id: str, where: Mapping[str, Any]) -> list[Full]:
    """Return a user's application credentials."""
    ctx.require("identity:list_application_credentials", {"user_id": user_id})
    with ctx.cloud.db.read() as tx:
        return [_full(tx, found) for found in rows.find(tx, AppCredential, user_id=user_id, **where)]


def get(ctx: Context, credential_id: str) -> Full:
    """Return an application credential.

    :raises NotFound: when there is none.
    """
    with ctx.cloud.db.read() as tx:
        return _full(tx, _require(ctx, tx, "identity:get_application_credential", credential_id))


def create(ctx: Context, user_id: str, values: Mapping[str, Any]) -> Full:
    """Make an application credential for the caller, in the project of their token.

    :raises Conflict: when they have one of that name.
    """
    ctx.require("identity:create_application_credential", {"user_id": user_id})
    tokens.refuse_lent(ctx, RESTRICTED)
    given = dict(values)
    wanted, rules = given.pop("roles", None), given.pop("access_rules", None)
    secret = given.pop("secret", None) or ids.secret(64)
    if given.get("expires_at") is not None:
        given["expires_at"] = _read_end(ctx, given["expires_at"])
    made = AppCredential(
        ids.hex_id(), user_id=user_id, project_id=ctx.project_id, restricted_paths=bool(rules),
        secret_hash=hash_password(ctx.cloud, secret) or "", **given,
    )  # fmt: skip
    roles = _choose_roles(ctx, wanted)
    with ctx.cloud.db.begin() as tx:
        rows.add(tx, made, "application_credential", f"Duplicate entry found with name {made.name}.")
        for role in roles:
            links.add(tx, tables.app_credential_roles, app_credential_id=made.id, role_id=role.id)
        for rule in _settle_rules(tx, user_id, rules or []):
            links.add(tx, tables.app_credential_access_rules, app_credential_id=made.id, access_rule_id=rule.id)
        return replace(_full(tx, made), secret=secret)


def delete(ctx: Context, credential_id: str) -> None:
    """Delete an application credential; its tokens become void."""
    with ctx.cloud.db.begin() as tx:
        _require(ctx, tx, "identity:delete_application_credential", credential_id)
        tokens.refuse_lent(ctx, RESTRICTED)
        rows.drop(tx, AppCredential, id=credential_id)
        revisions.bump(tx)


def list_rules(ctx: Context, user_id: str, where: Mapping[str, Any]) -> list[AccessRule]:
    """Return a user's access rules."""
    ctx.require("identity:list_access_rules", {"user_id": user_id})
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, AccessRule, user_id=user_id, **where)


def get_rule(ctx: Context, user_id: str, rule_id: str) -> AccessRule:
    """Return an access rule.

    :raises NotFound: when the user has no such rule.
    """
    ctx.require("identity:get_access_rule", {"user_id": user_id})
    with ctx.cloud.db.read() as tx:
        return _rule(tx, user_id, rule_id)


def delete_rule(ctx: Context, user_id: str, rule_id: str) -> None:
    """Delete an access rule.

    :raises Forbidden: when an application credential uses it.
    """
    ctx.require("identity:delete_access_rule", {"user_id": user_id})
    with ctx.cloud.db.begin() as tx:
        _rule(tx, user_id, rule_id)
        if links.exists(tx, tables.app_credential_access_rules, access_rule_id=rule_id):
            raise Forbidden(f"Could not delete Access Rule {rule_id}: it is in use by an application credential.")
        rows.drop(tx, AccessRule, id=rule_id)


def _full(tx: Connection, credential: AppCredential) -> Full:
    roles = rows.by_id(tx, Role, links.app_credential_roles(tx, credential.id))
    rules = links.app_credential_rules(tx, credential.id) if credential.restricted_paths else []
    return Full(credential, sorted(roles.values(), key=lambda role: role.name), rules)


def _require(ctx: Context, tx: Connection, rule: str, credential_id: str) -> AppCredential:
    """Return an application credential; its owner is who it says, whatever user the URL names."""
    found = rows.get(tx, AppCredential, credential_id)
    ctx.require(rule, {"user_id": found.user_id if found else ctx.user_id})
    if found is None:
        raise not_found("Application Credential", credential_id)
    return found


def _rule(tx: Connection, user_id: str, rule_id: str) -> AccessRule:
    found = rows.get(tx, AccessRule, rule_id)
    if found is None or found.user_id != user_id:
        raise not_found("Access Rule", rule_id)
    return found


def _read_end(ctx: Context, text: str) -> float:
    try:
        ends = from_iso(text)
    except ValueError:
        raise BadRequest(f"Timestamp not in expected format. {BLAME}") from None
    if ends <= ctx.cloud.clock.now():
        raise BadRequest(f"The 'expires_at' must not be before now. {BLAME}")
    return ends


def _choose_roles(ctx: Context, wanted: Sequence[Mapping[str, Any]] | None) -> list[Role]:
    """Return the roles to give: those asked for with what they imply, of those the caller has; else all of these."""
    view = state_of(ctx.cloud).view(ctx.cloud)
    own = [role for role in view.roles.values() if not role.domain_id and role.name.lower() in ctx.roles]
    if not wanted:
        return own
    chosen: list[str] = []
    for named in wanted:
        if not named.get("id") and not named.get("name"):
            raise expecting("id or name", "role")
        matching = [role for role in view.roles.values() if named.get("id") == role.id]
        matching = matching or [role for role in view.roles.values() if named.get("name") == role.name and not role.domain_id]
        if not matching:
            raise not_found("role", str(named.get("id") or named.get("name")))
        chosen.append(matching[0].id)
    everything = effective.closure(chosen, view.implied)
    if not set(everything) <= {role.id for role in own}:
        raise BadRequest("Invalid application credential: Cannot create an application credential with unassigned role")
    return [view.roles[id] for id in everything]


def _settle_rules(tx: Connection, user_id: str, given: Sequence[Mapping[str, Any]]) -> list[AccessRule]:
    """Return the rules named by id or content; those that are not there yet are made."""
    found: list[AccessRule] = []
    for named in given:
        if named.get("id"):
            found.append(_rule(tx, user_id, named["id"]))
            continue
        content = {key: named.get(key) for key in ("service", "path", "method")}
        if missing := sorted(key for key, value in content.items() if not value):
            raise expecting(missing[0], "access rule")
        rule = rows.first(tx, AccessRule, user_id=user_id, **content)
        if rule is None:
            rule = AccessRule(ids.hex_id(), user_id, str(content["service"]), str(content["path"]), str(content["method"]))
            rows.add(tx, rule, "access_rule", "Duplicate entry.")
        found.append(rule)
    return found


def refuse_other_user(ctx: Context, user_id: str) -> None:
    """Keep callers from making credentials for others.

    :raises Forbidden: when the user is another one.
    """
    if user_id != ctx.user_id:
        raise forbidden("Cannot create an application credential for another user.")
