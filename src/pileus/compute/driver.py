"""What a hypervisor must do.

Small on purpose: a driver makes the guests of one host look like what it is told, and says how they look.  It decides
nothing and asks nobody.  Every call may be repeated, also after the caller was killed in the middle of the last one.
Values are plain (str, int, bool, bytes, tuples, dicts), so that they can go over a bus.

Not here: which guest goes to which host (the scheduler), what becomes of a server whose guest died (the tasks), and
the wires of a guest's NICs (the network driver makes the taps, in its own namespace, before `ensure` is called).

    spec.power   on <-> paused     the guest's memory stays in its process
                 on <-> suspended  its memory is in a file; there is no process
                 any -> off        ACPI power button, then the plug after a grace time
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Power = Literal["on", "off", "paused", "suspended"]
SeenPower = Literal["on", "off", "paused", "suspended", "crashed"]
DiskFormat = Literal["raw", "qcow2"]

MIB = 1024**2
SWAP_SECONDS = 6 * 3600.0
MOVE_SECONDS = 1800.0
GIB = 1024**3


class DriverError(Exception):
    """The host could not do it.  The message has the true reason, in the words of whoever refused."""


LIMITS = frozenset(
    f"{which}_{what}_sec{peak}"
    for which in ("total", "read", "write")
    for what in ("bytes", "iops")
    for peak in ("", "_max", "_max_length")
) | {"size_iops_sec"}


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """A disk of a guest: a file in the guest's own directory, or a volume that a back end serves.

    `image` is a copy-on-write layer over a read-only base file; `blank` starts as zeroes.  The size is
    `size_gib` and `size_mib` together; an image of size 0 is as large as its base.  A disk grows, never shrinks.
    Such a disk that the spec of a guest no longer names is deleted when the guest is next started from off.  While it is `held`,
    what is written to it can be taken back: at the next start from off with a lower `stage` the disk is as it was when the guest
    was first started with this one, without `held` it has kept all.

    `volume` is reached over `connection` (`driver_volume_type` nbd, iscsi, rbd, file or fake, and `data`: see Connection in
    pileus.volume.driver); `id` is the volume's id, `size_gib` what its back end has made it (0: whatever it is), `luks_key`
    (hex) opens what is in it.  A volume is plugged, unplugged and let grow while the guest runs, and is never written to or
    deleted here.

    `device` is the name that was asked for (/dev/vdc): volumes get their places on the bus in that order.  `serial` is what
    the guest sees as the disk's; a volume without one has its id.  `limits` are named as in LIMITS (bytes or operations a
    second, peaks, and how many seconds a peak may last).
    """

    id: str
    kind: Literal["image", "blank", "volume"]
    size_gib: int = 0
    size_mib: int = 0
    source: str = ""
    source_format: DiskFormat = "qcow2"
    bus: Literal["virtio", "scsi", "ide", "usb"] = "virtio"
    is_cdrom: bool = False
    serial: str = ""
    boot_index: int | None = None
    connection: Mapping[str, Any] = field(default_factory=dict, repr=False)
    read_only: bool = False
    device: str = ""
    limits: Mapping[str, int] = field(default_factory=dict)
    luks_key: str = field(default="", repr=False)
    stage: int = 0
    held: bool = False

    @property
    def size_bytes(self) -> int:
        return self.size_gib * GIB + self.size_mib * MIB


@dataclass(frozen=True, slots=True)
class NicSpec:
    """A network card on a persistent tap that exists already."""

    port_id: str
    mac: str
    tap: str
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class Smbios:
    """What the guest's firmware says of its maker.  Guests look for the product name to know that they run in a cloud."""

    manufacturer: str = "OpenStack Foundation"
    product: str = "OpenStack Nova"
    version: str = "30.0.0"
    family: str = "Virtual Machine"


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """How a guest is meant to be.  `id` is a UUID, which the guest sees as that of its machine.

    `firmware` is the file of another firmware than the hypervisor's own.  `config_drive` holds files by path;
    None means that the guest has no config drive.
    """

    id: str
    name: str
    vcpus: int
    memory_mib: int
    disks: tuple[DiskSpec, ...]
    nics: tuple[NicSpec, ...] = ()
    config_drive: Mapping[str, bytes] | None = None
    power: Power = "on"
    firmware: str = ""
    smbios: Smbios = Smbios()


