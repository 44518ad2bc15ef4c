"""How volumes are reached, in the words of the API."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.volume.store import types, volumes
from pileus.volume.store.attachments import Attachment
from pileus.volume.store.types import Type
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks import attachments as work

SECRETS = frozenset({"auth_password", "discovery_auth_password", "secret"})


def qos_specs(kind: Type | None) -> dict[str, str] | None:
    """Return the limits that whoever uses a volume of a type is to keep to; None: none."""
    return dict(kind.qos) if kind and kind.qos and kind.qos_consumer in ("front-end", "both") else None


def qos_of(tx: Connection, volume: Volume) -> dict[str, str] | None:
    """Return the limits that whoever uses a volume is to keep to; None: none."""
    return qos_specs(types.get(tx, volume.volume_type_id) if volume.volume_type_id else None)


def describe(ctx: Context, rows: Sequence[Attachment]) -> dict[str, dict[str, Any]]:
    """Return how each attachment's volume is reached, by the attachment's id; {} where it is not.

    The secrets of ways to the cloud's own hosts are for admins and services alone.
    """
    with ctx.cloud.db.read() as tx:
        its_volumes = volumes.many(tx, sorted({row.volume_id for row in rows if row.connection}))
        kinds = types.many(tx, sorted({v.volume_type_id for v in its_volumes.values() if v.volume_type_id}))
    return {
        row.id: _flat(ctx, row, its_volumes[row.volume_id], kinds) if row.volume_id in its_volumes and row.connection else {}
        for row in rows
    }


def nested(volume: Volume, attachment: Attachment, qos: Mapping[str, str] | None) -> dict[str, Any]:
    """Return how a volume is reached in the form of os-initialize_connection."""
    made = dict(attachment.connection or {})
    return made | {"data": {**made.get("data", {}), **_terms(volume, attachment, qos)}}


def _flat(ctx: Context, row: Attachment, volume: Volume, kinds: Mapping[str, Type]) -> dict[str, Any]:
    data = dict(row.connection.get("data", {}))
    if row.of_cloud and not (ctx.is_admin or "service" in ctx.roles):
        data = {key: value for key, value in data.items() if key not in SECRETS}
    told = {"driver_volume_type": row.connection.get("driver_volume_type"), "attachment_id": row.id, "volume_id": volume.id}
    return data | told | _terms(volume, row, qos_specs(kinds.get(volume.volume_type_id or "")))


def _terms(volume: Volume, row: Attachment, qos: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "access_mode": "ro" if work.is_read_only(volume, row) else "rw",
        "encrypted": volume.encryption_key_id is not None,
        "qos_specs": qos,
    }
