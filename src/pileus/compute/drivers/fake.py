"""A hypervisor that runs nothing.  For tests and for load: thousands of guests, hundreds of hosts, faults on demand.

Its guests are entries of a dict: they have a power state, NICs and a console log, and do nothing by themselves until
they are told to (`crash`, `shut_down`).  Every method can be made slow or made to fail.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pileus.compute.driver import (
    LIMITS,
    SWAP_SECONDS,
    Diagnostics,
    DiskCounters,
    DiskFormat,
    DiskSpec,
    DriverError,
    GuestSpec,
    GuestState,
    HostResources,
    NicCounters,
    SeenPower,
)
from pileus.compute.drivers.fake_moves import MOVE_METHODS, MovingFake
from pileus.compute.moving import Luggage, Parcel

METHODS = MOVE_METHODS | frozenset(
    {
        "ensure",
        "observe",
        "observe_all",
        "destroy",
        "reboot",
        "console_log",
        "screenshot",
        "capture",
        "diagnose",
        "resources",
        "plug",
        "unplug",
        "swap_disk",
        "pack",
        "unpack",
    }
)
DISKS_FILE = "disks"
CONNECTIONS = frozenset({"nbd", "iscsi", "rbd", "file", "fake"})
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)
RESOURCES = HostResources(
    vcpus=64,
    memory_mib=256 * 1024,
    disk_gib=4096,
    free_disk_gib=4096,
    arch="x86_64",
    hypervisor_type="fake",
    hypervisor_version=1_000_000,
    virt_type="qemu",
    cpu_model="fake",
    cpu_vendor="fake",
    cpu_features=(),
    disk_formats=("raw", "qcow2"),
)


@dataclass(slots=True)
class FakeGuest:
    """What there is of a guest.  `content` is what its own disks hold, `ticket` the move by which it came."""

    spec: GuestSpec
    power: SeenPower
    started_seconds: float | None = None
    why: str = ""
    console: str = ""
    vnc: str = ""
    serial: str = ""
    starts: int = 0
    volumes: dict[str, DiskSpec] = field(default_factory=dict)
    content: str = ""
    ticket: str = ""


class FakeHypervisor(MovingFake):
    """One host, in memory.  `guests` may be looked at and changed by tests.

    Guests whose ids are in `deaf` do not let go of their volumes.  `plug` and `unplug` of a volume can be made slow and made to
    fail like the methods; so can the connection to a volume that is not there (`unreachable`, ids of volumes).
    """

    def __init__(
        self,
        resources: HostResources = RESOURCES,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self.guests: dict[str, FakeGuest] = {}
        self.host = resources
        self.deaf: set[str] = set()
        self.unreachable: set[str] = set()
        self.copying: set[str] = set()
        self.delays_seconds: dict[str, float] = {}
        self.hook: Callable[[str, str], None] | None = None
        self._failures: dict[str, tuple[int, str]] = {}
        self._clock = clock
        self._sleep = sleep
        self._callbacks: tuple[Callable[[str], None], ...] = ()

    # ---- what tests do to it

    def fail_next(self, method: str, times: int = 1, reason: str = "told to fail") -> None:
        """Let the next calls of a method fail."""
        if method not in METHODS:
            raise ValueError(f"no method {method}")
        self._failures[method] = (times, reason)

    def crash(self, guest_id: str, why: str = "QEMU was killed by signal 9.") -> None:
        """End a guest as when its process dies."""
        self._end(guest_id, "crashed", why)

    def shut_down(self, guest_id: str) -> None:
        """End a guest as when its user shuts it down from inside."""
        self._end(guest_id, "off", "the guest shut itself down")

    # ---- the contract

    def ensure(self, spec: GuestSpec) -> None:
        self._arrive("ensure", spec.id)
        with self._lock:
            self.require_here(spec.id)
            guest = self.guests.get(spec.id)
            if spec.power == "suspended" and (guest is None or guest.power in ("off", "crashed")):
                raise DriverError(f"guest {spec.id} is off: only a guest that runs can be suspended")
            if guest is None:
                guest = self.guests[spec.id] = FakeGuest(spec, "off")
            self._exchange_volumes(guest, spec)
            if spec.power in ("on", "paused") and guest.power not in ("on", "paused"):
                self._start(guest, spec)
            elif spec.power in ("off", "suspended"):
                guest.started_seconds = None
                guest.why = "stopped as asked"
            guest.spec, guest.power = spec, spec.power

    def observe(self, guest_id: str) -> GuestState | None:
        self._arrive("observe", guest_id)
        with self._lock:
            guest = self.guests.get(guest_id)
            return _state(guest) if guest else self._awaited(guest_id)

    def observe_all(self) -> dict[str, GuestState]:
        self._arrive("observe_all", "")
        with self._lock:
            here = {guest_id: _state(guest) for guest_id, guest in self.guests.items()}
            return {state.id: state for guest_id in self.coming if (state := self._awaited(guest_id))} | here

    def destroy(self, guest_id: str) -> None:
        self._arrive("destroy", guest_id)
        with self._lock:
            for known in (self.guests, self.coming, self.leaving):
                known.pop(guest_id, None)

    def reboot(self, guest_id: str, hard: bool) -> None:
        self._arrive("reboot", guest_id)
        with self._lock:
            self.require_here(guest_id)
            guest = self._guest(guest_id)
            self._start(guest, guest.spec)
            guest.spec, guest.power = replace(guest.spec, power="on"), "on"

    def console_log(self, guest_id: str, lines: int | None = None) -> str:
        self._arrive("console_log", guest_id)
        with self._lock:
            text = self._guest(guest_id).console
        if lines is None:
            return text
        return "".join(text.splitlines(keepends=True)[-lines:]) if lines > 0 else ""

    def screenshot(self, guest_id: str) -> bytes:
        self._arrive("screenshot", guest_id)
        with self._lock:
            if self._guest(guest_id).power not in ("on", "paused"):
                raise DriverError(f"guest {guest_id} is off: there is nothing on its screen")
        return PNG

    def capture(self, guest_id: str, target_path: str, disk_format: DiskFormat) -> None:
        self._arrive("capture", guest_id)
        with self._lock:
            guest = self._guest(guest_id)
            if not guest.spec.disks:
                raise DriverError(f"guest {guest_id} has no disk")
        Path(target_path).write_bytes(bytes(512) if disk_format == "raw" else empty_qcow2())

    def swap_disk(self, guest_id: str, old_disk_id: str, new: DiskSpec, wait_seconds: float = SWAP_SECONDS) -> bool:
        """As in the contract; the copy to a volume whose id is in `copying` does not end."""
        self._arrive("swap_disk", guest_id)
        with self._lock:
            guest = self._guest(guest_id)
            if new.id in guest.volumes and old_disk_id not in guest.volumes:
                return True
            if guest.power not in ("on", "paused"):
                raise DriverError(f"guest {guest_id} does not run: its volumes cannot be swapped")
            if old_disk_id not in guest.volumes:
                raise DriverError(f"guest {guest_id} has no volume {old_disk_id}")
            self._reach(new)
            if new.id in self.copying:
                return False
            guest.volumes = {new.id if key == old_disk_id else key: disk for key, disk in guest.volumes.items()}
            guest.volumes[new.id] = new
            disks = tuple(new if disk.id == old_disk_id else disk for disk in guest.spec.disks)
            guest.spec = replace(guest.spec, disks=disks)
            return True

    def pack(self, guest_id: str, ticket: str, directory: str) -> Luggage:
        """As in the contract; there is one file, which holds the guest's content."""
        self._arrive("pack", guest_id)
        with self._lock:
            guest = self._guest(guest_id)
            if guest.power not in ("off", "crashed"):
                raise DriverError(f"guest {guest_id} runs: only one that is off can be packed")
            data = guest.content.encode()
        luggage = Luggage(guest_id, ticket, directory, (Parcel(DISKS_FILE, len(data)),))
        Path(directory).mkdir(parents=True, exist_ok=True)
        luggage.path(DISKS_FILE).write_bytes(data)
        return luggage

    def unpack(self, spec: GuestSpec, luggage: Luggage) -> None:
        """As in the contract."""
        self._arrive("unpack", spec.id)
        with self._lock:
            guest = self.guests.get(spec.id)
            if guest and guest.power in ("on", "paused", "suspended"):
                raise DriverError(f"guest {spec.id} runs here")
            if guest and guest.ticket == luggage.ticket:
                return
            try:
                content = luggage.path(DISKS_FILE).read_text()
            except OSError as error:
                raise DriverError(f"guest {spec.id} cannot be taken in: {error}") from error
            spec = replace(spec, power="off")
            self.guests[spec.id] = FakeGuest(spec, "off", why="it has just arrived", content=content, ticket=luggage.ticket)

    def diagnose(self, guest_id: str) -> Diagnostics:
        """As in the contract: a guest that does nothing, for so long."""
        self._arrive("diagnose", guest_id)
        with self._lock:
            guest = self._guest(guest_id)
            if guest.started_seconds is None:
                raise DriverError(f"guest {guest_id} does not run")
            disks = tuple(DiskCounters(disk.device.removeprefix("/dev/") or disk.id) for disk in guest.spec.disks)
            nics = tuple(NicCounters(nic.tap, nic.mac) for nic in guest.spec.nics)
            uptime_seconds = int(self._clock() - guest.started_seconds)
            return Diagnostics(uptime_seconds, (0,) * guest.spec.vcpus, 0, disks, nics)

    def resources(self) -> HostResources:
        self._arrive("resources", "")
        return self.host

    def listen(self, callback: Callable[[str], None]) -> None:
        """As in the contract, but the calls come from the thread that changes the guest."""
        with self._lock:
            self._callbacks = (*self._callbacks, callback)
            known = tuple(self.guests)
        for guest_id in known:
            callback(guest_id)

    def close(self) -> None:
        """Nothing to let go of."""

    # ---- inside

    def _arrive(self, method: str, guest_id: str) -> None:
        if delay_seconds := self.delays_seconds.get(method):
            self._sleep(delay_seconds)
        if self.hook is not None:
            self.hook(method, guest_id)
        if method in self._failures:
            with self._lock:
                times, reason = self._failures.pop(method)
                if times > 1:
                    self._failures[method] = (times - 1, reason)
            raise DriverError(reason)

    def _exchange_volumes(self, guest: FakeGuest, spec: GuestSpec) -> None:
        """Unplug and plug volumes, each whole or not at all, as QEMU does."""
        wanted = {disk.id: disk for disk in spec.disks if disk.kind == "volume"}
        for disk in wanted.values():
            if unknown := set(disk.limits) - LIMITS:
                raise DriverError(f"there is no limit {min(unknown)}")
        runs = guest.power in ("on", "paused", "suspended") and spec.power != "off"
        for disk_id in [disk_id for disk_id in guest.volumes if disk_id not in wanted]:
            if runs:
                self._arrive("unplug", spec.id)
            if runs and (guest.power != "on" or spec.id in self.deaf):
                raise DriverError(f"the guest did not let go of volume {disk_id}")
            del guest.volumes[disk_id]
        if guest.power == "suspended" and spec.power == "suspended":
            return
        for disk_id, disk in wanted.items():
            if disk_id not in guest.volumes and spec.power in ("on", "paused"):
                self._arrive("plug", spec.id)
                self._reach(disk)
            guest.volumes[disk_id] = disk

    def _reach(self, disk: DiskSpec) -> None:
        kind = disk.connection.get("driver_volume_type")
        if kind not in CONNECTIONS:
            raise DriverError(f"volume {disk.id} cannot be reached over {kind!r}")
        if disk.id in self.unreachable:
            raise DriverError(f"volume {disk.id} cannot be reached: connection refused")

    def _awaited(self, guest_id: str) -> GuestState | None:
        if guest_id not in self.coming:
            return None
        return GuestState(guest_id, "off", why="awaited from another host", arriving=True)

    def _guest(self, guest_id: str) -> FakeGuest:
        if guest_id not in self.guests:
            raise DriverError(f"no guest {guest_id}")
        return self.guests[guest_id]

    def _start(self, guest: FakeGuest, spec: GuestSpec) -> None:
        if guest.power != "suspended":
            guest.starts += 1
            guest.console += f"start {guest.starts} of {spec.id}\n"
        guest.started_seconds = self._clock()
        guest.why = ""

    def _end(self, guest_id: str, power: SeenPower, why: str) -> None:
        with self._lock:
            guest = self._guest(guest_id)
            guest.power, guest.why, guest.started_seconds = power, why, None
        for callback in self._callbacks:
            callback(guest_id)


