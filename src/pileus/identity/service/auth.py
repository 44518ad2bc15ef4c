"""Logging in: proofs of who somebody is, the scope they ask for, and the token made of both."""

from dataclasses import dataclass

from pileus.identity import passwords
from pileus.identity.login import AppCredentialMethod, Auth, DomainRef, NamedRef, PasswordUser, Scope, TotpUser
from pileus.identity.oauth import Signed
from pileus.identity.payload import DIRECT, METHODS, Via
from pileus.identity.service import factors, oauth, security, tokens, trusts
from pileus.identity.service.tokens import Token
from pileus.identity.service.words import expecting, forbidden, unauthenticated
from pileus.identity.state import View, state_of
from pileus.identity.store import rows
from pileus.identity.store.records import AppCredential, Project, Trust, User
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Forbidden, Unauthenticated


@dataclass(frozen=True)
class Proof:
    """One method's outcome.  via: what binds the new token to a project (project_id) and to less than all roles."""

    user_id: str
    methods: tuple[str, ...]
    expires_at: float
    chain_id: str = ""
    via: Via = DIRECT
    project_id: str = ""


def log_in(cloud: Cloud, auth: Auth, signed: Signed | None = None, receipt: str = "") -> Token:
    """Check what somebody presents and make a token of the scope they ask for.

    :param signed: the request, for the method whose proof is its signature.
    :param receipt: what they were given when they presented too little before.
    :raises MoreNeeded: when all of it is right, and their user's rules ask for more methods.
    :raises Unauthenticated: when any of it is wrong, in words that do not tell which.
    :raises BadRequest: when something is missing.
    """
    view = state_of(cloud).view(cloud)
    methods = list(dict.fromkeys(auth.identity.methods))
    for method in methods:
        if method not in METHODS or not hasattr(auth.identity, method):
            raise unauthenticated()
        if getattr(auth.identity, method) is None:
            raise expecting(method, "identity")
    if not methods:
        raise expecting("methods", "identity")
    scope = _read_scope(auth)
    proofs = [_prove(cloud, view, auth, method, signed) for method in methods]
    if len({proof.user_id for proof in proofs}) > 1:
        raise unauthenticated()
    bound = next((proof for proof in proofs if proof.via != DIRECT), None)
    if bound and scope is not None:
        raise unauthenticated()
    used = {name for proof in proofs for name in proof.methods}
    names = tuple(name for name in METHODS if name in used)
    chain_id = next((proof.chain_id for proof in proofs if proof.chain_id), "")
    ends = min(proof.expires_at for proof in proofs)
    user_id, via = proofs[0].user_id, bound.via if bound else DIRECT
    if scope is not None and scope.trust is not None:
        names = factors.require(cloud, tokens.facts_of(cloud, view, user_id, "", ""), names, receipt)
        trust = trusts.find(cloud, scope.trust.id, user_id)
        return _issue_by_trust(cloud, view, trust, names, chain_id, ends)
    kind, place_id = ("project", bound.project_id) if bound else _find_scope(cloud, view, scope, proofs)
    facts = tokens.facts_of(cloud, view, user_id, kind, place_id, via)
    names = factors.require(cloud, facts, names, receipt)
    return tokens.issue(cloud, view, facts, names, chain_id, ends, via)


def _issue_by_trust(cloud: Cloud, view: View, trust: Trust, names: tuple[str, ...], chain_id: str, ends: float) -> Token:
    via = Via(trust_id=trust.id)
    user_id = trust.trustor_user_id if trust.impersonation else trust.trustee_user_id
    facts = tokens.facts_of(cloud, view, user_id, "project" if trust.project_id else "", trust.project_id or "", via)
    trusts.use(cloud, trust)
    return tokens.issue(cloud, view, facts, names, chain_id, min(ends, trust.expires_at or ends), via)


def needs_hashing(auth: Auth) -> bool:
    """Tell whether checking it takes a quarter of a second of a processor."""
    return auth.identity.password is not None or auth.identity.application_credential is not None


def _prove(cloud: Cloud, view: View, auth: Auth, method: str, signed: Signed | None) -> Proof:
    if method == "password" and auth.identity.password:
        return _prove_password(cloud, view, auth.identity.password.user)
    if method == "token" and auth.identity.token:
        return _prove_token(cloud, view, auth, auth.identity.token.id)
    if method == "application_credential" and auth.identity.application_credential:
        return _prove_app_credential(cloud, view, auth.identity.application_credential)
    if method == "totp" and auth.identity.totp:
        return _prove_totp(cloud, view, auth.identity.totp.user)
    if method == "oauth1" and signed:
        given = oauth.prove(cloud, signed)
        ends = min(_end(cloud), given.expires_at or _end(cloud))
        return Proof(given.user_id, ("oauth1",), ends, via=Via(access_token_id=given.id), project_id=given.project_id)
    raise unauthenticated()


def _prove_password(cloud: Cloud, view: View, given: PasswordUser) -> Proof:
    if given.password is None:
        raise expecting("password", "user")
    user = _find_user(cloud, view, given)
    good = passwords.matches(given.password, user.password_hash if user else None, cloud.settings.bcrypt_rounds)
    if user is None or security.is_locked_out(cloud, user):
        raise unauthenticated()
    security.note_login(cloud, user, good)
    if not good:
        raise unauthenticated()
    security.require_unexpired(cloud, user)
    return Proof(user.id, ("password",), _end(cloud))


