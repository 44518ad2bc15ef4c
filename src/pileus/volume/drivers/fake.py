"""A back end in memory: the same contract, for tests and load tests.  Content is kept as the blocks that are not zeroes.

`fail` makes it misbehave on demand, `total_gib` is how much it pretends to have, `room_bytes` how much may be written.
"""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pileus.volume.driver import (
    GIB,
    BackendFull,
    Capacity,
    Connection,
    Connector,
    Source,
    VolumeDriverError,
    VolumeSpec,
    VolumeState,
    Wipe,
)
from pileus.volume.drivers.layers import luks, qcow2

BLOCK_BYTES = 65536
Blocks = dict[int, bytes]


@dataclass
class _Volume:
    size_gib: int
    blocks: Blocks = field(default_factory=dict)
    snapshots: dict[str, tuple[int, Blocks]] = field(default_factory=dict)
    connectors: dict[str, Connector] = field(default_factory=dict)


@dataclass
class _Failure:
    error: VolumeDriverError
    times: int | None


class FakeContent:
    """The open content of a fake volume."""

    def __init__(self, size_bytes: int, blocks: Blocks, room: "FakeBackend | None") -> None:
        self.size_bytes = size_bytes
        self._blocks, self._room = blocks, room

    def read(self, offset: int, length: int) -> bytes:
        self._require_inside(offset, length)
        found = bytearray()
        while length > 0:
            number, start = divmod(offset, BLOCK_BYTES)
            taken = min(length, BLOCK_BYTES - start)
            found += self._blocks.get(number, bytes(BLOCK_BYTES))[start : start + taken]
            offset, length = offset + taken, length - taken
        return bytes(found)

    def write(self, offset: int, data: bytes) -> None:
        room = self._require_writable()
        self._require_inside(offset, len(data))
        while data:
            number, start = divmod(offset, BLOCK_BYTES)
            part, data = data[: BLOCK_BYTES - start], data[BLOCK_BYTES - start :]
            block = bytearray(self._blocks.get(number, bytes(BLOCK_BYTES)))
            block[start : start + len(part)] = part
            offset += len(part)
            if any(block):
                room.require_room(0 if number in self._blocks else BLOCK_BYTES)
                self._blocks[number] = bytes(block)
            else:
                self._blocks.pop(number, None)

    def zero(self, offset: int, length: int) -> None:
        self._require_writable()
        self._require_inside(offset, length)
        while length > 0:
            number, start = divmod(offset, BLOCK_BYTES)
            taken = min(length, BLOCK_BYTES - start)
            if number in self._blocks:
                self.write(offset, bytes(taken))
            offset, length = offset + taken, length - taken

    def extents(self) -> Iterator[tuple[int, int, bool]]:
        offset = 0
        while offset < self.size_bytes:
            full = offset // BLOCK_BYTES in self._blocks
            end = offset
            following = sorted(number for number in self._blocks if number * BLOCK_BYTES > offset)
            if full:
                while end < self.size_bytes and end // BLOCK_BYTES in self._blocks:
                    end += BLOCK_BYTES
            else:
                end = following[0] * BLOCK_BYTES if following else self.size_bytes
            end = min(end, self.size_bytes)
            yield offset, end - offset, full
            offset = end

    def _require_writable(self) -> "FakeBackend":
        if self._room is None:
            raise VolumeDriverError("It was opened to be read only.")
        return self._room

    def _require_inside(self, offset: int, length: int) -> None:
        if offset < 0 or offset + length > self.size_bytes:
            raise VolumeDriverError(f"{offset} to {offset + length} is beyond the end at {self.size_bytes}")

    def flush(self) -> None:
        """Memory needs no flush."""

    def close(self) -> None:
        """Memory needs no closing."""


