"""Random operations on the volumes of a real cloud whose processes die at random, and a checker that knows what was written.

    python -m tests.volume.probe --seconds 300 --seed 1

The cloud has true storage daemons and no guests: the probe attaches volumes as a machine of its own would, and writes to them
over NBD.  While something is under way, the control plane, the storage daemons or both are killed (kill -9).  Then everything
must come to rest in time; what was acknowledged must be there, whole, in volumes, snapshots and backups; and nothing may be left
in the end.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keystoneauth1.exceptions import ClientException
from openstack import exceptions

from pileus.volume.driver import VolumeDriverError
from pileus.volume.drivers.nbd_client import NbdContent
from tests.journeys.conftest import RealCloud, free_port

MIB = 1 << 20
REST_SECONDS = 180.0
PLACES, VOLUMES_MAX = 64, 6
RESTING = {"available", "in-use", "error", "error_deleting", "error_extending", "error_restoring"}
REFUSED = (exceptions.SDKException, ClientException)

Content = dict[int, bytes]
"""What is at each place, a MiB apart: 16 bytes that fill the MiB; none when nobody was told whether it was written."""


@dataclass
class Kept:
    """Something with content: a volume, a snapshot of one, or a backup."""

    id: str
    size: int
    content: Content
    of: str = ""


@dataclass
class Known:
    """What there must be."""

    volumes: dict[str, Kept] = field(default_factory=dict)
    snapshots: dict[str, Kept] = field(default_factory=dict)
    backups: dict[str, Kept] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


class Probe:
    """One run."""

    def __init__(self, real: RealCloud, seed: int) -> None:
        self.real, self.random, self.known = real, random.Random(seed), Known()
        self.cloud: Any = real.connect("admin").block_storage
        self.writer: threading.Thread | None = None

    def round(self) -> None:
        """Do something, have something die meanwhile, wait for rest, and see what became of it."""
        deed = self.random.choice((self.create, self.write, self.extend, self.snapshot, self.backup, self.clone, self.remove))
        if not self.known.volumes:
            deed = self.create
        if len(self.known.volumes) >= VOLUMES_MAX and deed in (self.create, self.clone):
            deed = self.remove
        victim = self.random.choice(("nobody", "pileus", "daemons", "both"))
        self.known.counts[f"{deed.__name__} while {victim} died"] += 1
        see = deed()
        time.sleep(self.random.choice((0.0, 0.01, 0.03, 0.1, 0.3)))
        self.kill(victim)
        if self.writer is not None:
            self.writer.join()
            self.writer = None
        else:
            self.rest()
        see()

    def kill(self, victim: str) -> None:
        """Kill processes; the control plane is started again."""
        if victim in ("pileus", "both"):
            self.real.kill()
        if victim in ("daemons", "both"):
            for pid in self.real.storage_daemons():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if victim in ("pileus", "both"):
            self.real.up()

    def rest(self) -> None:
        """Wait until nothing is under way any more."""
        deadline = time.monotonic() + REST_SECONDS
        while True:
            found = [*self.cloud.volumes(), *self.cloud.snapshots(), *self.cloud.backups()]
            moving = [(each.name, each.status) for each in found if each.status not in RESTING]
            if not moving:
                return
            assert time.monotonic() < deadline, f"not at rest in {REST_SECONDS:g} s: {moving}"
            time.sleep(0.2)

    def create(self) -> Callable[[], None]:
        """A blank volume."""
        return self._new({}, 1)

    def clone(self) -> Callable[[], None]:
        """A volume of a volume, of a snapshot or of a backup."""
        kind = self.random.choice([kind for kind in ("volumes", "snapshots", "backups") if getattr(self.known, kind)])
        source = self.random.choice(list(getattr(self.known, kind).values()))
        where = {"volumes": "source_volume_id", "snapshots": "snapshot_id", "backups": "backup_id"}[kind]
        return self._new(dict(source.content), source.size, **{where: source.id})

    def _new(self, content: Content, size: int, **source: str) -> Callable[[], None]:
        name = uuid.uuid4().hex[:8]
        with contextlib.suppress(*REFUSED):
            self.cloud.create_volume(name=name, size=size, **source)

        def see() -> None:
            for made in self.cloud.volumes(name=name):
                if made.status == "available":
                    self.known.volumes[made.id] = Kept(made.id, size, content)
                    self.check(made.id)
                else:
                    self.known.counts["a volume that became error"] += 1
                    self._gone(made)

        return see

    def write(self) -> Callable[[], None]:
        """Attach a volume and write to it."""
        volume = self._one()
        wanted = [(self.random.randrange(PLACES), self.random.randbytes(16)) for _ in range(20)]

        def go() -> None:
            with contextlib.suppress(VolumeDriverError, OSError, *REFUSED), self.attached(volume.id) as content:
                for place, data in wanted:
                    volume.content[place] = b""
                    content.write(place * MIB, data * (MIB // 16))
                    content.flush()
                    volume.content[place] = data

        self.writer = threading.Thread(target=go)
        self.writer.start()

        def see() -> None:
            for left in list(self.cloud.attachments()):
                self.cloud.delete_attachment(left.id)
            self.rest()
            self.check(volume.id)

        return see

    def extend(self) -> Callable[[], None]:
        """Make a volume larger."""
        volume = self._one()
        with contextlib.suppress(*REFUSED):
            self.cloud.extend_volume(volume.id, volume.size + 1)

        def see() -> None:
            found = self.cloud.get_volume(volume.id)
            assert found.status == "available", found.status
            assert found.size in (volume.size, volume.size + 1)
            volume.size = found.size
            self.check(volume.id)

        return see

    def snapshot(self) -> Callable[[], None]:
        """Take a snapshot, or drop one."""
        if self.known.snapshots and self.random.random() < 0.5:
            kept = self.known.snapshots.pop(self.random.choice(list(self.known.snapshots)))
            return self._removed(kept, self.cloud.delete_snapshot, self.cloud.snapshots, self.known.snapshots)
        volume, name = self._one(), uuid.uuid4().hex[:8]
        with contextlib.suppress(*REFUSED):
            self.cloud.create_snapshot(volume_id=volume.id, name=name)
        return self._appeared(name, volume, self.cloud.snapshots, self.cloud.delete_snapshot, self.known.snapshots)

    def backup(self) -> Callable[[], None]:
        """Make a backup, or drop one."""
        if self.known.backups and self.random.random() < 0.5:
            kept = self.known.backups.pop(self.random.choice(list(self.known.backups)))
            return self._removed(kept, self.cloud.delete_backup, self.cloud.backups, self.known.backups)
        volume, name = self._one(), uuid.uuid4().hex[:8]
        with contextlib.suppress(*REFUSED):
            self.cloud.create_backup(volume_id=volume.id, name=name)
        return self._appeared(name, volume, self.cloud.backups, self.cloud.delete_backup, self.known.backups)

    def remove(self) -> Callable[[], None]:
        """Remove a volume without snapshots, or else a snapshot."""
        free = [id for id in self.known.volumes if all(kept.of != id for kept in self.known.snapshots.values())]
        if not free:
            kept = self.known.snapshots.pop(self.random.choice(list(self.known.snapshots)))
            return self._removed(kept, self.cloud.delete_snapshot, self.cloud.snapshots, self.known.snapshots)
        kept = self.known.volumes.pop(self.random.choice(free))
        return self._removed(kept, self.cloud.delete_volume, self.cloud.volumes, self.known.volumes)

    def _appeared(self, name: str, volume: Kept, listed: Any, delete: Any, known: dict[str, Kept]) -> Callable[[], None]:
        content, size = dict(volume.content), volume.size

        def see() -> None:
            for made in [each for each in listed() if each.name == name]:
                if made.status == "available":
                    known[made.id] = Kept(made.id, size, content, volume.id)
                else:
                    self.known.counts["a snapshot or backup that became error"] += 1
                    delete(made)
                    self.rest()
            self.check(volume.id)

        return see

    def _removed(self, kept: Kept, delete: Any, listed: Any, known: dict[str, Kept]) -> Callable[[], None]:
        with contextlib.suppress(*REFUSED):
            delete(kept.id)

        def see() -> None:
            for left in [each for each in listed() if each.id == kept.id]:
                assert left.status == "available", left.status  # nobody was told that it goes
                known[kept.id] = kept

        return see

    def check(self, volume_id: str) -> None:
        """Compare a volume with what it must hold; where nobody was told, what is there now is what there is from now on."""
        volume = self.known.volumes[volume_id]
        with self.attached(volume_id) as content:
            for place, data in list(volume.content.items()):
                there = content.read(place * MIB, MIB)
                if data:
                    assert there == data * (MIB // 16), f"volume {volume_id} lost what was written at {place} MiB"
                else:
                    volume.content[place] = there[:16]
                    if there != there[:16] * (MIB // 16):
                        content.write(place * MIB, there[:16] * (MIB // 16))
                        content.flush()
            assert content.read(PLACES * MIB, MIB) == bytes(MIB), f"volume {volume_id} shows what nobody wrote"
        self.rest()

    @contextlib.contextmanager
    def attached(self, volume_id: str) -> Iterator[NbdContent]:
        """Attach a volume as a machine without a cloud would."""
        connector = {"host": socket.gethostname(), "ip": "127.0.0.1", "initiator": "iqn.probe", "mode": "rw"}
        made = self.cloud.create_attachment(volume_id, connector=connector, instance=str(uuid.uuid4()))
        try:
            content = NbdContent(Path(made.connection_info["socket"]), made.connection_info["export"])
            try:
                yield content
            finally:
                content.close()
        finally:
            self.cloud.delete_attachment(made.id)

    def _one(self) -> Kept:
        return self.known.volumes[self.random.choice(list(self.known.volumes))]

    def _gone(self, left: Any) -> None:
        self.cloud.delete_volume(left.id)
        self.rest()

    def end(self) -> None:
        """Look at everything once more, remove it, and see that nothing is left."""
        for volume_id in list(self.known.volumes):
            self.check(volume_id)
        for kind, where in (("snapshots", "snapshot_id"), ("backups", "backup_id")):
            for kept in getattr(self.known, kind).values():
                see = self._new(dict(kept.content), kept.size, **{where: kept.id})
                self.rest()
                see()
                self.rest()
                made = list(self.known.volumes)[-1]
                assert self.known.volumes.pop(made).content == kept.content, f"{kept.id} made no volume"
                self.cloud.delete_volume(made)
                self.rest()
        self._remove_all()
        files = self.real.state_dir / "volumes" / "file"
        deadline = time.monotonic() + REST_SECONDS
        while left := [path.name for name in ("volumes", "layers", "building", "trash") for path in (files / name).iterdir()]:
            assert time.monotonic() < deadline, f"left over: {left}"
            time.sleep(0.2)
        assert not self.real.storage_daemons()

    def _remove_all(self) -> None:
        for listed, delete in (
            (self.cloud.backups, self.cloud.delete_backup),
            (self.cloud.snapshots, self.cloud.delete_snapshot),
            (self.cloud.volumes, self.cloud.delete_volume),
        ):
            for each in listed():
                delete(each.id)
            self.rest()


def main() -> None:
    """Run, and print what was done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    os.environ |= {"PILEUS_HYPERVISOR": "fake", "PILEUS_NETWORK_DRIVER": "fake", "PILEUS_VOLUME_BACKENDS": "file"}
    with tempfile.TemporaryDirectory(prefix="pileus-probe-") as directory:
        real = RealCloud(Path(directory) / "state", "probe", f"127.0.0.1:{free_port()}", "172.25.9.0/24")
        real.up()
        try:
            probe, end, rounds = Probe(real, chosen.seed), time.monotonic() + chosen.seconds, 0
            while time.monotonic() < end:
                probe.round()
                rounds += 1
            probe.end()
            print(json.dumps({"rounds": rounds, **dict(sorted(probe.known.counts.items()))}, indent=1))
        finally:
            print((real.state_dir / "pileus.log").read_text()[-3000:])
            real.pileus("down", "--purge", "--yes")


if __name__ == "__main__":
    main()
