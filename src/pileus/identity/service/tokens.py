"""Tokens: made, understood, validated, revoked; `authenticate` is the way of every request of every service.

A token proves who somebody is; what they may do is looked up, in the View of the current revision (see `state`), so that a
role taken away counts at once.  What cannot be looked up (a password was changed since) are declared void by revision.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pileus.identity import effective, paths, payload
from pileus.identity.payload import DIRECT, Payload, Via
from pileus.identity.service.words import forbidden, unauthenticated
from pileus.identity.state import View, state_of
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import AccessRule, AppCredential, OAuthToken, Project, Role, Trust, User
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import Forbidden, NotFound, Unauthenticated
from pileus.kernel.http import Call
from pileus.kernel.keyring import BadToken

EXPIRED_WINDOW_SECONDS = 172_800
ROLE_LIMIT_SYSTEM = "all"


@dataclass(frozen=True)
class Facts:
    """What a user is and may do in a scope."""

    user: User
    user_domain: Project
    scope: str = ""
    place: Project | None = None
    place_domain: Project | None = None
    roles: tuple[Role, ...] = ()
    app_credential: AppCredential | None = None
    access_rules: tuple[AccessRule, ...] | None = None
    trust: Trust | None = None
    access_token: OAuthToken | None = None


@dataclass(frozen=True)
class Token:
    """A token, understood; context is that of whoever brings it."""

    id: str
    payload: Payload
    facts: Facts
    context: Context


def authenticate(cloud: Cloud, token: str, call: Call) -> Context:
    """Turn a token into its holder's context.  The hot path: one look at the revision, one look-up.

    :raises Unauthenticated: when it is not valid, or its access rules do not name this request.
    """
    view = state_of(cloud).view(cloud)
    known: Token | None = view.tokens.get(token)
    if known is None:
        known = _understand(cloud, view, token)
        view.keep(view.tokens, token, known)
    if known.payload.expires_at <= cloud.clock.now():
        raise unauthenticated()
    if known.facts.access_rules is not None:
        _require_named(known.facts.access_rules, call)
    return known.context


def context_of(cloud: Cloud, user_id: str, project_id: str) -> Context:
    """Return the context of a user in a project, for ways in that prove identity otherwise (EC2 signatures).

    :raises Unauthenticated: when the user has no role there, or is disabled.
    """
    view = state_of(cloud).view(cloud)
    return make_context(cloud, facts_of(cloud, view, user_id, "project", project_id), None)


def lend(cloud: Cloud, user_id: str, project_id: str, by: Mapping[str, str], seconds: float) -> str:
    """Return a token of a user in a project, for an errand that the cloud runs for them elsewhere and soon.

    :param by: the payload's `via` of the token with which they asked for the errand: this one gives no more than that.
    :raises Unauthenticated: when the user has no role there (any more).
    """
    view, via = state_of(cloud).view(cloud), Via(**by)
    facts = facts_of(cloud, view, user_id, "project", project_id, via)
    return issue(cloud, view, facts, ("token",), "", cloud.clock.now() + seconds, via).id


def gate(shown: Iterable[Mapping[str, Any]]) -> Callable[[Call], None]:
    """Return what lets a request pass that access rules name, for those who were told of the rules by identity's API.

    It raises Unauthenticated when none of them names the request.

    :param shown: the rules as a token's body shows them.
    :raises KeyError: when a rule lacks a part.
    """
    rules = tuple(AccessRule(rule.get("id", ""), "", rule["service"], rule["path"], rule["method"]) for rule in shown)
    return lambda call: _require_named(rules, call)


def _require_named(rules: tuple[AccessRule, ...], call: Call) -> None:
    path = call.path_url.removeprefix(call.root_url)
    within = call.path_url.removeprefix(call.base_url)
    if not paths.allowed(rules, call.service_name, call.method, (within, path)):
        raise unauthenticated()


def issue(
    cloud: Cloud, view: View, facts: Facts, methods: tuple[str, ...], chain_id: str, expires_at: float, via: Via = DIRECT
) -> Token:
    """Make a token."""
    now = cloud.clock.now()
    body = Payload(
        facts.user.id, methods, facts.scope, _scope_id(facts), round(now, 6), round(expires_at, 6), view.revision,
        payload.new_audit_id(ids.uuid()), chain_id, via,
    )  # fmt: skip
    text = state_of(cloud).token_keys.encrypt(payload.encode(body), now)
    token = _make(cloud, text, body, facts)
    view.keep(view.tokens, text, token)
    return token


def _scope_id(facts: Facts) -> str:
    if facts.scope == "system":
        return ROLE_LIMIT_SYSTEM
    return facts.place.id if facts.place else ""


def look_into(cloud: Cloud, text: str, window_seconds: float = 0, view: View | None = None) -> Token:
    """Understand a token that somebody names.

    :param window_seconds: how long after its end it still counts.
    :param view: the present one, where it was looked up for this request; None: look it up.
    :raises NotFound: when it is not valid.
    """
    if not text:
        raise NotFound("No token in the request.")
    view = view or state_of(cloud).view(cloud)
    try:
        token = view.tokens.get(text) or _understand(cloud, view, text)
    except Unauthenticated:
        raise NotFound("Failed to validate token.") from None
    view.keep(view.tokens, text, token)
    if token.payload.expires_at + window_seconds <= cloud.clock.now():
        raise NotFound("Failed to validate token.")
    return token


def validate(ctx: Context, text: str, allow_expired: bool = False) -> Token:
    """Return what a token says, for a service or its holder.

    :raises NotFound: when it is not valid.
    """
    token = look_into(ctx.cloud, text, EXPIRED_WINDOW_SECONDS if allow_expired else 0)
    ctx.require("identity:validate_token", {"target.token.user_id": token.payload.user_id})
    return token


def check(ctx: Context, text: str, allow_expired: bool = False) -> Token:
    """Tell whether a token is valid.

    :raises NotFound: when it is not.
    """
    token = look_into(ctx.cloud, text, EXPIRED_WINDOW_SECONDS if allow_expired else 0)
    ctx.require("identity:check_token", {"target.token.user_id": token.payload.user_id})
    return token


def revoke(ctx: Context, text: str) -> None:
    """Declare a token void.

    :raises NotFound: when it is not valid (any more).
    """
    token = look_into(ctx.cloud, text)
    ctx.require("identity:revoke_token", {"target.token.user_id": token.payload.user_id})
    with ctx.cloud.db.begin() as tx:
        revisions.revoke(tx, "audit", token.payload.audit_id, ctx.cloud.clock.now())


def _understand(cloud: Cloud, view: View, text: str) -> Token:
    try:
        body = payload.decode(state_of(cloud).token_keys.decrypt(text, cloud.clock.now()))
    except BadToken:
        raise unauthenticated() from None
    try:
        facts = facts_of(cloud, view, body.user_id, body.scope, body.scope_id, body.via)
    except Forbidden:
        raise unauthenticated() from None
    if _is_void(view.revoked, body, facts):
        raise unauthenticated()
    return _make(cloud, text, body, facts)


def _is_void(revoked: Mapping[tuple[str, str], int], body: Payload, facts: Facts) -> bool:
    if not revoked:
        return False
    keys = [("audit", body.audit_id), ("user", body.user_id), ("domain", facts.user.domain_id)]
    if facts.trust:
        keys.append(("user", facts.trust.trustor_user_id))
    if facts.place:
        keys += [(body.scope, body.scope_id), ("domain", facts.place.home_id)]
    return any(revoked.get(key, 0) > body.revision for key in keys)


def _make(cloud: Cloud, text: str, body: Payload, facts: Facts) -> Token:
    token = Token(text, body, facts, Context(cloud))
    return replace(token, context=make_context(cloud, facts, token))


def make_context(cloud: Cloud, facts: Facts, token: Any) -> Context:
    """Return the context of somebody."""
    place = facts.place
    in_project = place is not None and facts.scope == "project"
    return Context(
        cloud,
        user_id=facts.user.id,
        user_name=facts.user.name,
        user_domain_id=facts.user.domain_id,
        project_id=place.id if place and in_project else "",
        project_name=place.name if place and in_project else "",
        project_domain_id=place.home_id if place and in_project else "",
        domain_id=place.id if place and facts.scope == "domain" else "",
        system=facts.scope == "system",
        roles=frozenset(role.name.lower() for role in facts.roles),
        token=token,
    )


def facts_of(cloud: Cloud, view: View, user_id: str, scope: str, scope_id: str, via: Via = DIRECT) -> Facts:
    """Look up what a user is and may do in a scope.

    :raises Unauthenticated: when the user, project or domain is not there or disabled, or the user has no role there.
    :raises Forbidden: when a trust gives more than its trustor has.
    """
    key = (user_id, scope, scope_id, via)
    known: Facts | None = view.scopes.get(key)
    if known is None:
        with cloud.db.read() as tx:
            known = _look_up(tx, view, cloud, *key)
        view.keep(view.scopes, key, known)
    for lent in (known.app_credential, known.trust, known.access_token):
        if lent and lent.expires_at is not None and lent.expires_at <= cloud.clock.now():
            raise unauthenticated()
    return known


def _look_up(tx: Connection, view: View, cloud: Cloud, user_id: str, scope: str, scope_id: str, via: Via) -> Facts:
    user = rows.get(tx, User, user_id)
    user_domain = view.domains.get(user.domain_id) if user else None
    if user is None or user_domain is None or not (user.enabled and user_domain.enabled):
        raise unauthenticated()
    place = place_domain = None
    if scope in ("project", "domain"):
        place = rows.get(tx, Project, scope_id) if scope == "project" else view.domains.get(scope_id)
        place_domain = view.domains.get(place.home_id) if place else None
        if place is None or place_domain is None or not (place.enabled and place_domain.enabled):
            raise unauthenticated()
    facts = Facts(user, user_domain, scope, place, place_domain)
    if via.trust_id:
        facts, roles = _by_trust(tx, view, facts, via.trust_id)
    else:
        roles = roles_on(tx, view, user_id, scope, place) if scope else []
    if not scope:
        return facts
    if via.app_credential_id:
        facts, roles = _narrow(tx, facts, roles, via.app_credential_id)
    if via.access_token_id:
        facts, roles = _by_access_token(tx, view, facts, roles, via.access_token_id)
    if not roles:
        raise unauthenticated()
    return replace(facts, roles=tuple(roles))


def roles_on(tx: Connection, view: View, user_id: str, scope: str, place: Project | None) -> list[Role]:
    """Return the global roles that a user has in a scope, with all that they imply, sorted by name."""
    held = links.assignments_of(tx, user_id)
    if place is None:
        direct = effective.held_on(held, "system", "all")
    else:
        above = [project.id for project in ancestors(tx, place)] if scope == "project" else []
        if scope == "project" and place.is_domain:
            scope = "domain"
        direct = effective.held_on(held, scope, place.id, above, place.domain_id)
    found = [view.roles[id] for id in effective.closure(direct, view.implied) if id in view.roles]
    return sorted((role for role in found if not role.domain_id), key=lambda role: role.name)


def ancestors(tx: Connection, project: Project) -> list[Project]:
    """Return the projects above one, the nearest first, without its domain."""
    found: list[Project] = []
    parent_id = project.parent_id
    while parent_id and parent_id != project.domain_id:
        parent = rows.get(tx, Project, parent_id)
        if parent is None:
            break
        found.append(parent)
        parent_id = parent.parent_id
    return found


def _narrow(tx: Connection, facts: Facts, roles: list[Role], id: str) -> tuple[Facts, list[Role]]:
    """Keep of the roles those that an application credential was given."""
    found = rows.get(tx, AppCredential, id)
    if found is None or found.user_id != facts.user.id or facts.place is None or found.project_id != facts.place.id:
        raise unauthenticated()
    given = set(links.app_credential_roles(tx, id))
    rules = tuple(links.app_credential_rules(tx, id)) if found.restricted_paths else None
    return replace(facts, app_credential=found, access_rules=rules), [role for role in roles if role.id in given]


def _by_trust(tx: Connection, view: View, facts: Facts, id: str) -> tuple[Facts, list[Role]]:
    """Return the roles that a trust gives, as long as its (first) trustor has them all.

    :raises Forbidden: when they have not.
    """
    trust = rows.get(tx, Trust, id)
    if trust is None or facts.user.id != (trust.trustor_user_id if trust.impersonation else trust.trustee_user_id):
        raise unauthenticated()
    for user_id in (trust.trustor_user_id, trust.trustee_user_id):
        user = rows.get(tx, User, user_id)
        domain = view.domains.get(user.domain_id) if user else None
        if user is None or domain is None or not (user.enabled and domain.enabled):
            raise unauthenticated()
    first = trust
    while first.redelegated_trust_id:
        above = rows.get(tx, Trust, first.redelegated_trust_id)
        if above is None:  # what it was given on from is gone
            raise unauthenticated()
        first = above
    wanted = effective.closure(links.trust_roles(tx, id), view.implied)
    held = roles_on(tx, view, first.trustor_user_id, "project", facts.place) if facts.place else []
    given = [role for role in held if role.id in wanted]
    if any(role_id in view.roles and not view.roles[role_id].domain_id for role_id in set(wanted) - {role.id for role in given}):
        raise Forbidden("Trustee has no delegated roles.")
    return replace(facts, trust=trust), given


def _by_access_token(tx: Connection, view: View, facts: Facts, roles: list[Role], id: str) -> tuple[Facts, list[Role]]:
    """Keep of the roles those that a user authorized a consumer to use."""
    found = rows.get(tx, OAuthToken, id)
    if found is None or found.kind != "access" or found.user_id != facts.user.id or _scope_id(facts) != found.project_id:
        raise unauthenticated()
    given = set(effective.closure(found.role_ids, view.implied))
    return replace(facts, access_token=found), [role for role in roles if role.id in given]


def token_of(ctx: Context) -> Token | None:
    """Return the token that the caller brought."""
    return ctx.token if isinstance(ctx.token, Token) else None


def refuse_restricted(ctx: Context, action: str) -> None:
    """Keep holders of a restricted application credential from making credentials.

    :raises Forbidden: when the caller is one.
    """
    token = token_of(ctx)
    if token and token.facts.app_credential and not token.facts.app_credential.unrestricted:
        raise forbidden(action)


def refuse_lent(ctx: Context, action: str) -> None:
    """Keep who acts by a trust or by OAuth from making secrets that would outlast what they were lent.

    :raises Forbidden: when the caller is one, or holds a restricted application credential.
    """
    token = token_of(ctx)
    if token and (token.facts.trust or token.facts.access_token):
        raise forbidden(action)
    refuse_restricted(ctx, action)