@dataclass(frozen=True, slots=True)
class GuestState:
    """How a guest looks now.

    `started_seconds` is the start of its process on the clock that began with the host's boot; None without a process.
    `why` says why a guest stopped, where that is known.  `vnc` and `serial` are the paths of unix sockets of its consoles.
    `disks` are the ids of the volumes that the guest has: those that are plugged in now, or that it will be started with.
    `arriving` says that it is awaited from another host and does not run here yet (power is off then).
    """

    id: str
    power: SeenPower
    taps: tuple[str, ...] = ()
    started_seconds: float | None = None
    why: str = ""
    vnc: str = ""
    serial: str = ""
    disks: tuple[str, ...] = ()
    arriving: bool = False


@dataclass(frozen=True, slots=True)
class DiskCounters:
    """What has gone through a disk since its guest was started.  `device` is the name that was asked for, else its id."""

    device: str
    read_bytes: int = 0
    read_requests: int = 0
    write_bytes: int = 0
    write_requests: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class NicCounters:
    """What has gone through a NIC, as the guest sees it: what it receives is `rx`."""

    tap: str
    mac: str
    rx_octets: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_drop: int = 0
    tx_octets: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_drop: int = 0


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What a guest that runs has used.  `cpu_nanoseconds` of each vCPU; `resident_mib` is what its process has of the host."""

    uptime_seconds: int
    cpu_nanoseconds: tuple[int, ...] = ()
    resident_mib: int = 0
    disks: tuple[DiskCounters, ...] = ()
    nics: tuple[NicCounters, ...] = ()


@dataclass(frozen=True, slots=True)
class HostResources:
    """What the host has.  `hypervisor_version` is major * 1,000,000 + minor * 1,000 + patch."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    free_disk_gib: int
    arch: str
    hypervisor_type: str
    hypervisor_version: int
    virt_type: Literal["kvm", "qemu"]
    cpu_model: str
    cpu_vendor: str
    cpu_features: tuple[str, ...]
    disk_formats: tuple[DiskFormat, ...]


class Hypervisor(Protocol):
    """One host.  Safe to call from many threads; calls for the same guest wait for each other."""

    def ensure(self, spec: GuestSpec) -> None:
        """Make the guest be as the spec says: create, start, stop, pause, suspend it, plug and unplug NICs and volumes.

        A guest that runs is never restarted: vCPUs, memory, other disks and the config drive follow at its next start.
        A volume that the guest does not let go of in time (or cannot, because it is paused or suspended) stays plugged in
        and is an error.  A volume added to a suspended guest is plugged in when it goes on.

        :raises DriverError: when the host cannot; what was half done is finished or undone by the next call.
        """

    def observe(self, guest_id: str) -> GuestState | None:
        """Return how a guest looks, or None when the host has no such guest."""

    def observe_all(self) -> dict[str, GuestState]:
        """Return how each guest of the host looks.  Cheap enough to call every second with hundreds of guests."""

    def destroy(self, guest_id: str) -> None:
        """Stop a guest at once and remove all that is its own; nothing happens when there is none.

        :raises DriverError: when the host cannot.
        """

    def reboot(self, guest_id: str, hard: bool) -> None:
        """Start the guest again: after its own shutdown, or at once (`hard`, or when it has not shut down in time).

        :raises DriverError: when there is no such guest, or when it does not start.
        """

    def console_log(self, guest_id: str, lines: int | None = None) -> str:
        """Return the last lines that the guest wrote to its serial port; all that are kept when `lines` is None.

        :raises DriverError: when there is no such guest.
        """

    def screenshot(self, guest_id: str) -> bytes:
        """Return the guest's screen as a PNG.

        :raises DriverError: when it has none now.
        """

    def capture(self, guest_id: str, target_path: str, disk_format: DiskFormat) -> None:
        """Write the first disk, as it is at one instant, to a new file that depends on no other.

        :raises DriverError: when the host cannot; then there is no such file.
        """

    def diagnose(self, guest_id: str) -> Diagnostics:
        """Return what a guest that runs (or is paused) has used.

        :raises DriverError: when it does not, or QEMU does not say.
        """

    def resources(self) -> HostResources:
        """Return what the host has.

        :raises DriverError: when the hypervisor is not usable.
        """

    def listen(self, callback: Callable[[str], None]) -> None:
        """Call back with the id of each guest that changes by itself, within 2 s, and of each that is found here now.

        Calls come one at a time, from a thread of the driver.
        """

    def close(self) -> None:
        """Let go of the guests, which run on."""


