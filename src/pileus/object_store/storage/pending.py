"""News for containers that could not be told: DEVICE/async_pending/SUFFIX/HASH-TIMESTAMP, for the updater to send later."""

import os
from collections.abc import Iterator

import msgspec

from pileus.object_store.indexes import ObjectRow
from pileus.object_store.places import Target
from pileus.object_store.storage.layout import Device


class Pending(msgspec.Struct, frozen=True):
    """One piece of news, and who does not know it yet."""

    account: str
    container: str
    row: ObjectRow
    targets: tuple[Target, ...]


def keep(device: Device, pending: Pending) -> str:
    """Write it down; return where."""
    name_hash = device.salt.hash(pending.account, pending.container, pending.row.name)
    newest = max(filter(None, (pending.row.data_at, pending.row.content_type_at, pending.row.meta_at)))
    path = f"{device.root}/async_pending/{name_hash[-3:]}/{name_hash}-{newest.internal}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return rewrite(path, pending)


def rewrite(path: str, pending: Pending) -> str:
    """Write a piece of news in its place."""
    fresh = f"{path}.{os.getpid()}.tmp"
    with open(fresh, "wb") as file:
        file.write(msgspec.msgpack.encode(pending))
    os.replace(fresh, path)
    return path


def all_pending(device: Device) -> Iterator[tuple[str, Pending]]:
    """Return all there is; what cannot be read is removed."""
    top = f"{device.root}/async_pending"
    try:
        suffixes = sorted(os.listdir(top))
    except FileNotFoundError:
        return
    for suffix in suffixes:
        for name in sorted(os.listdir(f"{top}/{suffix}")):
            path = f"{top}/{suffix}/{name}"
            if name.endswith(".tmp"):
                continue
            try:
                with open(path, "rb") as file:
                    yield path, msgspec.msgpack.decode(file.read(), type=Pending)
            except FileNotFoundError:
                continue
            except msgspec.DecodeError:
                os.unlink(path)
