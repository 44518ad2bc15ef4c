"""Trusts: one user lets another act for them on a project, with some of their roles, for a while, or a number of times.

A trust may be given on (redelegated) as deep as it says; what is given on never holds more than what it came from, and goes
with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.identity import tables
from pileus.identity.service import tokens
from pileus.identity.service.words import BLAME, forbidden, not_found, unauthenticated
from pileus.identity.state import state_of
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import Project, Role, Trust, User
from pileus.kernel import ids
from pileus.kernel.clock import from_iso
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Forbidden

DEPTH_MAX = 3
RESTRICTED = "Using method 'application_credential' is not allowed for managing trusts."


@dataclass(frozen=True)
class Full:
    """A trust with its roles."""

    trust: Trust
    roles: list[Role]


def find(cloud: Cloud, trust_id: str, user_id: str) -> Trust:
    """Return a trust that a user wants a token of.  For logging in: the proof is theirs.

    :raises Unauthenticated: when there is none that can be used.
    :raises Forbidden: when they are not its trustee.
    """
    with cloud.db.read() as tx:
        trust = rows.get(tx, Trust, trust_id)
    if trust is None or not _is_usable(cloud, trust):
        raise unauthenticated()
    if trust.trustee_user_id != user_id:
        raise Forbidden("User is not a trustee.")
    return trust


def use(cloud: Cloud, trust: Trust) -> None:
    """Take one of its uses, where they are counted.

    :raises Forbidden: when none is left.
    """
    if trust.remaining_uses is None:
        return
    with cloud.db.begin() as tx:
        if not links.use_trust(tx, trust.id):
            raise Forbidden(f"No remaining uses for trust: {trust.id}.")


def list_(ctx: Context, where: Mapping[str, str]) -> list[Trust]:
    """Return trusts: those of a trustor or trustee, or all."""
    if "trustor_user_id" in where:
        ctx.require("identity:list_trusts_for_trustor", {"target.trust.trustor_user_id": where["trustor_user_id"]})
    elif "trustee_user_id" in where:
        ctx.require("identity:list_trusts_for_trustee", {"target.trust.trustee_user_id": where["trustee_user_id"]})
    else:
        ctx.require("identity:list_trusts", {})
    with ctx.cloud.db.read() as tx:
        return [trust for trust in rows.find(tx, Trust, **where) if _is_usable(ctx.cloud, trust)]


def get(ctx: Context, trust_id: str) -> Full:
    """Return a trust.

    :raises NotFound: when there is none that can be used.
    """
    with ctx.cloud.db.read() as tx:
        return _full(tx, _require(ctx, tx, "identity:get_trust", trust_id))


def list_roles(ctx: Context, trust_id: str) -> list[Role]:
    """Return the roles of a trust."""
    with ctx.cloud.db.read() as tx:
        return _full(tx, _require(ctx, tx, "identity:list_roles_for_trust", trust_id)).roles


def get_role(ctx: Context, trust_id: str, role_id: str) -> Role:
    """Return one role of a trust.

    :raises NotFound: when it does not give it.
    """
    with ctx.cloud.db.read() as tx:
        full = _full(tx, _require(ctx, tx, "identity:get_role_for_trust", trust_id))
    for role in full.roles:
        if role.id == role_id:
            return role
    raise not_found("role", role_id)


def create(ctx: Context, values: Mapping[str, Any]) -> Full:
    """Make a trust of the caller's; a caller who acts by a trust gives it on.

    :raises NotFound: when the trustee, the project, or a role of the trustor's there is not there.
    :raises Forbidden: when they give on more than they have.
    """
    given = dict(values)
    ctx.require("identity:create_trust", {"target.trust.trustor_user_id": given["trustor_user_id"]})
    tokens.refuse_restricted(ctx, RESTRICTED)
    wanted, allow = given.pop("roles", []), given.pop("allow_redelegation", False)
    if given.get("project_id") and not wanted:
        raise forbidden("At least one role should be specified")
    if given["trustor_user_id"] != ctx.user_id:
        raise forbidden("The authenticated user should match the trustor")
    if given.get("expires_at") is not None:
        given["expires_at"] = _read_end(ctx, given["expires_at"])
    uses = given.get("remaining_uses")
    if uses is not None and uses <= 0:
        raise BadRequest("remaining_uses must be a positive integer or null.")
    asked = given.pop("redelegation_count", None)
    allow = allow and asked != 0
    with ctx.cloud.db.begin() as tx:
        if rows.get(tx, User, given["trustee_user_id"]) is None:
            raise not_found("user", given["trustee_user_id"])
        above = _above(ctx, tx)
        roles = _choose_roles(ctx, tx, given.get("project_id"), wanted, above)
        if above:
            given |= _given_on(tx, above, given, roles)
        given["redelegation_count"] = _depth(above, asked) if allow else 0
        trust = Trust(ids.hex_id(), **given)
        rows.add(tx, trust, "trust", "Duplicate entry.")
        for role in roles:
            links.add(tx, tables.trust_roles, trust_id=trust.id, role_id=role.id)
        return Full(trust, roles)


def delete(ctx: Context, trust_id: str) -> None:
    """Delete a trust and all that was given on of it; their tokens become void."""
    with ctx.cloud.db.begin() as tx:
        _require(ctx, tx, "identity:delete_trust", trust_id)
        tokens.refuse_restricted(ctx, RESTRICTED)
        doomed = [trust_id]
        for one in doomed:
            doomed.extend(trust.id for trust in rows.find(tx, Trust, redelegated_trust_id=one))
        rows.drop(tx, Trust, id=doomed)
        revisions.bump(tx)


def _above(ctx: Context, tx: Connection) -> Trust | None:
    """Return the trust by which the caller acts."""
    token = tokens.token_of(ctx)
    if token is None:
        return None
    if token.facts.access_token:
        raise forbidden("Redelegation allowed for delegated by trust only")
    return _usable(tx, ctx.cloud, token.facts.trust.id) if token.facts.trust else None


def _choose_roles(
    ctx: Context, tx: Connection, project_id: str | None, wanted: Sequence[Mapping[str, str]], above: Trust | None
) -> list[Role]:
    view = state_of(ctx.cloud).view(ctx.cloud)
    chosen = []
    for named in wanted:
        key = "id" if named.get("id") else "name"
        found = [role for role in view.roles.values() if getattr(role, key) == named.get(key)]
        found = [role for role in found if key == "id" or not role.domain_id]
        if not found:
            raise not_found("role", str(named.get(key)))
        chosen.append(found[0])
    if not project_id:
        return chosen
    project = rows.get(tx, Project, project_id)
    if project is None:
        raise not_found("project", project_id)
    while above and above.redelegated_trust_id:
        above = rows.get(tx, Trust, above.redelegated_trust_id)
    held = {role.id for role in tokens.roles_on(tx, view, above.trustor_user_id if above else ctx.user_id, "project", project)}
    for role in chosen:
        if role.id not in held:
            raise not_found("role", role.id)
    return chosen


def _depth(above: Trust | None, asked: int | None) -> int:
    """Return how often a trust may be given on."""
    if above is None:
        if asked is not None and asked > DEPTH_MAX:
            raise Forbidden(f"Requested redelegation depth of {asked} is greater than allowed {DEPTH_MAX}")
        return DEPTH_MAX if asked is None else asked
    left = above.redelegation_count - 1
    if asked and asked != left:
        raise Forbidden('Modifying "redelegation_count" upon redelegation is forbidden. Omitting this parameter is advised.')
    return left


def _given_on(tx: Connection, above: Trust, given: Mapping[str, Any], roles: Sequence[Role]) -> dict[str, Any]:
    """Check that a trust may be given on as asked, and return what it takes over.

    :raises Forbidden: when it may not.
    """
    if not 0 < above.redelegation_count <= DEPTH_MAX:
        raise Forbidden(f"Remaining redelegation depth of {above.redelegation_count} out of allowed range of [0..{DEPTH_MAX}]")
    if given.get("remaining_uses") is not None:
        raise Forbidden(
            f'Field "remaining_uses" is set to {given["remaining_uses"]} while it must not be set in order to redelegate a trust'
        )
    ends = given.get("expires_at")
    if ends is not None and above.expires_at is not None and above.expires_at < ends:
        raise Forbidden("Requested expiration time is more than redelegated trust can provide")
    if given.get("project_id") != above.project_id or not {role.id for role in roles} <= set(links.trust_roles(tx, above.id)):
        raise Forbidden("Some of requested roles are not in redelegated trust")
    if given["impersonation"] and not above.impersonation:
        raise Forbidden(
            "Impersonation is not allowed because redelegated trust does not specify impersonation. "
            f"Redelegated trust id: {above.id}"
        )
    return {"redelegated_trust_id": above.id, "expires_at": ends if ends is not None else above.expires_at}


def _read_end(ctx: Context, text: str) -> float:
    try:
        ends = from_iso(text)
    except ValueError:
        raise BadRequest(f"Timestamp not in expected format. {BLAME}") from None
    if ends <= ctx.cloud.clock.now():
        raise BadRequest(f"The 'expires_at' must not be before now. {BLAME}")
    return ends


def _is_usable(cloud: Cloud, trust: Trust) -> bool:
    return trust.remaining_uses != 0 and (trust.expires_at is None or trust.expires_at > cloud.clock.now())


def _usable(tx: Connection, cloud: Cloud, trust_id: str) -> Trust:
    trust = rows.get(tx, Trust, trust_id)
    if trust is None or not _is_usable(cloud, trust):
        raise not_found("trust", trust_id)
    return trust


def _require(ctx: Context, tx: Connection, rule: str, trust_id: str) -> Trust:
    """Return a trust after checking a rule; that there is none is told to anyone."""
    trust = _usable(tx, ctx.cloud, trust_id)
    users = {"trustor_user_id": trust.trustor_user_id, "trustee_user_id": trust.trustee_user_id}
    ctx.require(rule, {f"target.trust.{name}": value for name, value in users.items()})
    return trust


def _full(tx: Connection, trust: Trust) -> Full:
    return Full(trust, sorted(rows.by_id(tx, Role, links.trust_roles(tx, trust.id)).values(), key=lambda role: role.name))
