"""OAuth 1.0a: a consumer (a program) asks for access to a project, a user authorizes some of their roles, tokens follow.

consumer --request token--> user authorizes: verifier --access token--> logs in with signed requests (method oauth1)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from pileus.identity.oauth import Signed, is_signed
from pileus.identity.service import tokens
from pileus.identity.service.words import expecting, merged, not_found
from pileus.identity.state import state_of
from pileus.identity.store import revisions, rows
from pileus.identity.store.records import Consumer, OAuthToken, Project, Role
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import Forbidden, Unauthenticated

REQUEST_SECONDS = 28_800.0
ACCESS_SECONDS = 86_400.0
VERIFIER_CHARACTERS = 8


def list_consumers(ctx: Context) -> list[Consumer]:
    """Return the consumers."""
    ctx.require("identity:list_consumers", {})
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, Consumer)


def get_consumer(ctx: Context, consumer_id: str) -> Consumer:
    """Return a consumer.

    :raises NotFound: when there is none.
    """
    ctx.require("identity:get_consumer", {})
    with ctx.cloud.db.read() as tx:
        return _consumer(tx, consumer_id)


def create_consumer(ctx: Context, values: Mapping[str, Any]) -> tuple[Consumer, str]:
    """Make a consumer; returns it and its secret, which is not told again."""
    ctx.require("identity:create_consumer", {})
    secret = ids.hex_id()
    made = Consumer(ids.hex_id(), _seal(ctx.cloud, secret), **values)
    with ctx.cloud.db.begin() as tx:
        rows.add(tx, made, "consumer", "Duplicate entry.")
    return made, secret


def update_consumer(ctx: Context, consumer_id: str, values: Mapping[str, Any]) -> Consumer:
    """Change a consumer."""
    ctx.require("identity:update_consumer", {})
    with ctx.cloud.db.begin() as tx:
        old = _consumer(tx, consumer_id)
        rows.change(tx, Consumer, consumer_id, merged({"extra": old.extra}, values))
        return _consumer(tx, consumer_id)


def delete_consumer(ctx: Context, consumer_id: str) -> None:
    """Delete a consumer and all access given to it."""
    ctx.require("identity:delete_consumer", {})
    with ctx.cloud.db.begin() as tx:
        _consumer(tx, consumer_id)
        rows.drop(tx, Consumer, id=consumer_id)
        revisions.bump(tx)


def request_access(cloud: Cloud, signed: Signed, project_id: str) -> tuple[OAuthToken, str]:
    """Note a consumer's request for access to a project; returns it and its secret.  The signature is the proof.

    :raises Unauthenticated: when the signature is not right.
    """
    consumer_id = _given(signed, "oauth_consumer_key")
    if not project_id:
        raise expecting("Requested-Project-Id", "request")
    secret, now = ids.hex_id(), cloud.clock.now()
    with cloud.db.begin() as tx:
        if rows.get(tx, Project, project_id) is None:
            raise not_found("project", project_id)
        consumer = _consumer(tx, consumer_id)
        _require_signed(cloud, signed, consumer, "")
        made = OAuthToken(
            ids.hex_id(), "request", _seal(cloud, secret), consumer_id, project_id, expires_at=now + REQUEST_SECONDS
        )
        rows.add(tx, made, "request token", "Duplicate entry.")
    return made, secret


def authorize(ctx: Context, request_id: str, wanted: Sequence[Mapping[str, str]]) -> str:
    """Let a consumer have the access it requested, with some of one's roles; returns the verifier to tell it.

    :raises Unauthenticated: when the request has expired, or the caller has not those roles there.
    """
    ctx.require("identity:authorize_request_token")
    token = tokens.token_of(ctx)
    if token and (token.facts.trust or token.facts.access_token):
        raise Forbidden("Cannot authorize a request token with a token issued via delegation.")
    cloud, verifier = ctx.cloud, ids.hex_id()[:VERIFIER_CHARACTERS]
    view = state_of(cloud).view(cloud)
    with cloud.db.begin() as tx:
        request = _token(tx, request_id, "request")
        _require_fresh(cloud, request)
        project = rows.get(tx, Project, request.project_id)
        held = {role.id: role for role in tokens.roles_on(tx, view, ctx.user_id, "project", project)} if project else {}
        chosen = [_choose(named, held) for named in wanted]
        rows.change(tx, OAuthToken, request_id, {"user_id": ctx.user_id, "verifier": verifier, "role_ids": chosen})
    return verifier


def _choose(named: Mapping[str, str], held: Mapping[str, Role]) -> str:
    for role in held.values():
        if named.get("id") == role.id or (not named.get("id") and named.get("name") == role.name):
            return role.id
    raise Unauthenticated("authorizing user does not have role required")


def give_access(cloud: Cloud, signed: Signed) -> tuple[OAuthToken, str]:
    """Turn an authorized request into access; returns the access token and its secret.  The signature is the proof.

    :raises Unauthenticated: when the request is not authorized, or the signature or verifier is not right.
    """
    consumer_id, request_id = _given(signed, "oauth_consumer_key"), _given(signed, "oauth_token")
    verifier = _given(signed, "oauth_verifier")
    secret, now = ids.hex_id(), cloud.clock.now()
    with cloud.db.begin() as tx:
        request = _token(tx, request_id, "request")
        _require_fresh(cloud, request)
        consumer = rows.get(tx, Consumer, consumer_id)
        if consumer is None:
            raise Unauthenticated("Provided consumer does not exist.")
        if request.consumer_id != consumer_id:
            raise Unauthenticated("Provided consumer key does not match stored consumer key.")
        if not request.user_id:
            raise Unauthenticated("Request Token does not have an authorizing user id.")
        if request.verifier != verifier:
            raise Unauthenticated("Provided verifier does not match stored verifier")
        _require_signed(cloud, signed, consumer, _open(cloud, request.encrypted_secret))
        made = OAuthToken(
            ids.hex_id(), "access", _seal(cloud, secret), consumer_id, request.project_id, request.user_id,
            role_ids=request.role_ids, expires_at=now + ACCESS_SECONDS,
        )  # fmt: skip
        rows.drop(tx, OAuthToken, id=request_id)
        rows.add(tx, made, "access token", "Duplicate entry.")
    return made, secret


def prove(cloud: Cloud, signed: Signed) -> OAuthToken:
    """Return the access token by which somebody logs in.

    :raises Unauthenticated: when there is none, it has expired, or the signature is not right.
    """
    consumer_id, token_id = _given(signed, "oauth_consumer_key"), _given(signed, "oauth_token")
    with cloud.db.read() as tx:
        consumer, found = rows.get(tx, Consumer, consumer_id), rows.get(tx, OAuthToken, token_id)
    if consumer is None or found is None or found.kind != "access" or found.consumer_id != consumer_id:
        raise Unauthenticated("Could not validate the access token")
    if found.expires_at is not None and found.expires_at <= cloud.clock.now():
        raise Unauthenticated("Access token is expired")
    _require_signed(cloud, signed, consumer, _open(cloud, found.encrypted_secret))
    return found


def list_access(ctx: Context, user_id: str) -> list[OAuthToken]:
    """Return the access that a user gave."""
    ctx.require("identity:list_access_tokens", {"user_id": user_id})
    with ctx.cloud.db.read() as tx:
        return [token for token in rows.find(tx, OAuthToken, user_id=user_id) if token.kind == "access"]


def get_access(ctx: Context, user_id: str, token_id: str) -> OAuthToken:
    """Return one access that a user gave.

    :raises NotFound: when there is none.
    """
    ctx.require("identity:get_access_token", {"user_id": user_id})
    with ctx.cloud.db.read() as tx:
        return _access(tx, user_id, token_id)


def list_access_roles(ctx: Context, user_id: str, token_id: str) -> list[Role]:
    """Return the roles of one access that a user gave."""
    ctx.require("identity:list_access_token_roles", {"user_id": user_id})
    with ctx.cloud.db.read() as tx:
        return list(rows.by_id(tx, Role, _access(tx, user_id, token_id).role_ids).values())


def get_access_role(ctx: Context, user_id: str, token_id: str, role_id: str) -> Role:
    """Return one role of one access that a user gave.

    :raises NotFound: when it is none of them.
    """
    ctx.require("identity:get_access_token_role", {"user_id": user_id})
    with ctx.cloud.db.read() as tx:
        role = rows.get(tx, Role, role_id) if role_id in _access(tx, user_id, token_id).role_ids else None
    if role is None:
        raise not_found("role", role_id)
    return role


def revoke_access(ctx: Context, user_id: str, token_id: str) -> None:
    """Take access back; tokens made by it become void."""
    ctx.require("identity:delete_access_token", {"user_id": user_id})
    with ctx.cloud.db.begin() as tx:
        _access(tx, user_id, token_id)
        rows.drop(tx, OAuthToken, id=token_id)
        revisions.bump(tx)


def _given(signed: Signed, name: str) -> str:
    value = signed.parameters.get(name)
    if not value:
        raise expecting(name, "request")
    return value


def _require_signed(cloud: Cloud, signed: Signed, consumer: Consumer, token_secret: str) -> None:
    if not is_signed(signed, _open(cloud, consumer.encrypted_secret), token_secret, cloud.clock.now()):
        raise Unauthenticated("Invalid signature")


def _require_fresh(cloud: Cloud, request: OAuthToken) -> None:
    if request.expires_at is not None and request.expires_at <= cloud.clock.now():
        raise Unauthenticated("Request token is expired")


def _seal(cloud: Cloud, secret: str) -> str:
    return state_of(cloud).credential_keys.encrypt(secret.encode(), cloud.clock.now())


def _open(cloud: Cloud, sealed: str) -> str:
    return state_of(cloud).credential_keys.decrypt(sealed, cloud.clock.now()).decode()


def _consumer(tx: Connection, consumer_id: str) -> Consumer:
    found = rows.get(tx, Consumer, consumer_id)
    if found is None:
        raise not_found("Consumer", consumer_id)
    return found


def _token(tx: Connection, token_id: str, kind: str) -> OAuthToken:
    found = rows.get(tx, OAuthToken, token_id)
    if found is None or found.kind != kind:
        raise not_found("token", token_id)
    return found


def _access(tx: Connection, user_id: str, token_id: str) -> OAuthToken:
    found = _token(tx, token_id, "access")
    if found.user_id != user_id:
        raise not_found("token", token_id)
    return found
