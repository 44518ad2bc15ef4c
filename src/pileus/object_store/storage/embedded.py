"""The object store inside one process: one device, one replica, no ring to make."""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from pileus.object_store.backend import Cluster, StoragePolicy
from pileus.object_store.places import Node
from pileus.object_store.storage.daemons.auditor import IndexAuditor, ObjectAuditor
from pileus.object_store.storage.daemons.expirer import Expirer
from pileus.object_store.storage.daemons.reaper import AccountReaper
from pileus.object_store.storage.daemons.running import Daemon
from pileus.object_store.storage.daemons.sharder import SHARD_THRESHOLD, ContainerSharder
from pileus.object_store.storage.daemons.updaters import ContainerUpdater, ObjectUpdater
from pileus.object_store.storage.layout import Device, Salt, sync_directory
from pileus.object_store.storage.local import LocalCarrier

EXPIRE_SECONDS, UPDATE_SECONDS, AUDIT_SECONDS = 30.0, 60.0, 86_400.0
DEFAULT_POLICIES = (StoragePolicy(0, "Policy-0", is_default=True),)


@dataclass(frozen=True)
class SingleRing:
    """The ring of one device: one partition holds everything."""

    node: Node
    replicas: float = 1.0
    partition_count: int = 1

    def partition(self, account: str, container: str | None = None, object_name: str | None = None) -> int:
        """Return the partition of a name."""
        return 0

    def nodes(self, partition: int) -> Sequence[Node]:
        """Return the device."""
        return (self.node,)

    def handoffs(self, partition: int) -> Iterator[Node]:
        """Return nothing: there is no other."""
        return iter(())


def embedded_cluster(root: str, now: Callable[[], float], policies: tuple[StoragePolicy, ...] = DEFAULT_POLICIES) -> Cluster:
    """Return a cluster that keeps everything under one directory, made if need be.  Its carrier is a LocalCarrier: close it."""
    os.makedirs(root, mode=0o700, exist_ok=True)
    device = Device(root, _salt(root))
    node = Node(id=0, device="d0")
    ring = SingleRing(node)
    return Cluster(
        ring, ring, {policy.index: ring for policy in policies}, policies, LocalCarrier({"d0": device}, now, container_ring=ring)
    )


def embedded_daemons(
    cluster: Cluster, now: Callable[[], float], shard_threshold: int = SHARD_THRESHOLD
) -> list[tuple[Daemon, float]]:
    """Return the daemons of an embedded cluster, each with the seconds between its passes; all there is to replicate is one.

    :param shard_threshold: names in a container beyond which it is split.
    """
    carrier = cluster.carrier
    if not isinstance(carrier, LocalCarrier):
        raise TypeError("not an embedded cluster")
    device, files, ring = carrier.devices["d0"], carrier.files("d0"), cluster.container_ring
    (here,) = ring.nodes(0)
    return [
        (Expirer(carrier, "d0", ring, now), EXPIRE_SECONDS),
        (ObjectUpdater(device, carrier, ring, now), UPDATE_SECONDS),
        (ContainerSharder(files, here, ring, carrier, now, shard_threshold), UPDATE_SECONDS),
        (ContainerUpdater(files, carrier, cluster.account_ring, now, ring), UPDATE_SECONDS),
        (AccountReaper(files, cluster, now), UPDATE_SECONDS),
        (ObjectAuditor(device, now), AUDIT_SECONDS),
        (IndexAuditor(files, now), AUDIT_SECONDS),
    ]


def _salt(root: str) -> Salt:
    """Return what is added to names before hashing: made once, then kept in the file `salt.json`."""
    path = f"{root}/salt.json"
    try:
        with open(path, "rb") as kept:
            return msgspec.json.decode(kept.read(), type=Salt)
    except FileNotFoundError:
        salt = Salt("", secrets.token_hex(16))
    fresh = f"{path}.{os.getpid()}"
    with open(fresh, "wb") as file:
        file.write(msgspec.json.encode(salt))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)
    except FileExistsError:
        return _salt(root)
    finally:
        os.unlink(fresh)
    sync_directory(root)
    return salt