class FakeBackend:
    """Fulfils `VolumeBackend` and `Together`.  `volumes` is there to look at."""

    def __init__(self, total_gib: float = 1000.0, room_bytes: int = 1 << 30) -> None:
        self.total_gib, self.room_bytes = total_gib, room_bytes
        self.volumes: dict[str, _Volume] = {}
        self._failures: dict[tuple[str, str | None], _Failure] = {}
        self._lock = threading.RLock()

    def fail(self, method: str, id: str | None = None, error: str = "made to fail", times: int | None = 1) -> None:
        """Let the next `times` calls (None: all) of a method fail, for one volume or for any."""
        self._failures[method, id] = _Failure(VolumeDriverError(error), times)

    def heal(self) -> None:
        """No more failures."""
        self._failures.clear()

    def require_room(self, more_bytes: int) -> None:
        """Check that so much more may be written.  :raises BackendFull: when it may not."""
        if more_bytes and self._used_bytes() + more_bytes > self.room_bytes:
            raise BackendFull("No space left on device")

    def capacity(self) -> Capacity:
        self._may("capacity", "")
        with self._lock:
            provisioned = float(sum(volume.size_gib for volume in self.volumes.values()))
            free_gib = self.total_gib - self._used_bytes() / GIB
            return Capacity(self.total_gib, free_gib, provisioned, vendor="Pileus fake", together=True)

    def ensure(self, spec: VolumeSpec) -> None:
        self._may("ensure", spec.id)
        with self._lock:
            if spec.id in self.volumes:
                self.volumes[spec.id].size_gib = max(spec.size_gib, self.volumes[spec.id].size_gib)
                return
            made = _Volume(spec.size_gib)
            self._fill(made, spec)
            self.volumes[spec.id] = made

    def _fill(self, made: _Volume, spec: VolumeSpec) -> None:
        source = spec.source
        if source is None or source.kind == "image":
            content = FakeContent(spec.size_bytes, made.blocks, self)
            if spec.luks_key:
                content.write(0, luks.MAGIC + b"\0\1")
            if source is not None:
                self._copy_image(source, content, spec.luks_key)
            return
        size_gib, blocks = self._snapshot(source.volume_id, source.id) if source.kind == "snapshot" else (0, {})
        if source.kind == "volume":
            size_gib, blocks = self._volume(source.id).size_gib, self._volume(source.id).blocks
        if size_gib > spec.size_gib:
            raise VolumeDriverError(f"a volume of {spec.size_gib} GiB cannot hold {size_gib} GiB")
        made.blocks = dict(blocks)

    def _copy_image(self, source: Source, content: FakeContent, luks_key: str) -> None:
        start = luks.HEADER_BYTES if luks_key else 0
        for offset, data in _image_data(source, content.size_bytes - start):
            part = data[: content.size_bytes - start - offset]
            if luks_key:
                stream = hashlib.shake_256(f"{luks_key} {offset}".encode()).digest(len(part))
                part = (int.from_bytes(part) ^ int.from_bytes(stream)).to_bytes(len(part))
            content.write(start + offset, part)

    def observe(self, volume_id: str) -> VolumeState | None:
        with self._lock:
            found = self.volumes.get(volume_id)
            if found is None:
                return None
            used = len(found.blocks) * BLOCK_BYTES
            return VolumeState(volume_id, found.size_gib, used, tuple(found.snapshots), tuple(found.connectors))

    def observe_all(self) -> dict[str, VolumeState]:
        with self._lock:
            return {id: state for id in self.volumes if (state := self.observe(id)) is not None}

    def destroy(self, volume_id: str, wipe: Wipe) -> None:
        self._may("destroy", volume_id)
        with self._lock:
            found = self.volumes.get(volume_id)
            if found is not None and (found.snapshots or found.connectors):
                raise VolumeDriverError(f"Volume {volume_id} has snapshots or is connected.")
            self.volumes.pop(volume_id, None)

    def take_snapshot(self, volume_id: str, snapshot_id: str) -> None:
        self._may("take_snapshot", volume_id)
        with self._lock:
            volume = self._volume(volume_id)
            volume.snapshots.setdefault(snapshot_id, (volume.size_gib, dict(volume.blocks)))

    def take_snapshots(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._may("take_snapshots", pairs[0][0] if pairs else "")
        with self._lock:
            found = [(self._volume(volume_id), snapshot_id) for volume_id, snapshot_id in pairs]
            for volume, snapshot_id in found:
                volume.snapshots.setdefault(snapshot_id, (volume.size_gib, dict(volume.blocks)))

    def drop_snapshot(self, volume_id: str, snapshot_id: str, wipe: Wipe) -> None:
        self._may("drop_snapshot", volume_id)
        with self._lock:
            if volume_id in self.volumes:
                self.volumes[volume_id].snapshots.pop(snapshot_id, None)

    def revert(self, volume_id: str, snapshot_id: str) -> None:
        self._may("revert", volume_id)
        with self._lock:
            if self._volume(volume_id).connectors:
                raise VolumeDriverError(f"Volume {volume_id} is connected.")
            self._volume(volume_id).blocks = dict(self._snapshot(volume_id, snapshot_id)[1])

    def connect(self, volume_id: str, connector: Connector) -> Connection:
        self._may("connect", volume_id)
        with self._lock:
            self._volume(volume_id).connectors[connector.id] = connector
        return {
            "driver_volume_type": "fake",
            "data": {"volume_id": volume_id, "access_mode": "ro" if connector.read_only else "rw"},
        }

    def disconnect(self, volume_id: str, connector_id: str) -> None:
        self._may("disconnect", volume_id)
        with self._lock:
            if volume_id in self.volumes:
                self.volumes[volume_id].connectors.pop(connector_id, None)

    def open(self, volume_id: str, snapshot_id: str = "", *, writable: bool = False) -> FakeContent:
        self._may("open", volume_id)
        with self._lock:
            volume = self._volume(volume_id)
            size_gib, blocks = self._snapshot(volume_id, snapshot_id) if snapshot_id else (volume.size_gib, volume.blocks)
            return FakeContent(size_gib * GIB, blocks, self if writable and not snapshot_id else None)

    def close(self) -> None:
        """There is nothing to let go of."""

    def _volume(self, volume_id: str) -> _Volume:
        if volume_id not in self.volumes:
            raise VolumeDriverError(f"There is no volume {volume_id}.")
        return self.volumes[volume_id]

    def _snapshot(self, volume_id: str, snapshot_id: str) -> tuple[int, Blocks]:
        snapshots = self._volume(volume_id).snapshots
        if snapshot_id not in snapshots:
            raise VolumeDriverError(f"There is no snapshot {snapshot_id}.")
        return snapshots[snapshot_id]

    def _used_bytes(self) -> int:
        return BLOCK_BYTES * sum(len(volume.blocks) for volume in self.volumes.values())

    def _may(self, method: str, volume_id: str) -> None:
        for key in ((method, volume_id), (method, None)):
            failure = self._failures.get(key)
            if failure is None:
                continue
            if failure.times is not None:
                failure.times -= 1
                if failure.times <= 0:
                    del self._failures[key]
            raise failure.error


def _image_data(source: Source, size_bytes_max: int) -> Iterator[tuple[int, bytes]]:
    """Go over the content of an image's file.  :raises VolumeDriverError: when it is too large or cannot be read."""
    path = Path(source.path)
    try:
        size_bytes = qcow2.require_alone(path).size_bytes if source.disk_format == "qcow2" else path.stat().st_size
        if size_bytes > size_bytes_max:
            raise VolumeDriverError(f"{size_bytes_max} bytes cannot hold an image of {size_bytes}")
        if source.disk_format == "qcow2":
            yield from qcow2.data(path)
            return
        with path.open("rb") as file:
            while data := file.read(BLOCK_BYTES):
                yield file.tell() - len(data), data
    except OSError as error:
        raise VolumeDriverError(f"cannot read the image {path.name}: {error.strerror}") from error
