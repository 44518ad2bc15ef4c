"""What a volume back end must do.

Small on purpose: a driver makes the volumes of one back end be what it is told, and says how they are.  It decides
nothing and asks nobody.  Every call may be repeated, also after the caller was killed in the middle of the last one.
Values are plain (str, int, bool, tuples, dicts), so that they can go over a bus; what `open` returns is for tasks that
run on the back end's own host.

Not here: which back end a volume goes to (the scheduler), who may use it and how much (the service), what a guest sees of
it (compute).

    ensure --> volume --take_snapshot--> volume + snapshot --ensure(source=snapshot)--> another volume
      content is written once, when the volume is made; a volume that is there is only ever grown by `ensure`
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

DiskFormat = Literal["raw", "qcow2"]
Wipe = Literal["none", "zero", "shred", "punch"]

GIB = 1024**3


class VolumeDriverError(Exception):
    """The back end could not do it.  The message has the true reason, in the words of whoever refused."""


class BackendFull(VolumeDriverError):
    """There is no room left on the back end."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a volume starts with: the file of an image, a volume or a snapshot of the same back end.

    `path` and `disk_format` are of an image's file, whose format was inspected; `id` names a volume, or a snapshot together
    with the volume it was taken of (`volume_id`).
    """

    kind: Literal["image", "volume", "snapshot"]
    id: str = ""
    volume_id: str = ""
    path: str = ""
    disk_format: DiskFormat = "raw"


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """How a volume is meant to be.  Without a source it starts as zeroes.

    `luks_key` (hex) makes its content a LUKS container that only the holder of the key can read: the back end stores what
    is encrypted, and whoever attaches it opens it.
    """

    id: str
    size_gib: int
    source: Source | None = None
    thin: bool = True
    luks_key: str = ""

    @property
    def size_bytes(self) -> int:
        return self.size_gib * GIB


@dataclass(frozen=True, slots=True)
class VolumeState:
    """How a volume is now.  `connections` are the ids of those who may reach it."""

    id: str
    size_gib: int
    used_bytes: int = 0
    snapshots: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a back end has, and what it can do.  `provisioned_gib` is what its volumes may grow to, all together.

    `together`: it is also a `Together`.
    """

    total_gib: float
    free_gib: float
    provisioned_gib: float
    thin: bool = True
    multiattach: bool = True
    extend_online: bool = True
    storage_protocol: str = "nbd"
    vendor: str = "Pileus"
    driver_version: str = "1"
    together: bool = False


@dataclass(frozen=True, slots=True)
class Connector:
    """Who is to reach a volume: `id` is the attachment's, `host` the name of the host, `address` where it asks from.

    A host of the same name as the back end's own is served without leaving the machine.
    """

    id: str
    host: str
    address: str = ""
    initiator: str = ""
    read_only: bool = False


Connection = Mapping[str, Any]
"""How to reach a volume, in the words of os-initialize_connection: `driver_volume_type` and `data`.

    nbd    data: socket (path of a unix socket) or host, port; export (name), read_only.  With a host and a port, too:
           tls_hostname (the name of the host that serves it; the one that connects shows its certificate of the cloud) or
           tls_dir (the directory of a certificate that was issued to it)
    iscsi  data: target_portal, target_iqn, target_lun, auth_method, auth_username, auth_password, access_mode
    rbd    data: name (pool/image), hosts, ports, auth_username, secret, conf
    file   data: path, format
"""


