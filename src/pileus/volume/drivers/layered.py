"""What all back ends of ours do whose volumes are layers, wherever these lie: in files, logical volumes or images of Ceph.

Which layers there are, and which volume and snapshot stands on which, is the tree's to know (layers/tree.py); how one is made,
the making's (layers/sources.py for files, blocks/ for others).  A snapshot or a clone takes the same moment however large the
volume is: blocks are shared where that can be, elsewhere an empty layer goes on top.  Chains are shortened in the background.

On this host a volume is reached by a unix socket; other hosts by TCP and TLS, with the cloud's certificates where that has many
hosts, else with those that the back end issues itself.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pileus.certificates import Identity
from pileus.volume.driver import (
    GIB,
    Capacity,
    Connection,
    Connector,
    Source,
    VolumeDriverError,
    VolumeSpec,
    VolumeState,
    Wipe,
)
from pileus.volume.drivers.layers.programs import COPY_SECONDS, QEMU_IMG, os_failure, run
from pileus.volume.drivers.layers.sources import Making
from pileus.volume.drivers.layers.tree import Head, Kept, Tree, format_of, with_connector, without_connector
from pileus.volume.drivers.nbd import nodes
from pileus.volume.drivers.nbd.serving import Serving, volume_of
from pileus.volume.drivers.nbd_client import NbdContent
from pileus.volume.drivers.upkeep import Upkeep

log = logging.getLogger(__name__)


class LayeredBackend:
    """Fulfils `VolumeBackend`, `Reader` and `Together`.

    `run_directory` is for sockets and pid files, and must be on this host.
    """

    storage_protocol = "nbd"
    together = True

    def __init__(self, tree: Tree, making: Making, run_directory: Path, host: str, identity: Identity | None = None) -> None:
        self.tree, self.making = tree, making
        self._closing = threading.Event()
        with true_reasons("use the directory"):
            self.tree.sweep()
            self.serving = Serving(self.tree, run_directory, host, self._died, identity)
        self._upkeep = Upkeep(self.tree, self.serving, self._closing)
        self._upkeep.start(self._resume)

    def capacity(self) -> Capacity:
        """Look how much room there is."""
        with true_reasons("look at the room"):
            total, free = self.tree.room_bytes()
        provisioned = sum(head.size_bytes for head in self.tree.heads()) / GIB
        protocol = self.storage_protocol
        return Capacity(total / GIB, free / GIB, provisioned, storage_protocol=protocol, together=self.together)

    def ensure(self, spec: VolumeSpec) -> None:
        """Make a volume, or grow it."""
        with self.tree.locks.hold(spec.id), true_reasons("make the volume"):
            head = self.tree.head(spec.id)
            if head is not None:
                self._grow(head, spec.size_bytes)
            elif spec.source is None or spec.source.kind == "image":
                built = self.making.build(spec)
                self._appear(Head(spec.id, spec.size_bytes, built[-1].name), built)
            else:
                self._clone(spec, spec.source)

    def observe(self, volume_id: str) -> VolumeState | None:
        """Return how a volume is."""
        with true_reasons("look at the volume"), self.tree.alone():
            head = self.tree.head(volume_id)
            return self._state(head) if head else None

    def observe_all(self) -> dict[str, VolumeState]:
        """Return how each volume is."""
        with true_reasons("look at the volumes"), self.tree.alone():
            return {head.id: self._state(head) for head in self.tree.own_heads()}

    def destroy(self, volume_id: str, wipe: Wipe) -> None:
        """Remove a volume."""
        with self.tree.locks.hold(volume_id), true_reasons("remove the volume"):
            head = self.tree.head(volume_id)
            if head is not None:
                if head.snapshots or head.released:
                    raise VolumeDriverError(f"Volume {volume_id} has snapshots.")
                self._require_idle(head)
                self.serving.settle(volume_id, None)
                shared = self.tree.chain(head.top)[1:]
                self.tree.replace(head, None, wipe)
                self._upkeep.want_users_of(shared)
        self._empty_trash(volume_id)

    def take_snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Keep the content as it is now."""
        with self.tree.locks.hold(volume_id), true_reasons("take the snapshot"):
            head = self.tree.require(volume_id)
            if snapshot_id in head.snapshots:
                self.serving.live(volume_id)  # a daemon that an earlier process left on the old top goes over to the new one
                return
            kept = self._shared_copy(head)
            if kept is None:
                layer, head = self._freeze(head)
                self.tree.keep(_with_snapshot(head, snapshot_id, Kept(layer, head.size_bytes)))
                self._upkeep.want(volume_id)
                return
            self._appear(_with_snapshot(head, snapshot_id, Kept(kept.name, head.size_bytes)), [kept])

    def drop_snapshot(self, volume_id: str, snapshot_id: str, wipe: Wipe) -> None:
        """Forget a snapshot."""
        with self.tree.locks.hold(volume_id), true_reasons("forget the snapshot"):
            head = self.tree.head(volume_id)
            if head is not None and snapshot_id in head.snapshots:
                self._require_closed(f"{volume_id}@{snapshot_id}")
                left = {id: kept for id, kept in head.snapshots.items() if id != snapshot_id}
                self.tree.replace(head, replace(head, snapshots=left), wipe)
                self._upkeep.want(volume_id)
        self._empty_trash(volume_id)

    def revert(self, volume_id: str, snapshot_id: str) -> None:
        """Give a volume the content of a snapshot again."""
        with self.tree.locks.hold(volume_id), true_reasons("revert the volume"):
            head, kept = self.tree.require(volume_id), self.tree.kept(volume_id, snapshot_id)
            self._require_idle(head)
            built = self.making.over(kept.layer, head.size_bytes)
            try:
                self.tree.replace(head, replace(head, top=built.name), "punch", built)
            finally:
                self.making.discard([built])
        self._empty_trash(volume_id)

    def connect(self, volume_id: str, connector: Connector) -> Connection:
        """Make a volume reachable for one host."""
        with self.tree.locks.hold(volume_id), true_reasons("connect the volume"):
            before = self.tree.require(volume_id)
            head = with_connector(self.serving.with_port(before, connector), connector)
            if head != before:
                self.tree.keep(head)
            try:
                self.serving.settle(volume_id, head)
                return self.serving.connection(head, connector)
            except VolumeDriverError:
                self.tree.keep(before)
                raise

    def disconnect(self, volume_id: str, connector_id: str) -> None:
        """Take the way back."""
        with self.tree.locks.hold(volume_id), true_reasons("disconnect the volume"):
            head = self.tree.head(volume_id)
            if head is None or connector_id not in head.connectors:
                return
            head = self.tree.keep(without_connector(head, connector_id), vital=True)
            self.serving.settle(volume_id, head)
            if not head.connectors:
                self._upkeep.want(volume_id)

    def open(self, volume_id: str, snapshot_id: str = "", *, writable: bool = False) -> NbdContent:
        """Open the content of a volume or of a snapshot."""
        key = f"{volume_id}@{snapshot_id}" if snapshot_id else volume_id
        with self.tree.locks.hold(volume_id), true_reasons("open the content"):
            self.serving.opened(key, 1)
            try:
                if snapshot_id:
                    path = self.serving.serve_snapshot(volume_id, snapshot_id, self.tree.kept(volume_id, snapshot_id).layer)
                else:
                    self.serving.settle(volume_id, self.tree.require(volume_id))
                    path = self.serving.socket(volume_id)
                name = key if snapshot_id or writable else f"{volume_id}.ro"
                return NbdContent(path, name, closed=lambda: self._let_go(volume_id, key))
            except BaseException:
                self._let_go(volume_id, key)
                raise

    def copy_out(self, volume_id: str, path: str, disk_format: str) -> None:
        """Write a volume to a new file."""
        content = self.open(volume_id)
        try:
            export = f"driver=nbd,server.type=unix,server.path={self.serving.socket(volume_id)},export={volume_id}.ro"
            run([QEMU_IMG, "convert", "-q", "-U", "--image-opts", export, "-O", disk_format, path], COPY_SECONDS)
        except VolumeDriverError:
            Path(path).unlink(missing_ok=True)
            raise
        finally:
            content.close()

    def take_snapshots(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Keep the content of several volumes as it is at one instant: none of them can be written to meanwhile."""
        volume_ids = [volume_id for volume_id, _ in pairs]
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.tree.locks.hold(*volume_ids))
            for volume_id in volume_ids:
                self.tree.require(volume_id)
                stack.enter_context(self.serving.still(volume_id))
            taken: list[tuple[str, str]] = []
            try:
                for volume_id, snapshot_id in pairs:
                    if snapshot_id not in self.tree.require(volume_id).snapshots:
                        self.take_snapshot(volume_id, snapshot_id)
                        taken.append((volume_id, snapshot_id))
            except VolumeDriverError:
                for volume_id, snapshot_id in taken:
                    self.drop_snapshot(volume_id, snapshot_id, "none")
                raise

    def close(self) -> None:
        """Let go; the daemons go on."""
        self._closing.set()
        self._upkeep.close()
        self.serving.close()

    def _clone(self, spec: VolumeSpec, source: Source) -> None:
        volume_id = source.volume_id if source.kind == "snapshot" else source.id
        with self.tree.locks.hold(volume_id):
            origin = self.tree.require(volume_id)
            kept = self.tree.kept(volume_id, source.id) if source.kind == "snapshot" else Kept(origin.top, origin.size_bytes)
            if kept.size_bytes > spec.size_bytes:
                raise VolumeDriverError(f"a volume of {spec.size_gib} GiB cannot hold {kept.size_bytes / GIB:.2f} GiB")
            built: list[Path] = []
            try:
                if source.kind == "volume" and (copied := self._shared_copy(origin, spec.size_bytes)) is not None:
                    built.append(copied)
                else:
                    layer = kept.layer if source.kind == "snapshot" else self._freeze(origin)[0]
                    if spec.thin:
                        built.append(self.making.over(layer, spec.size_bytes))
                    else:
                        self.making.filled(layer, spec.size_bytes, built)
                self._appear(Head(spec.id, spec.size_bytes, built[-1].name), built)
            finally:
                self.making.discard(built)

    def _appear(self, head: Head, built: list[Path]) -> None:
        """Let a head and its new layers be there at once."""
        try:
            with self.tree.alone():
                self.tree.publish(*built)
                self.tree.keep(head)
        except OSError:
            self.making.discard([*built, *(self.tree.path(path.name) for path in built)])
            raise

    def _shared_copy(self, head: Head, size_bytes: int = 0) -> Path | None:
        """Copy the top by reference, where that gives the content at one instant: for raw files."""
        if format_of(head.top) != "raw" or not self.tree.reflinks:
            return None
        return self.making.over(head.top, max(size_bytes, head.size_bytes))

    def _freeze(self, head: Head) -> tuple[str, Head]:
        """Let nobody write to the top any more, with a new one over it; returns what was the top, and the new head."""
        built = self.tree.overlay(head.top, head.size_bytes)
        after = replace(head, top=built.name)
        self._appear(after, [built])
        qmp = self.serving.live(head.id)
        if qmp is not None:
            try:
                nodes.overlay(qmp, after.top, self.tree.protocol)
            except VolumeDriverError:
                if self.serving.live(head.id) is not None:
                    self.tree.replace(after, head, "none")
                raise
        return head.top, after

    def _grow(self, head: Head, size_bytes: int) -> None:
        if size_bytes <= head.size_bytes:
            return
        qmp = self.serving.live(head.id)
        if qmp is None or self.tree.grows_below:
            self.making.grow(head.top, size_bytes)
        if qmp is not None:
            nodes.resize(qmp, head.id, size_bytes)
        head = self.tree.keep(replace(head, size_bytes=size_bytes))
        if qmp is not None:
            self.serving.gates_again(head)

    def _state(self, head: Head) -> VolumeState:
        size_gib = -(-head.size_bytes // GIB)
        used = self.tree.used_bytes(self.tree.chain(head.top))
        return VolumeState(head.id, size_gib, used, tuple(head.snapshots), tuple(head.connectors))

    def _require_idle(self, head: Head) -> None:
        if head.connectors:
            raise VolumeDriverError(f"Volume {head.id} is connected.")
        self._require_closed(head.id)

    def _require_closed(self, key: str) -> None:
        if self.serving.in_use(key):
            raise VolumeDriverError(f"{key} is being read or written.")

    def _let_go(self, volume_id: str, key: str) -> None:
        with self.tree.locks.hold(volume_id):
            self.serving.opened(key, -1)
            if self.serving.in_use(key):
                return
            if key == volume_id:
                self.serving.settle(volume_id, self.tree.head(volume_id))
            else:
                self.serving.stop(key)

    def _empty_trash(self, volume_id: str) -> None:
        """Wipe what a volume left.  That may take long: its lock is free meanwhile, but only one wipes."""
        with self.tree.locks.hold(f"trash.{volume_id}"), true_reasons("wipe what is left of the volume"):
            for path, how in self.tree.trash(volume_id):
                if not self.tree.wipe(path, how, self._closing.is_set):
                    raise VolumeDriverError("The back end was closed before all was wiped.")

    def _died(self, volume_id: str) -> None:
        """A daemon of a volume has ended unasked."""
        with self.tree.locks.hold(volume_id):
            if not self._closing.is_set():
                self.serving.settle(volume_id, self.tree.head(volume_id))

    def _resume(self) -> None:
        """After a start: serve what is connected, end what nobody needs any more, and go on wiping."""
        for head in self.tree.own_heads():
            if head.connectors and not self._closing.is_set():
                with contextlib.suppress(VolumeDriverError):
                    self._died(head.id)
        for key in self.serving.known():
            with self.tree.locks.hold(volume_of(key)):
                if "@" in key and not self.serving.in_use(key):
                    self.serving.stop(key)
                elif (left := self.tree.head(volume_of(key))) is None or not left.connectors:
                    self.serving.settle(volume_of(key), left)
        self.tree.sweep_layers()  # a daemon may have gone on to shorten a chain
        for volume_id in self.tree.owners_of_trash():
            with contextlib.suppress(VolumeDriverError):
                self._empty_trash(volume_id)


def _with_snapshot(head: Head, snapshot_id: str, kept: Kept) -> Head:
    return replace(head, snapshots={**head.snapshots, snapshot_id: kept})


@contextlib.contextmanager
def true_reasons(what: str) -> Iterator[None]:
    """Let failures of system calls be failures of the driver, with their reason."""
    try:
        yield
    except OSError as error:
        raise os_failure(f"cannot {what}", error) from error
