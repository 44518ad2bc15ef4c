"""The keys of encrypted volumes: made with them, copied with what is made of them, forgotten with them.

Every volume, snapshot and backup has a row of its own, so that each can be shredded by forgetting its key: when the last
one that knows a key is gone, what is left on the disks is noise.  A key is never logged and never part of an answer; its id is.
"""

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud
from pileus.volume.keys import KeyLost, VolumeKeys
from pileus.volume.store import keys as store

KEY_BYTES = 32


def make(tx: Connection, cloud: Cloud, project_id: str) -> str:
    """Make a key for a volume; returns its id, the volume's encryption_key_id."""
    key_id = ids.uuid()
    sealed = cloud.part(VolumeKeys).seal(ids.hex_secret(KEY_BYTES), cloud.clock)
    store.add(tx, key_id, project_id, sealed)
    return key_id


def copy(tx: Connection, key_id: str | None, project_id: str, *, as_id: str = "") -> str | None:
    """Give what is made of an encrypted volume the same key under an id of its own; None for what is not encrypted.

    :param as_id: that id; empty: a new one.

    :raises KeyLost: when there is no such key.
    """
    if key_id is None:
        return None
    sealed = store.get(tx, key_id)
    if sealed is None:
        raise KeyLost(f"The key {key_id} is gone.")
    copied = as_id or ids.uuid()
    store.add(tx, copied, project_id, sealed)
    return copied


def reveal(tx: Connection, cloud: Cloud, key_id: str | None) -> str:
    """Return a key in hex, for `VolumeSpec.luks_key` and for the host that opens the volume; "" for what is not encrypted.

    :raises KeyLost: when it cannot be read.
    """
    if key_id is None:
        return ""
    sealed = store.get(tx, key_id)
    if sealed is None:
        raise KeyLost(f"The key {key_id} is gone.")
    return cloud.part(VolumeKeys).unseal(sealed, cloud.clock)


def forget(tx: Connection, key_id: str | None) -> None:
    """Forget a key, with what it encrypted; nothing happens when there is none."""
    if key_id is not None:
        store.remove(tx, key_id)