class DiskSwapper(Protocol):
    """An optional ability: move a running guest from one volume to another under its feet."""

    def swap_disk(self, guest_id: str, old_disk_id: str, new: DiskSpec, wait_seconds: float = SWAP_SECONDS) -> bool:
        """Copy a volume of a guest that runs to another one, and let the guest go on with that.

        The guest sees no change.  Tells whether it has the new volume now; after `wait_seconds` it may not, and the copy goes on:
        called again, it is waited for again, and nothing is done when the guest has the new volume already.  From then on the
        specs of the guest name the new volume; a spec that does not, before, gives the copy up.

        :raises DriverError: when the guest does not run or has no such volume, or the copy fails; then it goes on with the
            old volume.
        """


@dataclass(frozen=True, slots=True)
class Machine:
    """How a guest was started, for another host that is to take it over while it runs.

    `spec` has no secrets, and of volumes no ways to them.  `places` are those of its devices, `model` is the machine's, and
    `config_image` the content of its config drive; the rest is as in HostResources.
    """

    spec: GuestSpec
    places: Mapping[str, Mapping[str, Any]]
    model: str
    virt_type: Literal["kvm", "qemu"]
    hypervisor_version: int
    config_image: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a host awaits a guest: its name and address, the port for the guest's memory, that for its disks (0: none).

    `ticket` lets in, `word` says that the guest has left where it was.  `postcopy` says whether memory may follow the guest.
    """

    name: str
    address: str
    port: int
    disks_port: int = 0
    ticket: str = field(default="", repr=False)
    word: str = field(default="", repr=False)
    postcopy: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """How far a guest is that is being sent.  Until it is `gone` it runs here; `failed` says that it goes on to (`why`)."""

    stage: Literal["disks", "memory", "switching", "gone", "failed"]
    why: str = ""
    memory_total_bytes: int = 0
    memory_processed_bytes: int = 0
    memory_remaining_bytes: int = 0
    disk_total_bytes: int = 0
    disk_processed_bytes: int = 0
    disk_remaining_bytes: int = 0


class LiveMigrator(Protocol):
    """An optional ability: send a guest that runs to another host, and take one in.

        here    describe -> send -> passage ... gone -> destroy            any time before that: stay
        there        receive ------------------> arrive                    any time before that: refuse

    The guest runs in one place: there only after it has stopped here for good, which the one host tells the other (and whoever
    calls `arrive` may tell it again); here again only when `refuse` has said that it never ran there.
    """

    def describe(self, guest_id: str) -> Machine:
        """Return how a guest that runs (or is paused) was started.

        :raises DriverError: when it does not run, or has what cannot be moved; the message says what.
        """

    def receive(self, spec: GuestSpec, machine: Machine) -> Arrival:
        """Make ready to take a guest in, with its own disks empty as yet; again the same for one that is awaited already.

        :raises DriverError: when the host cannot.
        """

    def send(self, guest_id: str, arrival: Arrival, seconds: float = MOVE_SECONDS) -> None:
        """Begin to send a guest to the host that awaits it; nothing happens when that is begun.  It ends within so long.

        :raises DriverError: when the guest does not run.
        """

    def passage(self, guest_id: str, seen: str = "", wait_seconds: float = 0.0) -> Passage | None:
        """Return how far a guest is; None: it is not being sent.  Waits for a while as long as its stage is `seen`.

        :raises DriverError: when there is no such guest.
        """

    def hurry(self, guest_id: str) -> None:
        """Have a guest that is being sent arrive soon, though it is halted for longer.

        :raises DriverError: when it is not being sent.
        """

    def stay(self, guest_id: str, refused: bool = False) -> None:
        """Give up to send a guest, which goes on here.

        :param refused: the other host has refused it: so it may go on though it is gone.
        :raises DriverError: when it cannot go on, or is gone.
        """

    def arrive(self, guest_id: str, wait_seconds: float = 0.0) -> bool:
        """Have a guest that has left where it was run here; tells whether it needs nothing from there any more.

        :raises DriverError: when it is lost; the message says why.
        """

    def refuse(self, guest_id: str) -> bool:
        """Await a guest no longer and remove what was made for it; False: it is here."""
