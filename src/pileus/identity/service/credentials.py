"""Secrets kept for users, encrypted; among them EC2 key pairs."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pileus.identity.payload import DIRECT
from pileus.identity.service import tokens
from pileus.identity.service.words import expecting, forbidden, not_found
from pileus.identity.state import state_of
from pileus.identity.store import revisions, rows
from pileus.identity.store.records import Credential, Project, User
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest

RESTRICTED = "Using method 'application_credential' is not allowed for managing additional credentials."
OTHER_PROJECT = "Credential project does not match the project scope of the delegated token"


@dataclass(frozen=True)
class Ec2Key:
    """An EC2 key pair and whose it is; is_lent: it was made with a trust or an application credential, and means only that."""

    access: str
    secret: str
    user_id: str
    project_id: str
    trust_id: str | None = None
    is_lent: bool = False


def find_ec2(cloud: Cloud, access: str) -> Ec2Key | None:
    """Return the key pair of an access key.  For the EC2 and S3 faces, which check signatures: checks no rule."""
    view = state_of(cloud).view(cloud)
    known: Ec2Key | None = view.ec2_keys.get(access)
    if known is None:
        with cloud.db.read() as tx:
            found = rows.get(tx, Credential, ec2_id(access))
        if found is None or found.type != "ec2":
            return None
        known = _as_key(cloud, found)
        view.keep(view.ec2_keys, access, known)
    return known


def ec2_id(access: str) -> str:
    """Return the id under which an access key's credential is kept."""
    return hashlib.sha256(access.encode()).hexdigest()


def blob_of(cloud: Cloud, credential: Credential) -> str:
    """Return the secret itself."""
    return state_of(cloud).credential_keys.decrypt(credential.encrypted_blob, cloud.clock.now()).decode()


def list_(ctx: Context, where: Mapping[str, Any]) -> list[Credential]:
    """Return the credentials that the caller may see."""
    ctx.require("identity:list_credentials", {} if ctx.system else _target(ctx.user_id))
    with ctx.cloud.db.read() as tx:
        found = rows.find(tx, Credential, **where)
    return [c for c in found if ctx.can("identity:get_credential", _target(c.user_id)) and _in_reach(ctx, c.project_id)]


def get(ctx: Context, credential_id: str) -> Credential:
    """Return a credential.

    :raises NotFound: when there is none.
    """
    with ctx.cloud.db.read() as tx:
        return _require(ctx, tx, "identity:get_credential", credential_id)


def create(ctx: Context, values: Mapping[str, Any]) -> Credential:
    """Keep a secret.  An EC2 key pair has the hash of its access key as id.

    :raises Conflict: when there is that key pair already.
    """
    given = dict(values)
    user_id = given.get("user_id") or ctx.user_id
    ctx.require("identity:create_credential", _target(user_id))
    blob = given.pop("blob")
    credential_id = ids.hex_id()
    if given["type"].lower() == "ec2":
        tokens.refuse_lent(ctx, RESTRICTED)
        facts = _read_ec2(blob)
        if not given.get("project_id"):
            raise expecting("project_id", "credential")
        blob, credential_id = _bound(ctx, facts, blob), ec2_id(facts["access"])
    if not _in_reach(ctx, given.get("project_id")):
        raise forbidden(OTHER_PROJECT)
    given |= {"user_id": user_id, "encrypted_blob": _seal(ctx.cloud, blob)}
    credential = Credential(credential_id, **given)
    with ctx.cloud.db.begin() as tx:
        rows.add(tx, credential, "credential", f"Duplicate entry found with ID {credential_id}.")
    return credential


def update(ctx: Context, credential_id: str, values: Mapping[str, Any]) -> Credential:
    """Change a credential."""
    given = dict(values)
    with ctx.cloud.db.begin() as tx:
        old = _require(ctx, tx, "identity:update_credential", credential_id)
        ctx.require("identity:update_credential", _target(given.get("user_id") or old.user_id))
        blob = given.pop("blob", None)
        if old.type.lower() == "ec2" and blob is not None:
            before, after = _read_ec2(blob_of(ctx.cloud, old)), _read_ec2(blob)
            for key in ("trust_id", "app_cred_id", "access_token_id", "access_id"):
                if before.get(key) != after.get(key):
                    raise BadRequest(f"{key} can not be updated for credential")
        if blob is not None:
            given["encrypted_blob"] = _seal(ctx.cloud, blob)
        if "extra" in given:
            given["extra"] = {**old.extra, **given["extra"]}
        rows.change(tx, Credential, credential_id, given)
        revisions.bump(tx)
        return replace(old, **given)


def delete(ctx: Context, credential_id: str) -> None:
    """Delete a credential."""
    with ctx.cloud.db.begin() as tx:
        _require(ctx, tx, "identity:delete_credential", credential_id)
        rows.drop(tx, Credential, id=credential_id)
        revisions.bump(tx)


