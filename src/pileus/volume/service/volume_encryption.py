"""How a volume is encrypted: what its type says, and the id of its key, but never the key."""

from typing import Any

from pileus.kernel.context import Context
from pileus.volume.service.access import find_volume
from pileus.volume.store import types


def show(ctx: Context, volume_id: str) -> dict[str, Any]:
    """Return what there is to say; of a volume that is not encrypted, an encryption_key_id of None.

    :raises NotFound: when there is no such volume.
    """
    with ctx.cloud.db.read() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume_extension:volume_encryption_metadata")
        kind = types.get(tx, volume.volume_type_id) if volume.volume_type_id else None
    found: dict[str, Any] = {"encryption_key_id": volume.encryption_key_id}
    if kind is not None and kind.encryption is not None:
        how = kind.encryption
        found |= {
            "control_location": how.control_location,
            "cipher": how.cipher,
            "key_size": how.key_size_bits,
            "provider": how.provider,
        }
    return found