def _state(guest: FakeGuest) -> GuestState:
    taps = tuple(nic.tap for nic in guest.spec.nics)
    return GuestState(
        guest.spec.id, guest.power, taps, guest.started_seconds, guest.why, guest.vnc, guest.serial, tuple(guest.volumes)
    )


def empty_qcow2() -> bytes:
    """A qcow2 image of one empty MiB: version 2, one L1 table, one refcount block, clusters of 64 KiB.

    After docs/interop/qcow2.txt of QEMU.
    """
    cluster = 65536
    header = b"QFI\xfb" + b"".join(
        number.to_bytes(length, "big")
        for number, length in (
            (2, 4),  # version
            (0, 8),  # backing file: none
            (0, 4),
            (16, 4),  # bits of a cluster
            (1024**2, 8),  # size
            (0, 4),  # encryption: none
            (1, 4),  # entries of the L1 table, and where it is
            (3 * cluster, 8),
            (cluster, 8),  # refcount table, and its clusters
            (1, 4),
            (0, 4),  # snapshots: none
            (0, 8),
        )
    )
    refcount_table = (2 * cluster).to_bytes(8, "big")
    refcounts = (1).to_bytes(2, "big") * 4
    return b"".join(part.ljust(cluster, b"\0") for part in (header, refcount_table, refcounts, b""))