def list_ec2(ctx: Context, user_id: str) -> list[Ec2Key]:
    """Return a user's EC2 key pairs."""
    ctx.require("identity:ec2_list_credentials", {"user_id": user_id})
    with ctx.cloud.db.read() as tx:
        _user(tx, user_id)
        found = rows.find(tx, Credential, user_id=user_id, type="ec2")
    return [_as_key(ctx.cloud, credential) for credential in found if _in_reach(ctx, credential.project_id)]


def create_ec2(ctx: Context, user_id: str, project_id: str) -> Ec2Key:
    """Make an EC2 key pair for a user in a project."""
    ctx.require("identity:ec2_create_credential", _target(user_id))
    tokens.refuse_lent(ctx, RESTRICTED)
    facts: dict[str, Any] = {"access": ids.hex_id(), "secret": ids.hex_id(), "trust_id": None}
    blob = _bound(ctx, facts, json.dumps(facts))
    with ctx.cloud.db.begin() as tx:
        _user(tx, user_id)
        if rows.get(tx, Project, project_id) is None:
            raise not_found("project", project_id)
        if not _in_reach(ctx, project_id):
            raise forbidden(OTHER_PROJECT)
        made = Credential(ec2_id(facts["access"]), user_id, "ec2", _seal(ctx.cloud, blob), project_id)
        rows.add(tx, made, "credential", "Duplicate entry.")
    return _as_key(ctx.cloud, made)


def get_ec2(ctx: Context, user_id: str, access: str) -> Ec2Key:
    """Return an EC2 key pair."""
    with ctx.cloud.db.read() as tx:
        return _as_key(ctx.cloud, _require_ec2(ctx, tx, "identity:ec2_get_credential", user_id, access))


def delete_ec2(ctx: Context, user_id: str, access: str) -> None:
    """Delete an EC2 key pair."""
    with ctx.cloud.db.begin() as tx:
        rows.drop(tx, Credential, id=_require_ec2(ctx, tx, "identity:ec2_delete_credential", user_id, access).id)
        revisions.bump(tx)


def _require_ec2(ctx: Context, tx: Connection, rule: str, user_id: str, access: str) -> Credential:
    if rows.get(tx, Credential, ec2_id(access)) is None:  # told to anyone, as Keystone does
        raise not_found("credential", access)
    found = _require(ctx, tx, rule, ec2_id(access))
    _user(tx, user_id)
    if found.type != "ec2":
        raise not_found("credential", access)
    return found


def _require(ctx: Context, tx: Connection, rule: str, credential_id: str) -> Credential:
    found = rows.get(tx, Credential, credential_id)
    ctx.require(rule, _target(found.user_id) if found else {})
    if found is None:
        raise not_found("credential", credential_id)
    if not _in_reach(ctx, found.project_id):
        raise forbidden(OTHER_PROJECT)
    return found


def _target(user_id: str) -> dict[str, Any]:
    return {"target.credential.user_id": user_id}


def _in_reach(ctx: Context, project_id: str | None) -> bool:
    """Tell whether a holder of an application credential or trust, bound to its project, may touch this."""
    token = tokens.token_of(ctx)
    return token is None or token.payload.via == DIRECT or project_id == ctx.project_id


def _bound(ctx: Context, facts: dict[str, Any], blob: str) -> str:
    """Note in a key pair the application credential it was made with."""
    token = tokens.token_of(ctx)
    if token is None or token.facts.app_credential is None:
        return blob
    return json.dumps({**facts, "app_cred_id": token.facts.app_credential.id})


def _read_ec2(blob: str) -> dict[str, Any]:
    try:
        facts = json.loads(blob)
    except ValueError:
        raise BadRequest("Invalid blob in credential") from None
    if not facts or not isinstance(facts, dict):
        raise expecting("blob", "credential")
    if not isinstance(facts.get("access"), str):
        raise expecting("access", "credential")
    return facts


def _seal(cloud: Cloud, blob: str) -> str:
    return state_of(cloud).credential_keys.encrypt(blob.encode(), cloud.clock.now())


def _as_key(cloud: Cloud, credential: Credential) -> Ec2Key:
    facts = json.loads(blob_of(cloud, credential))
    lent = any(facts.get(name) for name in ("trust_id", "app_cred_id", "access_token_id"))
    secret, project_id = facts.get("secret", ""), credential.project_id or ""
    return Ec2Key(facts["access"], secret, credential.user_id, project_id, facts.get("trust_id"), lent)


def _user(tx: Connection, user_id: str) -> User:
    user = rows.get(tx, User, user_id)
    if user is None:
        raise not_found("user", user_id)
    return user