def _prove_totp(cloud: Cloud, view: View, given: TotpUser) -> Proof:
    if given.passcode is None:
        raise expecting("passcode", "user")
    user = _find_user(cloud, view, given)
    if user is None or security.is_locked_out(cloud, user):
        raise unauthenticated()
    good = factors.is_passcode(cloud, user.id, given.passcode)
    security.note_login(cloud, user, good)
    if not good:
        raise unauthenticated()
    return Proof(user.id, ("totp",), _end(cloud))


def _prove_token(cloud: Cloud, view: View, auth: Auth, text: str) -> Proof:
    token = tokens.look_into(cloud, text, view=view)
    if isinstance(auth.scope, Scope):
        if token.payload.scope == "system" and (auth.scope.project or auth.scope.domain):
            raise forbidden("Using a system-scoped token to create a project-scoped or domain-scoped token is not allowed.")
        if token.facts.app_credential:
            raise forbidden("Using an application credential token to create a scoped token is not allowed.")
    if token.facts.trust:
        again = "Create a new trust-scoped token instead"
        raise forbidden(f"Using trust-scoped token to create another token. {again}")
    if token.facts.access_token:
        raise forbidden("Using OAuth-scoped token to create another token. Create a new OAuth-scoped token instead")
    body = token.payload
    used = ("token", *(name for name in body.methods if name != "token"))
    chain = body.chain_id or body.audit_id
    return Proof(body.user_id, used, body.expires_at, chain, body.via, body.scope_id if body.via != DIRECT else "")


def _prove_app_credential(cloud: Cloud, view: View, given: AppCredentialMethod) -> Proof:
    if not given.id and not given.name:
        raise expecting("name or ID", "application credential")
    if not given.id and given.user is None:
        raise expecting("user", "application credential")
    user = _find_user(cloud, view, given.user) if given.user and not given.id else None
    with cloud.db.read() as tx:
        if given.id:
            found = rows.get(tx, AppCredential, given.id)
        else:
            found = rows.first(tx, AppCredential, user_id=user.id, name=given.name) if user else None
    good = passwords.matches(given.secret, found.secret_hash if found else None, cloud.settings.bcrypt_rounds)
    if found is None or not good:
        raise unauthenticated()
    if found.expires_at is not None and found.expires_at <= cloud.clock.now():
        raise unauthenticated()
    ends = min(_end(cloud), found.expires_at or _end(cloud))
    via = Via(app_credential_id=found.id)
    return Proof(found.user_id, ("application_credential",), ends, via=via, project_id=found.project_id)


def _end(cloud: Cloud) -> float:
    return cloud.clock.now() + cloud.settings.token_seconds


def _find_user(cloud: Cloud, view: View, given: NamedRef) -> User | None:
    if not given.id and not given.name:
        raise expecting("id or name", "user")
    if given.id is None and given.domain is None:
        raise expecting("domain", "user")
    with cloud.db.read() as tx:
        if given.id:
            return rows.get(tx, User, given.id)
        domain = _find_domain(view, given.domain)
        return rows.first(tx, User, domain_id=domain.id, name=given.name) if domain else None


def _find_domain(view: View, given: DomainRef | None) -> Project | None:
    if given is None or not (given.id or given.name):
        raise expecting("id or name", "domain")
    if given.id:
        return view.domains.get(given.id)
    return next((domain for domain in view.domains.values() if domain.name == given.name), None)


def _read_scope(auth: Auth) -> Scope | None:
    """Return the scope asked for, None when none is named."""
    if auth.scope is None:
        return None
    if auth.scope == "unscoped":
        return Scope(unscoped={})
    assert isinstance(auth.scope, Scope)
    named = [auth.scope.project, auth.scope.domain, auth.scope.system, auth.scope.unscoped, auth.scope.trust]
    if sum(part is not None for part in named) != 1:
        raise expecting("system, project, domain, OS-TRUST:trust or unscoped", "scope")
    return auth.scope


def _find_scope(cloud: Cloud, view: View, scope: Scope | None, proofs: list[Proof]) -> tuple[str, str]:
    """Return the kind of scope and its id."""
    if scope is None:
        return _default_scope(cloud, view, proofs[0].user_id)
    if scope.unscoped is not None:
        return "", ""
    if scope.system is not None:
        return "system", "all"
    if scope.domain is not None:
        domain = _find_domain(view, scope.domain)
        if domain is None:
            raise unauthenticated()
        return "domain", domain.id
    assert scope.project is not None
    return "project", _find_project(cloud, view, scope.project)


def _find_project(cloud: Cloud, view: View, given: NamedRef) -> str:
    if given.id:
        return given.id
    if not given.name:
        raise expecting("id or name", "project")
    if given.domain is None:
        raise expecting("domain", "project")
    domain = _find_domain(view, given.domain)
    if domain is None:
        raise unauthenticated()
    key = (domain.id, given.name)
    if key not in view.project_ids:
        with cloud.db.read() as tx:
            project = rows.first(tx, Project, domain_id=domain.id, name=given.name)
        if project is None:
            raise unauthenticated()
        view.keep(view.project_ids, key, project.id)
        return project.id
    return view.project_ids[key]


def _default_scope(cloud: Cloud, view: View, user_id: str) -> tuple[str, str]:
    """Return the user's default project if they may work there, else no scope."""
    with cloud.db.read() as tx:
        user = rows.get(tx, User, user_id)
    if user is None or not user.default_project_id:
        return "", ""
    try:
        tokens.facts_of(cloud, view, user_id, "project", user.default_project_id)
    except (Unauthenticated, Forbidden):
        return "", ""
    return "project", user.default_project_id
