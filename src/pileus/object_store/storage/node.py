"""A storage node: the servers and the daemons of the devices that the rings give to one address.

`rings_dir` holds account.ring.gz, container.ring.gz, object.ring.gz, object-1.ring.gz, ...; `devices_dir` a directory for each
device.  A device whose directory is not there counts as unmounted and answers 507: it is never made by itself, lest a disk that
failed to mount be filled up underneath.
"""

import asyncio
import glob
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pileus.object_store.backend import Cluster, StoragePolicy
from pileus.object_store.placement import Placement
from pileus.object_store.places import Node
from pileus.object_store.storage.daemons.auditor import IndexAuditor, ObjectAuditor
from pileus.object_store.storage.daemons.expirer import Expirer
from pileus.object_store.storage.daemons.reaper import AccountReaper
from pileus.object_store.storage.daemons.reconciler import ContainerReconciler
from pileus.object_store.storage.daemons.reconstructor import Reconstructor
from pileus.object_store.storage.daemons.replicators import IndexReplicator, ObjectReplicator, Place
from pileus.object_store.storage.daemons.running import Daemon, run_forever
from pileus.object_store.storage.daemons.sharder import SHARD_THRESHOLD, ContainerSharder
from pileus.object_store.storage.daemons.updaters import ContainerUpdater, ObjectUpdater
from pileus.object_store.storage.http_carrier import HttpCarrier
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local import LocalCarrier
from pileus.object_store.storage.policies_file import load_policies
from pileus.object_store.storage.recon import Recon
from pileus.object_store.storage.replication_http import ReplicationCalls, reach_over_http
from pileus.object_store.storage.ring.table import Table, load_table
from pileus.object_store.storage.serve import serving
from pileus.object_store.storage.server import KINDS, backend_app

EXPIRER_DELAY_SECONDS = 3600.0
REAPER_DELAY_SECONDS = 3600.0


@dataclass(frozen=True)
class Rings:
    """All rings of a cluster; objects by the index of the policy."""

    accounts: Table
    containers: Table
    objects: Mapping[int, Table]
    policies: tuple[StoragePolicy, ...] = ()


@dataclass(frozen=True)
class NodeSettings:
    """What one process serves."""

    rings_dir: str
    devices_dir: str
    host: str
    port: int
    kinds: tuple[str, ...] = KINDS
    interval_seconds: float = 30.0
    audit_interval_seconds: float = 3600.0
    daemons: bool = True
    shard_threshold: int = SHARD_THRESHOLD


def load_rings(rings_dir: str) -> Rings:
    """Read the rings in a directory, and its policies.conf.

    :raises FileNotFoundError: when one is missing.
    :raises ValueError: when one is wrong, or has not as many replicas as its policy has fragments.
    """
    objects = {}
    for path in glob.glob(f"{rings_dir}/object*.ring.gz"):
        index = os.path.basename(path).removesuffix(".ring.gz").removeprefix("object").lstrip("-")
        objects[int(index or 0)] = load_table(path)
    policies = load_policies(rings_dir, objects)
    for policy in policies:
        if policy.coding and objects[policy.index].replicas != policy.coding.fragments:
            raise ValueError(f"the ring of policy {policy.index} needs {policy.coding.fragments} replicas, one for each fragment")
    accounts, containers = (load_table(f"{rings_dir}/{name}.ring.gz") for name in ("account", "container"))
    return Rings(accounts, containers, objects, policies)


def http_cluster(rings_dir: str, policies: tuple[StoragePolicy, ...] | None = None) -> Cluster:
    """Return the cluster of the rings in a directory, reached over HTTP: what a proxy needs."""
    rings = load_rings(rings_dir)
    kinds = policies or rings.policies
    return Cluster(rings.accounts, rings.containers, dict(rings.objects), kinds, HttpCarrier())


def _mine(table: Table, settings: NodeSettings) -> dict[str, Node]:
    """Return the devices that a ring gives to this address, by name."""
    place = settings.host, settings.port
    return {node.device: node for node in table.devices if node and (node.ip, node.port) == place}


def build_daemons(settings: NodeSettings, rings: Rings, carrier: LocalCarrier, remote: HttpCarrier) -> list[tuple[Daemon, float]]:
    """Return the daemons of this process, each with the seconds between its passes."""
    now, reach = carrier.now, reach_over_http(remote.client)
    often, seldom = settings.interval_seconds, settings.audit_interval_seconds
    found: list[tuple[Daemon, float]] = []
    for name, device in carrier.devices.items():
        files = carrier.files(name)
        if "objects" in settings.kinds:
            places = {
                policy: Place(ring, mine[name])
                for policy, ring in rings.objects.items()
                if name in (mine := _mine(ring, settings))
            }
            coded = {policy.index for policy in rings.policies if policy.coding}
            whole = {policy: place for policy, place in places.items() if policy not in coded}
            if fragments := {policy: place for policy, place in places.items() if policy in coded}:
                found.append((Reconstructor(device, fragments, reach, remote, now), often))
            found += [
                (ObjectReplicator(device, whole, reach), often),
                (ObjectUpdater(device, remote, rings.containers, now), often),
                (Expirer(carrier, name, rings.containers, now, EXPIRER_DELAY_SECONDS), often),
                (ObjectAuditor(device, now), seldom),
                (ObjectAuditor(device, now, zero_byte_only=True), seldom),
            ]
        indexes = {
            kind: Place(ring, mine[name])
            for kind, ring in (("containers", rings.containers), ("accounts", rings.accounts))
            if kind in settings.kinds and name in (mine := _mine(ring, settings))
        }
        if indexes:
            found += [(IndexReplicator(files, indexes, reach), often), (IndexAuditor(files, now), seldom)]
        if "accounts" in indexes:
            cluster = Cluster(rings.accounts, rings.containers, dict(rings.objects), rings.policies, remote)
            found.append((AccountReaper(files, cluster, now, REAPER_DELAY_SECONDS), often))
        if "containers" in indexes:
            here, ring = indexes["containers"].here, rings.containers
            placement = Placement(Cluster(rings.accounts, ring, dict(rings.objects), rings.policies, remote))
            found += [
                (ContainerSharder(files, here, ring, remote, now, settings.shard_threshold), often),
                (ContainerReconciler(files, here, ring, placement, now), often),
            ]
            found.append((ContainerUpdater(files, remote, rings.accounts, now, rings.containers), often))
    return found


async def run_node(settings: NodeSettings, now: Callable[[], float], stop: asyncio.Event) -> None:
    """Serve, and run the daemons, until stop is set."""
    rings = load_rings(settings.rings_dir)
    tables = {"accounts": [rings.accounts], "containers": [rings.containers], "objects": list(rings.objects.values())}
    names = {name for kind in settings.kinds for table in tables[kind] for name in _mine(table, settings)}
    devices = {
        name: Device(f"{settings.devices_dir}/{name}", rings.accounts.salt)
        for name in sorted(names)
        if os.path.isdir(f"{settings.devices_dir}/{name}")
    }
    remote = HttpCarrier()
    carrier = LocalCarrier(devices, now, remote=remote, container_ring=rings.containers, patient=True)
    recon = Recon(devices, settings.rings_dir, tuple(sorted(names)))
    app = backend_app(carrier, settings.kinds, ReplicationCalls(carrier), recon)
    tasks: list[asyncio.Task[None]] = []
    try:
        async with serving(app, settings.host, settings.port):
            if settings.daemons:
                for daemon, seconds in build_daemons(settings, rings, carrier, remote):
                    tasks.append(asyncio.create_task(run_forever(daemon, now, seconds)))
            await stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        remote.client.close()
        carrier.close()
