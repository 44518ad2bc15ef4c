"""Key pairs: public keys that users have put into their servers."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.compute import ssh_keys
from pileus.compute.policies.keypairs import ROOT
from pileus.compute.service import quotas
from pileus.compute.store import keypairs as store
from pileus.compute.store.keypairs import Keypair
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, NotFound, OverQuota
from pileus.kernel.paging import Page


def create(ctx: Context, name: str, kind: str, public_key: str | None, user_id: str = "") -> tuple[Keypair, str]:
    """Keep a public key, or make a pair of which only the public half is kept; return it and the private half.

    :raises BadRequest: when the public key is none.
    :raises Conflict: when the user has one of that name.
    :raises OverQuota: when the user has as many as the project allows.
    """
    owner = user_id or ctx.user_id
    ctx.require(ROOT + "create", {"user_id": owner, "project_id": ctx.project_id})
    private_key = ""
    try:
        if public_key is not None:
            fingerprint = ssh_keys.ssh_fingerprint if kind == "ssh" else ssh_keys.x509_fingerprint
            mark = fingerprint(public_key)
        else:
            made = ssh_keys.make_ssh() if kind == "ssh" else ssh_keys.make_x509(owner, ctx.cloud.clock.now())
            public_key, private_key, mark = made.public_key, made.private_key, made.fingerprint
    except ssh_keys.KeyInvalid as error:
        raise BadRequest(str(error), kind="InvalidKeypair") from error
    row = {"user_id": owner, "name": name, "type": kind, "fingerprint": mark, "public_key": public_key}
    with ctx.cloud.db.begin() as tx:
        limit = quotas.limits_of(tx, ctx.cloud, ctx.project_id, owner)["key_pairs"]
        if 0 <= limit <= store.count(tx, owner):
            raise OverQuota("Quota exceeded, too many key pairs.", kind="KeypairLimitExceeded")
        return store.insert_keypair(tx, {**row, "created_at": ctx.cloud.clock.now()}), private_key


def get(ctx: Context, name: str, user_id: str = "") -> Keypair:
    """Return a key pair.

    :raises NotFound: when the user has none of that name.
    """
    owner = user_id or ctx.user_id
    ctx.require(ROOT + "show", {"user_id": owner, "project_id": ctx.project_id})
    with ctx.cloud.db.read() as tx:
        found = store.find(tx, owner, name)
    if found is None:
        raise _unknown(name, owner)
    return found


def list_all(ctx: Context, page: Page, user_id: str = "") -> tuple[list[Keypair], bool]:
    """Return a page of a user's key pairs, and whether there are more."""
    owner = user_id or ctx.user_id
    ctx.require(ROOT + "index", {"user_id": owner, "project_id": ctx.project_id})
    with ctx.cloud.db.read() as tx:
        return store.list_keypairs(tx, owner, page)


def delete(ctx: Context, name: str, user_id: str = "") -> None:
    """Delete a key pair.  Servers that have it keep it.

    :raises NotFound: when the user has none of that name.
    """
    owner = user_id or ctx.user_id
    ctx.require(ROOT + "delete", {"user_id": owner, "project_id": ctx.project_id})
    with ctx.cloud.db.begin() as tx:
        if not store.delete_keypair(tx, owner, name):
            raise _unknown(name, owner)


def on_user_deleted(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Forget the keys of a user who is gone."""
    store.delete_of_user(tx, str(facts["user_id"]))


def _unknown(name: str, user_id: str) -> NotFound:
    return NotFound(f"Keypair {name} not found for user {user_id}", kind="KeypairNotFound")