class Content(Protocol):
    """The bytes of a volume or of a snapshot, as long as it is open."""

    @property
    def size_bytes(self) -> int: ...

    def read(self, offset: int, length: int) -> bytes:
        """Return so many bytes."""

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes in place.  :raises BackendFull: when there is no room."""

    def zero(self, offset: int, length: int) -> None:
        """Make a stretch zeroes, without using room where that can be."""

    def extents(self) -> Iterator[tuple[int, int, bool]]:
        """Go over offset, length and whether there may be other than zeroes, gaplessly and in order."""

    def flush(self) -> None:
        """Return when all that was written is on the disk."""

    def close(self) -> None:
        """Let go of it."""


class VolumeBackend(Protocol):
    """One back end.  Safe to call from many threads; calls for the same volume wait for each other."""

    def capacity(self) -> Capacity:
        """Return what it has.  Asked every few seconds.  :raises VolumeDriverError: when it is not usable."""

    def ensure(self, spec: VolumeSpec) -> None:
        """Make a volume, or grow it, also while it is connected.  One that is there keeps its content.

        A volume appears whole or not at all: content that was half written when the caller died is written again.

        :raises BackendFull: when there is no room; nothing is left of a volume that was being made.
        :raises VolumeDriverError: when the back end cannot.
        """

    def observe(self, volume_id: str) -> VolumeState | None:
        """Return how a volume is, or None when there is none."""

    def observe_all(self) -> dict[str, VolumeState]:
        """Return how each volume of the back end is."""

    def destroy(self, volume_id: str, wipe: Wipe) -> None:
        """Remove a volume and what it was written with; nothing happens when there is none.

        What snapshots and clones still need stays, for them alone.

        :raises VolumeDriverError: when it is connected, or has snapshots, or the back end cannot.
        """

    def take_snapshot(self, volume_id: str, snapshot_id: str) -> None:
        """Keep the content as it is at one instant, also while guests write.

        :raises BackendFull: when there is no room.
        :raises VolumeDriverError: when the back end cannot.
        """

    def drop_snapshot(self, volume_id: str, snapshot_id: str, wipe: Wipe) -> None:
        """Forget a snapshot; nothing happens when there is none.  Volumes that were made of it live on."""

    def revert(self, volume_id: str, snapshot_id: str) -> None:
        """Give a volume that nobody is connected to the content of its latest snapshot again; its size stays.

        :raises VolumeDriverError: when the back end cannot.
        """

    def connect(self, volume_id: str, connector: Connector) -> Connection:
        """Make a volume reachable for one host and say how; the same again for the same connector.

        :raises VolumeDriverError: when the back end cannot.
        """

    def disconnect(self, volume_id: str, connector_id: str) -> None:
        """Take the way back; nothing happens when there is none."""

    def open(self, volume_id: str, snapshot_id: str = "", *, writable: bool = False) -> Content:
        """Open the content of a volume, or of its snapshot (read only).

        :raises VolumeDriverError: when there is none.
        """

    def close(self) -> None:
        """Let go of the back end; what guests use goes on being served."""


@dataclass(frozen=True, slots=True)
class Found:
    """Something on the back end that is no volume of the cloud yet.  `reference` is its name there."""

    reference: str
    size_gib: int
    safe: bool = True
    why_unsafe: str = ""
    volume_reference: str = ""


class Adopter(Protocol):
    """An optional ability: take in what lies on the back end already, and let go of what stays there."""

    def list_volumes(self) -> tuple[Found, ...]:
        """Return what may be taken in as a volume (and, not safe, what already is one: reference is its name)."""

    def adopt_volume(self, reference: str, volume_id: str) -> int:
        """Make something a volume; returns its size in GiB.  :raises VolumeDriverError: when there is none, or it is in use."""

    def disown_volume(self, volume_id: str) -> str:
        """Let go of a volume, so that it stays on the back end under the returned reference."""

    def list_snapshots(self) -> tuple[Found, ...]:
        """Return what may be taken in as a snapshot; volume_reference names the volume it was taken of."""

    def adopt_snapshot(self, volume_id: str, reference: str, snapshot_id: str) -> int:
        """Make something a snapshot of a volume; returns its size in GiB."""

    def disown_snapshot(self, volume_id: str, snapshot_id: str) -> str:
        """Let go of a snapshot, so that it stays under the returned reference."""


class Together(Protocol):
    """An optional ability: snapshots of several volumes of one instant, also while guests write."""

    def take_snapshots(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Keep the content of volumes as it is at one instant, all or none; pairs hold a volume's and its snapshot's id.

        Snapshots that are there already stay as they are.

        :raises BackendFull: when there is no room.
        :raises VolumeDriverError: when the back end cannot.
        """


class Reader(Protocol):
    """An optional ability, quicker than `open` for the whole: write content to a file."""

    def copy_out(self, volume_id: str, path: str, disk_format: str) -> None:
        """Write a volume to a new file of a format (raw, qcow2, vmdk, vdi, vhdx).  :raises VolumeDriverError: when it cannot."""
