"""Transfers: a project offers a volume, and whoever knows the key takes it, with its snapshots and what they use of the quota.

The key is told once, to the one who makes the offer; only its hash is kept.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound
from pileus.volume import states
from pileus.volume.service import access, quotas
from pileus.volume.store import attachments, keys, snapshots, volumes
from pileus.volume.store import transfers as store
from pileus.volume.store.transfers import Transfer
from pileus.volume.store.volumes import Volume

KEY_BYTES, SALT_BYTES = 8, 16


@dataclass(frozen=True)
class Offer:
    """What is offered.  encrypted: the caller knows that keys go with volumes (3.70)."""

    volume_id: str
    name: str | None = None
    no_snapshots: bool = False
    encrypted: bool = False


def create(ctx: Context, offer: Offer) -> tuple[Transfer, str]:
    """Offer a volume; return the transfer, and the key that whoever accepts it must know.

    :raises NotFound: when there is no such volume.
    :raises BadRequest: InvalidVolume or InvalidSnapshot when it, or one of its snapshots, is in no state for that.
    """
    key = ids.hex_secret(KEY_BYTES)
    salt = ids.hex_secret(SALT_BYTES)
    with ctx.cloud.db.begin() as tx:
        volume = access.find_volume(tx, ctx, offer.volume_id, "volume:create_transfer")
        _require_available(tx, volume, offer)
        now = ctx.cloud.clock.now()
        if not volumes.change_if(tx, volume, status=states.AWAITING_TRANSFER, before=volume.status, updated_at=now):
            raise _invalid("status must be available")
        id = ids.uuid()
        store.add(
            tx, id=id, volume_id=volume.id, project_id=volume.project_id, name=offer.name, salt=salt,
            key_hash=_hash(salt, key), no_snapshots=offer.no_snapshots, created_at=now,
        )  # fmt: skip
        return _get(tx, id), key


def _require_available(tx: Connection, volume: Volume, offer: Offer) -> None:
    if volume.status != states.AVAILABLE or volume.migration_status not in (None, "deleting", "error", "success"):
        raise _invalid("status must be available")
    if attachments.of_volume(tx, volume.id):
        raise _invalid("it is connected to a host")
    _require_alone(volume)
    if volume.encryption_key_id is not None and not offer.encrypted:
        raise _invalid("transferring encrypted volume is not supported")
    if volume.encryption_key_id is not None and offer.no_snapshots:
        raise _invalid("transferring an encrypted volume without its snapshots is not supported")
    busy = [] if offer.no_snapshots else [s for s in snapshots.of_volume(tx, volume.id) if s.status != "available"]
    if busy:
        text = f"Invalid snapshot: snapshot: {busy[0].id} status must be available"
        raise BadRequest(text, kind="InvalidSnapshot")


def _require_alone(volume: Volume) -> None:
    if volume.group_id is not None:
        raise _invalid(f"Volume {volume.id} must not be part of a consistency group.")


def show(ctx: Context, id: str) -> Transfer:
    """Return a transfer of the caller's project.  :raises NotFound: when there is none."""
    with ctx.cloud.db.read() as tx:
        return _find(tx, ctx, id, "volume:get_transfer")


def list_all(ctx: Context, exact: Mapping[str, Any], *, all_projects: bool = False) -> list[Transfer]:
    """Return the transfers of the caller's project, or of all, whose attributes have the wanted values, the oldest first."""
    ctx.require("volume:get_all_transfers")
    where = dict(exact) if all_projects and ctx.is_admin else {**exact, "project_id": ctx.project_id}
    with ctx.cloud.db.read() as tx:
        return store.search(tx, where)


def delete(ctx: Context, id: str) -> None:
    """Take an offer back.  :raises NotFound: when there is none."""
    with ctx.cloud.db.begin() as tx:
        transfer = _find(tx, ctx, id, "volume:delete_transfer")
        volume = attachments.hold(tx, transfer.volume_id)
        if not store.remove(tx, id):
            raise _unknown(id)  # somebody took it at the same moment
        if volume is not None and volume.status == states.AWAITING_TRANSFER:
            now = ctx.cloud.clock.now()
            volumes.change(tx, volume.id, status=volumes.settled_status(tx, volume.id), before="", updated_at=now)


def accept(ctx: Context, id: str, key: str) -> Transfer:
    """Take a volume that is offered into the caller's project.

    :raises NotFound: when there is no such offer.
    :raises BadRequest: InvalidAuthKey when the key is another; InvalidVolume when the volume is in no state for that.
    :raises OverQuota: when the project has used its share.
    """
    ctx.require("volume:accept_transfer")
    with ctx.cloud.db.begin() as tx:
        transfer = _get(tx, id)
        if not hmac.compare_digest(transfer.key_hash, _hash(transfer.salt, key)):
            text = f"Invalid auth key: Attempt to transfer {id} with invalid auth key."
            raise BadRequest(text, kind="InvalidAuthKey")
        volume = attachments.hold(tx, transfer.volume_id)
        if volume is None or not store.remove(tx, id):
            raise _unknown(id)
        if volume.status != states.AWAITING_TRANSFER:
            raise _invalid(
                f"Transfer {id}: Volume id {volume.id} in unexpected state {volume.status}, expected awaiting-transfer"
            )
        _require_alone(volume)
        _move(tx, ctx, volume, with_snapshots=not transfer.no_snapshots)
        return transfer


def _move(tx: Connection, ctx: Context, volume: Volume, *, with_snapshots: bool) -> None:
    its_snapshots = snapshots.of_volume(tx, volume.id) if with_snapshots else []
    if volume.project_id != ctx.project_id:
        counted = [snapshot for snapshot in its_snapshots if snapshot.counts and snapshot.project_id != ctx.project_id]
        more = int(bool(volume.counts))
        quotas.require_room(
            tx, ctx, ctx.project_id, volume_type=volume.volume_type_id or "", volumes=more, snapshots=len(counted),
            gigabytes=more * volume.size_gib + sum(snapshot.size_gib for snapshot in counted),
            per_volume_gigabytes=volume.size_gib,
        )  # fmt: skip
    owner = {"project_id": ctx.project_id, "user_id": ctx.user_id, "updated_at": ctx.cloud.clock.now()}
    volumes.change(tx, volume.id, status=volumes.settled_status(tx, volume.id), before="", **owner)
    for snapshot in its_snapshots:
        snapshots.change(tx, snapshot.id, **owner)
    for row in (volume, *its_snapshots):
        if row.encryption_key_id is not None:
            keys.give(tx, row.encryption_key_id, ctx.project_id)


def _hash(salt: str, key: str) -> str:
    return hmac.new(salt.encode(), key.encode(), hashlib.sha256).hexdigest()


def _get(tx: Connection, id: str) -> Transfer:
    found = store.get(tx, id)
    if found is None:
        raise _unknown(id)
    return found


def _find(tx: Connection, ctx: Context, id: str, rule: str) -> Transfer:
    found = _get(tx, id)
    ctx.require(rule, {"project_id": found.project_id}, hidden=_unknown(id))
    return found


def _unknown(id: str) -> NotFound:
    return NotFound(f"Transfer {id} could not be found.", kind="TransferNotFound")


def _invalid(text: str) -> BadRequest:
    return BadRequest(f"Invalid volume: {text}", kind="InvalidVolume")
