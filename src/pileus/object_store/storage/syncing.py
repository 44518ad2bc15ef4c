"""Container sync as a process of its own, beside the container server of a storage node: it reads the same index files."""

import asyncio
import os
from dataclasses import dataclass

from pileus.kernel.clock import SystemClock
from pileus.object_store.ciphers import read_secrets
from pileus.object_store.encryption import EncryptedPlacement
from pileus.object_store.placement import Placement
from pileus.object_store.realms import read_realms
from pileus.object_store.storage.daemons.container_sync import ContainerSync
from pileus.object_store.storage.daemons.running import run_forever, run_once
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local_indexes import IndexFiles
from pileus.object_store.storage.node import http_cluster, load_rings


@dataclass(frozen=True)
class SyncSettings:
    """What one process syncs; host and port are those of the container server."""

    rings_dir: str
    devices_dir: str
    host: str
    port: int
    realms: str
    hosts: str = ""
    secrets: str = ""


def daemons_of(settings: SyncSettings) -> list[ContainerSync]:
    """Return a daemon for each device that the ring of containers gives to the address.

    :raises ValueError: when there is nobody to sync to.
    :raises OSError: when the rings or the realms cannot be read.
    """
    realms = read_realms(settings.realms, settings.hosts)
    if not realms:
        raise ValueError("there are neither realms nor hosts to sync to")
    ring, cluster = load_rings(settings.rings_dir).containers, http_cluster(settings.rings_dir)
    secrets = read_secrets(settings.secrets)
    placement = EncryptedPlacement(cluster, secrets) if secrets else Placement(cluster)
    found = []
    for node in filter(None, ring.devices):
        root = f"{settings.devices_dir}/{node.device}"
        if (node.ip, node.port) == (settings.host, settings.port) and os.path.isdir(root):
            files = IndexFiles(Device(root, ring.salt))
            found.append(ContainerSync(files, placement, realms, ring, SystemClock().now, node.id))
    return found


async def sync_node(settings: SyncSettings, interval_seconds: float, stop: asyncio.Event) -> None:
    """Sync until stop is set; with an interval of 0 once.

    :raises ValueError: when there is nobody to sync to.
    :raises OSError: when the rings or the realms cannot be read.
    """
    now, daemons = SystemClock().now, daemons_of(settings)
    try:
        if not interval_seconds:
            for daemon in daemons:
                await run_once(daemon, now)
            return
        tasks = [asyncio.create_task(run_forever(daemon, now, interval_seconds)) for daemon in daemons]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for daemon in daemons:
            daemon.files.close()
