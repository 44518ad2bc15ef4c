"""Logging in: proofs of who somebody is, the scope they ask for, and the token made of both."""

from dataclasses import dataclass

from pileus.identity import passwords
from pileus.identity.login import AppCredentialMethod, Auth, DomainRef, NamedRef, PasswordUser, Scope
from pileus.identity.payload import METHODS
from pileus.identity.service import tokens
from pileus.identity.service.tokens import Token
from pileus.identity.service.words import expecting, forbidden, unauthenticated
from pileus.identity.state import View, state_of
from pileus.identity.store import rows
from pileus.identity.store.records import AppCredential, Project, User
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Forbidden, Unauthenticated


@dataclass(frozen=True)
class Proof:
    """One method's outcome."""

    user_id: str
    methods: tuple[str, ...]
    expires_at: float
    chain_id: str = ""
    app_credential: AppCredential | None = None
    token: Token | None = None


def log_in(cloud: Cloud, auth: Auth) -> Token:
    """Check what somebody presents and make a token of the scope they ask for.

    :raises Unauthenticated: when any of it is wrong, in words that do not tell which.
    :raises BadRequest: when something is missing.
    """
    view = state_of(cloud).view(cloud)
    methods = list(dict.fromkeys(auth.identity.methods))
    for method in methods:
        if method not in METHODS:
            raise unauthenticated()
        if getattr(auth.identity, method) is None:
            raise expecting(method, "identity")
    if not methods:
        raise expecting("methods", "identity")
    scope = _read_scope(auth)
    proofs = [_prove(cloud, view, auth, method) for method in methods]
    if len({proof.user_id for proof in proofs}) > 1:
        raise unauthenticated()
    app_credential = next((proof.app_credential for proof in proofs if proof.app_credential), None)
    if app_credential and scope is not None:
        raise unauthenticated()
    kind, place_id = _find_scope(cloud, view, scope, proofs, app_credential)
    facts = tokens.facts_of(cloud, view, proofs[0].user_id, kind, place_id, app_credential.id if app_credential else "")
    used = {name for proof in proofs for name in proof.methods}
    chain_id = next((proof.chain_id for proof in proofs if proof.chain_id), "")
    ends = min(proof.expires_at for proof in proofs)
    return tokens.issue(cloud, view, facts, tuple(name for name in METHODS if name in used), chain_id, ends)


def needs_hashing(auth: Auth) -> bool:
    """Tell whether checking it takes a quarter of a second of a processor."""
    return auth.identity.password is not None or auth.identity.application_credential is not None


def _prove(cloud: Cloud, view: View, auth: Auth, method: str) -> Proof:
    if method == "password" and auth.identity.password:
        return _prove_password(cloud, view, auth.identity.password.user)
    if method == "token" and auth.identity.token:
        return _prove_token(cloud, auth, auth.identity.token.id)
    if auth.identity.application_credential:
        return _prove_app_credential(cloud, view, auth.identity.application_credential)
    raise unauthenticated()


def _prove_password(cloud: Cloud, view: View, given: PasswordUser) -> Proof:
    if given.password is None:
        raise expecting("password", "user")
    user = _find_user(cloud, view, given)
    good = passwords.matches(given.password, user.password_hash if user else None, cloud.settings.bcrypt_rounds)
    if user is None or not good:
        raise unauthenticated()
    return Proof(user.id, ("password",), _end(cloud))


def _prove_token(cloud: Cloud, auth: Auth, text: str) -> Proof:
    token = tokens.look_into(cloud, text)
    if isinstance(auth.scope, Scope):
        if token.payload.scope == "system" and (auth.scope.project or auth.scope.domain):
            raise forbidden("Using a system-scoped token to create a project-scoped or domain-scoped token is not allowed.")
        if token.facts.app_credential:
            raise forbidden("Using an application credential token to create a scoped token is not allowed.")
    body = token.payload
    used = ("token", *(name for name in body.methods if name != "token"))
    chain = body.chain_id or body.audit_id
    return Proof(body.user_id, used, body.expires_at, chain, token.facts.app_credential, token)


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
    return Proof(found.user_id, ("application_credential",), ends, app_credential=found)


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
    if auth.scope.trust is not None:
        raise unauthenticated()
    return auth.scope


def _find_scope(
    cloud: Cloud, view: View, scope: Scope | None, proofs: list[Proof], app_credential: AppCredential | None
) -> tuple[str, str]:
    """Return the kind of scope and its id."""
    if app_credential:
        return "project", app_credential.project_id
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
