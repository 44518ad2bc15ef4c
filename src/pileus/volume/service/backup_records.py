"""Records of backups: all that is needed to use a backup again, here after its row was lost, or in another cloud.

A record is JSON in base64 with the names that cinder uses.  It names the key of an encrypted backup and never holds it.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.clock import from_iso, to_iso
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest
from pileus.volume.backup_target import NAME
from pileus.volume.keys import KeyLost
from pileus.volume.service import quotas
from pileus.volume.service.backup_restores import find, invalid
from pileus.volume.store import backups as store
from pileus.volume.store.backups import Backup
from pileus.volume.tasks import backups as work
from pileus.volume.tasks import keys

UNKNOWN_VOLUME = "00000000-0000-0000-0000-000000000000"
MOST_GIB = 2**31 - 1


class Driver(msgspec.Struct):
    """What the target needs."""

    digest: str = ""


class Record(msgspec.Struct):
    """What a record says; what else is in it does not matter."""

    id: str
    size: int
    container: str
    service_metadata: str
    driver_info: Driver
    object_count: int = 0
    display_name: str | None = None
    display_description: str | None = None
    volume_id: str | None = None
    parent_id: str | None = None
    snapshot_id: str | None = None
    data_timestamp: str | None = None
    encryption_key_id: str | None = None


def export(ctx: Context, backup_id: str) -> Mapping[str, str]:
    """Return the record of a backup.

    :raises NotFound: when there is no such backup.
    :raises BadRequest: when it is not finished.
    """
    with ctx.cloud.db.read() as tx:
        find(tx, ctx, backup_id)
        backup = find(tx, ctx, backup_id, "backup:export-import")
    if backup.status != "available":
        raise invalid(f"Backup status must be available and not {backup.status}.")
    moment = backup.data_timestamp
    record = {
        "id": backup.id, "size": backup.size_gib, "container": backup.container, "service_metadata": backup.location,
        "driver_info": {"digest": backup.digest}, "object_count": backup.object_count, "display_name": backup.name,
        "display_description": backup.description, "volume_id": backup.volume_id, "parent_id": backup.parent_id,
        "snapshot_id": backup.snapshot_id, "data_timestamp": to_iso(moment) if moment is not None else None,
        "created_at": to_iso(backup.created_at), "encryption_key_id": backup.encryption_key_id, "status": backup.status,
        "project_id": backup.project_id, "user_id": backup.user_id, "availability_zone": backup.availability_zone,
        "service": backup.service,
    }  # fmt: skip
    return {"backup_service": backup.service, "backup_url": base64.b64encode(msgspec.json.encode(record)).decode()}


def import_(ctx: Context, service: str, url: str) -> Backup:
    """Begin to take over the backup that a record tells of; it is looked at before it counts as available.

    :raises BadRequest: when the record makes no sense, or there is that backup already.
    :raises OverQuota: when the project has used its share.
    """
    ctx.require("backup:backup-import")
    record = _read(url)
    with ctx.cloud.db.begin() as tx:
        if store.get(tx, record.id) is not None:
            raise invalid("Backup already exists in database.")
        quotas.require_room(tx, ctx, ctx.project_id, backups=1, backup_gigabytes=record.size)
        _write(tx, ctx, service, record)
        work.go(tx, ctx.cloud, record.id, record.size)
        return find(tx, ctx, record.id)


def _write(tx: Connection, ctx: Context, service: str, record: Record) -> None:
    now = ctx.cloud.clock.now()
    try:
        key_id = keys.copy(tx, record.encryption_key_id, ctx.project_id)
        moment = from_iso(record.data_timestamp) if record.data_timestamp else now
    except KeyLost as error:
        raise invalid(str(error)) from error
    except (ValueError, OverflowError):
        raise _unreadable("data_timestamp") from None
    store.add(
        tx, id=record.id, project_id=ctx.project_id, user_id=ctx.user_id, created_at=now, status="creating", service=service,
        name=record.display_name, description=record.display_description, size_gib=record.size, container=record.container,
        location=record.service_metadata, digest=record.driver_info.digest, object_count=record.object_count,
        volume_id=record.volume_id or UNKNOWN_VOLUME, parent_id=record.parent_id, snapshot_id=record.snapshot_id,
        data_timestamp=moment, encryption_key_id=key_id, request_id=ctx.request_id,
    )  # fmt: skip


def _read(url: str) -> Record:
    try:
        raw = msgspec.json.decode(base64.b64decode(url, validate=True))
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise BadRequest("Invalid input received: Can't parse backup record.", kind="InvalidInput") from None
    for name in ("id", "size"):
        if not isinstance(raw, dict) or raw.get(name) is None:
            what = {"id": "an id", "size": "size attribute"}[name]
            raise BadRequest(f"Invalid input received: Provided backup record is missing {what}", kind="InvalidInput")
    try:
        record = msgspec.convert(raw, Record)
    except msgspec.ValidationError as error:
        raise _unreadable(str(error)) from error
    return _checked(record)


def _checked(record: Record) -> Record:
    """Return a record that may be written down.  :raises BadRequest: when one of its fields makes no sense."""
    named: dict[str, Any] = {
        name: getattr(record, name) for name in ("id", "volume_id", "parent_id", "snapshot_id", "encryption_key_id")
    }
    wrong = [name for name, value in named.items() if value is not None and not ids.is_uuid(value)]
    wrong += ["id"] if len(record.id) != 36 else []
    wrong += ["size"] if not 0 < record.size <= MOST_GIB else []
    wrong += ["object_count"] if not 0 <= record.object_count <= MOST_GIB else []
    wrong += (
        ["container"]
        if not 0 < len(record.container) <= 255 or "/" in record.container or record.container in (".", "..")
        else []
    )
    wrong += ["service_metadata"] if len(record.service_metadata) > 255 or not NAME.fullmatch(record.service_metadata) else []
    wrong += ["driver_info"] if not re.fullmatch(r"[0-9a-f]{64}", record.driver_info.digest) else []
    texts = {"display_name": record.display_name, "display_description": record.display_description}
    wrong += [name for name, text in texts.items() if text is not None and len(text) > 255]
    if wrong:
        raise _unreadable(", ".join(sorted(set(wrong))))
    return record


def _unreadable(what: str) -> BadRequest:
    return BadRequest(f"Invalid input received: Can't use backup record: {what}", kind="InvalidInput")
