"""Where things lie on a device.

    DEVICE/objects/PART/SUFFIX/HASH/TIMESTAMP.data|.meta|.ctype|.ts      (objects-1 for policy 1, ...)
    DEVICE/containers/PART/SUFFIX/HASH/HASH.db        DEVICE/accounts/... likewise
    DEVICE/async_pending/SUFFIX/HASH-TIMESTAMP        news for containers that could not be told
    DEVICE/expiring/HOUR                              what expires in that hour (epoch hours)
    DEVICE/quarantined/objects/HASH                   what was found damaged
    DEVICE/tmp                                        files on their way in, where the file system cannot make nameless ones

HASH is the MD5 of the cluster's prefix, the path "/account/container/object" and the cluster's suffix; SUFFIX its last three
digits; PART its first bits, as many as the ring has.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec


class Salt(msgspec.Struct, frozen=True):
    """What the cluster adds to names before hashing, so that nobody can aim at a partition.  Never change it."""

    prefix: str = ""
    suffix: str = ""

    def hash(self, account: str, container: str | None = None, object_name: str | None = None) -> str:
        """Return the hash of a name, in hex."""
        path = f"{self.prefix}/{account}"
        if container is not None:
            path += f"/{container}"
            if object_name is not None:
                path += f"/{object_name}"
        return hashlib.md5((path + self.suffix).encode(), usedforsecurity=False).hexdigest()


def partition_of(name_hash: str, power: int) -> int:
    """Return the partition of a hash in a ring of 2**power partitions."""
    return int(name_hash[:8], 16) >> (32 - power)


@dataclass(frozen=True)
class Device:
    """A directory that keeps one device's share, and what its file system can do.

    reserve_fraction of the space is left free: writes are refused (507) beyond.
    """

    root: str
    salt: Salt = field(default_factory=Salt)
    reserve_fraction: float = 0.01

    def policies(self) -> list[int]:
        """Return the storage policies that have objects here."""
        names = [name for name in os.listdir(self.root) if name == "objects" or name.startswith("objects-")]
        return sorted(int(name.partition("-")[2] or 0) for name in names if (name.partition("-")[2] or "0").isdecimal())

    def partitions(self, name: str, policy: int = 0) -> list[int]:
        """Return the partitions of a kind that are here."""
        return sorted(int(part) for part in names_in(self.kind(name, policy)) if part.isdecimal())

    def hash_dirs(self, name: str, partition: int, policy: int = 0, suffix: str | None = None) -> Iterator[str]:
        """Return the directories of the things in a partition, or in one suffix of it."""
        top = f"{self.kind(name, policy)}/{partition}"
        for one in [suffix] if suffix else sorted(names_in(top)):
            for name_hash in sorted(names_in(f"{top}/{one}")):
                yield f"{top}/{one}/{name_hash}"

    def kind(self, name: str, policy: int = 0) -> str:
        """Return the directory of a kind of thing: objects, containers, accounts."""
        return f"{self.root}/{name}-{policy}" if policy else f"{self.root}/{name}"

    def hash_dir(self, name: str, partition: int, name_hash: str, policy: int = 0) -> str:
        """Return the directory of one thing."""
        return f"{self.kind(name, policy)}/{partition}/{name_hash[-3:]}/{name_hash}"

    def quarantine(self, directory: str, name: str, policy: int = 0) -> str:
        """Move a hash directory out of the way; return where it is now.  It may be gone already."""
        shelf = f"{self.root}/quarantined/{name}-{policy}" if policy else f"{self.root}/quarantined/{name}"
        os.makedirs(shelf, exist_ok=True)
        place = f"{shelf}/{os.path.basename(directory)}"
        count = 0
        while os.path.lexists(place):
            count += 1
            place = f"{shelf}/{os.path.basename(directory)}-{count}"
        try:
            os.rename(directory, place)
        except FileNotFoundError:
            return ""
        return place

    def has_room(self, size_bytes: int = 0) -> bool:
        """Tell whether so many bytes may be written."""
        space = os.statvfs(self.root)
        return space.f_bavail * space.f_frsize - size_bytes >= self.reserve_fraction * space.f_blocks * space.f_frsize


def sync_directory(path: str) -> None:
    """Make what was linked into or removed from a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: str, *, later: bool = False) -> bool:
    """Make a directory and those above it, each durable in the one above; tell whether it was not there.

    :param later: the caller syncs the directory itself once something is in it; the journals of ext4, XFS and btrfs hold what
        was done before, above it, when that returns.
    """
    try:
        os.mkdir(path)
    except FileExistsError:
        return False
    except FileNotFoundError:
        make_directories(os.path.dirname(path), later=later)
        return make_directories(path, later=later)
    if not later:
        sync_directory(os.path.dirname(path))
    return True


def append(path: str, line: bytes) -> None:
    """Add a line to a file in one write, which others' lines do not mix with."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def names_in(directory: str) -> list[str]:
    """Return what is in a directory; nothing when it is not there."""
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
