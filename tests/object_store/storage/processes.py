"""A real cluster: one process a storage node, each in a zone of its own, which can be killed, starved and robbed."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from pileus.object_store.backend import Unreachable
from pileus.object_store.places import Node
from pileus.object_store.storage.http_client import HttpClient
from pileus.object_store.storage.ring.builder import Builder

from .conftest import free_port

POLICIES = """[storage-policy:0]
name = whole
default = yes

[storage-policy:1]
name = coded
policy_type = erasure_coding
ec_type = isa_l_rs_cauchy
ec_num_data_fragments = 2
ec_num_parity_fragments = 2
ec_object_segment_size = 65536
"""
PASSES = ("object-replicator", "object-reconstructor", "index-replicator", "object-updater", "container-updater")


class Processes:
    """The storage servers.  Objects of policy 0 have three replicas, those of policy 1 four fragments, any two being enough."""

    def __init__(self, path: Path, nodes: int = 5, shard_threshold: int = 200) -> None:
        self.path, self.ports, self.shard_threshold = path, [free_port() for _ in range(nodes)], shard_threshold
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        for number in range(nodes):
            (path / f"d{number}").mkdir()
        (path / "rings").mkdir()
        (path / "rings" / "policies.conf").write_text(POLICIES)
        for name, replicas in (("account", 3), ("container", 3), ("object", 3), ("object-1", 4)):
            builder = Builder(4, replicas, 0, time.time)
            for number, port in enumerate(self.ports):
                builder.add(Node(id=0, ip="127.0.0.1", port=port, device=f"d{number}", zone=number))
            builder.rebalance(seed=1)
            builder.table().save(f"{path}/rings/{name}.ring.gz")

    def start(self, number: int) -> None:
        words = ["--rings", f"{self.path}/rings", "--devices", str(self.path), "--listen", f"127.0.0.1:{self.ports[number]}"]
        words += ["--interval-seconds", "1", "--audit-interval-seconds", "3", "--shard-threshold", str(self.shard_threshold)]
        command = [sys.executable, "-m", "pileus.object_store.storage.cli", *words]
        with open(self.path / f"log{number}", "ab") as log:
            self.running[number] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, number: int) -> None:
        self.running[number].send_signal(signal.SIGKILL)
        self.running.pop(number).wait()

    def close(self) -> None:
        for number in list(self.running):
            self.kill(number)

    def device(self, number: int) -> Path:
        return self.path / f"d{number}"

    async def figures(self, client: HttpClient, number: int) -> dict[str, Any]:
        """Return what a node tells of its daemons' last passes."""
        reply = await client.request("127.0.0.1", self.ports[number], "/recon", {}, b"")
        found: dict[str, Any] = msgspec.json.decode(await reply.body())[f"d{number}"]
        return found

    async def until_up(self, seconds: float = 120.0) -> None:
        """Wait until every node that runs answers."""
        client = HttpClient()
        try:
            async with asyncio.timeout(seconds):
                for number in list(self.running):
                    while True:
                        try:
                            await self.figures(client, number)
                            break
                        except Unreachable:
                            await asyncio.sleep(0.1)
        finally:
            client.close()

    async def until_passed(self, passes: int = 2, seconds: float = 600.0) -> None:
        """Wait until all daemons of all nodes have made passes that began from now on."""
        client = HttpClient()
        try:
            async with asyncio.timeout(seconds):
                for _ in range(passes):
                    since = time.time()
                    for number in list(self.running):
                        while not await self._passed(client, number, since):
                            await asyncio.sleep(0.2)
        finally:
            client.close()

    async def _passed(self, client: HttpClient, number: int, since: float) -> bool:
        try:
            figures = await self.figures(client, number)
        except Unreachable:
            return False
        return all(figures.get(name, {}).get("started_at", 0) >= since for name in PASSES)

    # What may happen to a node

    def empty(self, number: int) -> None:
        """Take all objects of a node away, as a new disk would (the node must not run)."""
        for path in self.device(number).glob("objects*"):
            path.rename(self.path / f"lost-{number}-{path.name}-{time.monotonic_ns()}")

    def lose_indexes(self, number: int) -> None:
        """Take the containers and accounts of a node away."""
        for kind in ("containers", "accounts"):
            path = self.device(number) / kind
            if path.exists():
                path.rename(self.path / f"lost-{number}-{kind}-{time.monotonic_ns()}")

    def flip(self, number: int, chance: random.Random) -> str:
        """Flip a bit of an object of a node; return the name of its file's directory, "" when there is none."""
        found = sorted(path for path in self.device(number).glob("objects*/*/*/*/*.data") if path.stat().st_size)
        if not found:
            return ""
        victim = chance.choice(found)
        try:
            with victim.open("r+b") as file:
                at = chance.randrange(victim.stat().st_size)
                file.seek(at)
                old = file.read(1)
                file.seek(at)
                file.write(bytes([old[0] ^ 1 << chance.randrange(8)]))
                os.fsync(file.fileno())
        except FileNotFoundError:
            return ""
        return victim.parent.name
