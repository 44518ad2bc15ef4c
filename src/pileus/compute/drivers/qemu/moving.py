"""Guests that move to another host while they run: the optional part of the contract, fulfilled with QEMU."""

import contextlib
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from pileus.certificates import Identity
from pileus.compute.driver import (
    MOVE_SECONDS,
    Arrival,
    DiskSpec,
    DriverError,
    GuestSpec,
    GuestState,
    Machine,
    Passage,
)
from pileus.compute.drivers.qemu import arrivals, departures, devices, disks, fencing, host, mirrors
from pileus.compute.drivers.qemu.arrivals import Door
from pileus.compute.drivers.qemu.departures import Departure
from pileus.compute.drivers.qemu.hypervisor import QemuHypervisor
from pileus.compute.drivers.qemu.options import QemuOptions
from pileus.compute.drivers.qemu.place import Coming, Leaving, Place, Record, Stopped, nic_device, places
from pileus.compute.drivers.qemu.watch import Live

CONFIG_BYTES_MAX = 8 * 1024**2
WORD_BYTES = 24
AWAIT_SECONDS = 2 * MOVE_SECONDS
_NOTHING_KNOWN = Stopped("off", "its process has ended")


@dataclass(frozen=True, slots=True)
class Reach:
    """How other hosts reach this one: its name (that of its certificate), its address, and the directory of its certificate."""

    name: str
    address: str
    identity: Path


class MovingQemuHypervisor(QemuHypervisor):
    """One host with QEMU whose guests can move to others like it.  Without `reach`, none can."""

    def __init__(self, options: QemuOptions, reach: Reach | None = None) -> None:
        self._reach = reach
        self._departures: dict[str, Departure] = {}
        self._doors: dict[str, Door] = {}
        super().__init__(options)
        for place in places(self._guests):  # what an earlier instance began goes on
            with contextlib.suppress(DriverError):
                if place.leaving() is not None:
                    self._depart(place)
                elif place.coming() is not None:
                    self._await(place)

    # ---- the guest where it runs

    def describe(self, guest_id: str) -> Machine:
        with self._turn(guest_id):
            place, now = self._running(guest_id)
            record = place.record()
            if record is None:
                raise DriverError(f"no record of how guest {guest_id} was started")
            if guest_id in self._swapping:
                raise DriverError(f"a volume of guest {guest_id} is being swapped")
            record = _as_it_is(now, record)
            image = place.config_drive.read_bytes() if record.spec.config_drive is not None else None
            if image is not None and len(image) > CONFIG_BYTES_MAX:
                raise DriverError(f"the config drive of guest {guest_id} is too large to be moved: {len(image)} bytes")
            version = cast(dict[str, Any], now.execute("query-version"))["qemu"]
            model = str(now.execute("qom-get", {"path": "/machine", "property": "type"})).removesuffix("-machine")
            layout: dict[str, dict[str, Any]] = {"slots": record.slots, "units": record.units, "devices": record.devices}
            kind: Literal["kvm", "qemu"] = "kvm" if record.accelerator == "kvm" else "qemu"
            number = version["major"] * 1_000_000 + version["minor"] * 1_000 + version["micro"]
            return Machine(_bare(record.spec), layout, model, kind, number, image)

    def send(self, guest_id: str, arrival: Arrival, seconds: float = MOVE_SECONDS) -> None:
        self._certificates()
        with self._turn(guest_id):
            place, now = self._running(guest_id)
            leaving = place.leaving()
            if leaving is not None and leaving.arrival.ticket != arrival.ticket and not leaving.gone:
                self._stay(place, now)
                leaving = None
            if leaving is None:
                halted = now.status in (*arrivals.HALTED, "postmigrate")
                place.keep_leaving(Leaving(arrival, time.monotonic() + seconds, ran=not halted))
            self._depart(place)

    def passage(self, guest_id: str, seen: str = "", wait_seconds: float = 0.0) -> Passage | None:
        place = self._existing(guest_id)
        departure = self._departures.get(guest_id)
        if departure is None or place.leaving() is None:
            return departures.passage_of(place)
        if departure.live.process.ended(0):
            return departures.passage_of(place)
        return departure.await_change(seen, wait_seconds)

    def hurry(self, guest_id: str) -> None:
        with self._turn(guest_id):
            place, now = self._running(guest_id)
            leaving, departure = place.leaving(), self._departures.get(guest_id)
            if leaving is None or leaving.gone or leaving.failed or departure is None:
                raise DriverError(f"guest {guest_id} is not being sent")
            place.keep_leaving(replace(leaving, hurried=True))
            if departures.status(now)["status"] == "active":
                now.execute("stop")

    def stay(self, guest_id: str, refused: bool = False) -> None:
        with self._turn(guest_id) as place:
            leaving = place.leaving() if place.path.is_dir() else None
            if leaving is None:
                return
            now = self._live(place)
            if now is not None:
                self._stay(place, now, refused)
            elif leaving.gone and not refused:
                raise DriverError(f"guest {guest_id} has left for host {leaving.arrival.name}")
            else:
                place.keep_leaving(None)

    def _stay(self, place: Place, now: Live, refused: bool = False) -> None:
        departure = self._departures.pop(place.guest_id, None)
        if departure is not None:
            departure.given_up = "it was given up"
            departure.await_end(departures.CONNECT_SECONDS)
        leaving = place.leaving()
        if leaving is None:
            return
        if leaving.gone and not refused:
            self._departures |= {place.guest_id: departure} if departure is not None else {}
            raise DriverError(f"guest {place.guest_id} has left for host {leaving.arrival.name}")
        departures.give_up(now, leaving)
        now.status = "running" if leaving.ran else now.status
        place.keep_leaving(None)

    def _depart(self, place: Place) -> None:
        """Have a thread see to a guest that is being sent."""
        now, departure = self._live(place), self._departures.get(place.guest_id)
        if now is None or (departure is not None and departure.live is now):
            return
        departure = self._departures[place.guest_id] = Departure(now, self._certificates())
        departure.begin()

    # ---- the guest where it will run

    def receive(self, spec: GuestSpec, machine: Machine) -> Arrival:
        reach = self._reached()
        with self._turn(spec.id) as place:
            now, coming = self._live(place), place.coming() if place.path.is_dir() else None
            if coming is not None and now is not None and (spec.id in self._doors or coming.accepted):
                return coming.arrival
            if now is not None and coming is None:
                raise DriverError(f"guest {spec.id} runs here already")
            self._remove(place, now)
            record = self._lay_out(place, spec, machine)
            try:
                return self._open(place, record, reach)
            except BaseException:
                self._remove(place, self._live(place))
                raise

    def arrive(self, guest_id: str, wait_seconds: float = 0.0) -> bool:
        place = self._existing(guest_id)
        deadline = time.monotonic() + wait_seconds
        with self._turn(guest_id):
            now = self._live(place)
            if place.coming() is None:
                return True
            if now is None:
                raise DriverError(f"guest {guest_id} is lost: {(place.stopped() or _NOTHING_KNOWN).why}")
            arrivals.accept(now, self._is_wanted_on(place))
        while not arrivals.is_whole(now):
            if time.monotonic() >= deadline:
                return False
            time.sleep(arrivals.LOOK_SECONDS)
        with self._turn(guest_id):
            self._settle(place, now)
        return True

    def refuse(self, guest_id: str) -> bool:
        with self._turn(guest_id) as place:
            if not place.path.is_dir():
                return True
            if arrivals.is_ours(place):
                return False
            self._remove(place, self._live(place))
            return True

    def _lay_out(self, place: Place, spec: GuestSpec, machine: Machine) -> Record:
        """Make the files of a guest that is awaited, and write down how it is to be started."""
        place.make()
        placed: Any = machine.places
        wanted = _taken_over(spec, machine)
        accelerator = "kvm" if machine.virt_type == "kvm" else "tcg"
        if machine.virt_type != host.virt_type(self._options.virt_type):
            raise DriverError(f"guest {spec.id} runs by {machine.virt_type}, which is not what this host does")
        places_of = {name: dict(placed.get(name, {})) for name in ("slots", "units", "devices")}
        record = Record(wanted, places_of["slots"], accelerator, places_of["units"], places_of["devices"], machine.model)
        place.keep_record(record)
        disks.prepare(place, wanted.disks, self._options.qemu_img)
        if machine.config_image is not None:
            place.config_drive.write_bytes(machine.config_image)
        return record

    def _open(self, place: Place, record: Record, reach: Reach) -> Arrival:
        ticket, word = secrets.token_hex(WORD_BYTES), secrets.token_hex(WORD_BYTES)
        until = time.monotonic() + AWAIT_SECONDS
        place.keep_coming(Coming(Arrival(reach.name, reach.address, 0, 0, ticket, word), until))
        now = self._start(place, record, "-incoming", "defer")
        self._limit(now)
        credentials = mirrors.credentials(now, self._certificates(), "server")
        now.execute("migrate-set-parameters", {"tls-creds": credentials})
        follows = arrivals.can_follow(now)
        disks_port = 0
        if mirrors.own(record):
            with arrivals.listening(reach.address) as listener:
                mirrors.serve(now, record, listener.fileno(), credentials)
                disks_port = int(listener.getsockname()[1])
        place.keep_coming(Coming(Arrival(reach.name, reach.address, 0, disks_port, ticket, word, follows), until))
        return self._await(place)

    def _await(self, place: Place) -> Arrival:
        """Take calls for a guest that is awaited."""
        now, coming = self._live(place), place.coming()
        if now is None or coming is None:
            raise DriverError(f"guest {place.guest_id} is not awaited here")
        if coming.accepted:
            return coming.arrival
        listener = arrivals.listening(coming.arrival.address)
        arrival = replace(coming.arrival, port=int(listener.getsockname()[1]))
        place.keep_coming(replace(coming, arrival=arrival))
        door = Door(
            arrival, listener, coming.until_seconds, memory=lambda connection: arrivals.take_memory(now, connection),
            gone=lambda: self._gone(place), late=lambda: self.refuse(place.guest_id),
        )  # fmt: skip
        self._doors[place.guest_id] = door
        door.open()
        return arrival

    def _gone(self, place: Place) -> None:
        with self._turn(place.guest_id):
            now = self._live(place)
            if now is not None and place.coming() is not None:
                arrivals.accept(now, self._is_wanted_on(place))

    def _settle(self, place: Place, now: Live) -> None:
        """A guest that is here as a whole is one like others."""
        if (door := self._doors.pop(place.guest_id, None)) is not None:
            door.close()
        now.status = arrivals.run_state(now)
        now.exchanges += 1
        with contextlib.suppress(DriverError):
            times: dict[str, object] = {"initial": 50, "max": 550, "rounds": 5, "step": 100}
            now.execute("announce-self", times)
        place.keep_coming(None)

    def _is_wanted_on(self, place: Place) -> bool:
        record = place.record()
        return record is None or record.spec.power == "on"

    def _remove(self, place: Place, now: Live | None) -> None:
        if (door := self._doors.pop(place.guest_id, None)) is not None:
            door.close()
        if place.path.is_dir() or now is not None:
            super().destroy(place.guest_id)

    # ---- what others may do meanwhile

    def ensure(self, spec: GuestSpec) -> None:
        with self._turn(spec.id) as place:
            leaving = place.leaving() if place.path.is_dir() else None
            if leaving is not None and leaving.failed and not leaving.gone:
                self.stay(spec.id)
            elif leaving is not None:
                verb = "has left" if leaving.gone else "is leaving"
                raise DriverError(f"guest {spec.id} {verb} for host {leaving.arrival.name}")
            if place.path.is_dir() and place.coming() is not None:
                self._take_in(place)
            super().ensure(spec)

    def _take_in(self, place: Place) -> None:
        if not arrivals.is_ours(place):
            raise DriverError(f"guest {place.guest_id} is awaited here, and runs elsewhere still")
        now = self._live(place)
        if now is not None:
            arrivals.accept(now, self._is_wanted_on(place))
            if not arrivals.is_whole(now):
                raise DriverError(f"guest {place.guest_id} has not come here as a whole yet")
            self._settle(place, now)
        place.keep_coming(None)

    def destroy(self, guest_id: str) -> None:
        """As in the contract."""
        if (departure := self._departures.pop(guest_id, None)) is not None:
            departure.given_up = "the guest is destroyed"
        if (door := self._doors.pop(guest_id, None)) is not None:
            door.close()
        super().destroy(guest_id)

    def reboot(self, guest_id: str, hard: bool) -> None:
        """As in the contract."""
        place = self._existing(guest_id)
        if place.leaving() is not None or not arrivals.is_ours(place):
            raise DriverError(f"guest {guest_id} is moving between hosts")
        super().reboot(guest_id, hard)

    def close(self) -> None:
        """As in the contract."""
        for door in tuple(self._doors.values()):
            door.close()
        super().close()

    def _state(self, place: Place) -> GuestState:
        if not arrivals.is_ours(place):
            return GuestState(place.guest_id, "off", why="awaited from another host", arriving=True)
        return super()._state(place)

    def halt(self, guest_id: str) -> None:
        """As in the contract; waits for nobody who is at work on the guest."""
        now = self._watch.get(guest_id)
        if now is not None and now.status == "running" and not now.process.ended(0):
            fencing.halt(now)

    def go_on(self, guest_id: str) -> None:
        """As in the contract."""
        now = self._watch.get(guest_id)
        if now is not None:
            fencing.go_on(now)

    # ---- inside

    def _running(self, guest_id: str) -> tuple[Place, Live]:
        place = self._existing(guest_id)
        now = self._live(place)
        if now is None:
            raise DriverError(f"guest {guest_id} does not run")
        return place, now

    def _reached(self) -> Reach:
        if self._reach is None or not self._reach.address:
            raise DriverError("this host has no address at which others reach it: its guests cannot move")
        return self._reach

    def _certificates(self) -> str:
        """Return a directory with this host's certificate under the names that QEMU looks for."""
        reach = self._reached()
        identity = Identity(reach.identity)
        if not identity.exists():
            raise DriverError(f"host {reach.name} has no certificate by which others know it")
        return str(identity.for_qemu())


def _as_it_is(now: Live, record: Record) -> Record:
    """Return the record with only those volumes and NICs that the guest has."""
    present = devices.peripherals(now)
    spec = record.spec
    kept = tuple(disk for disk in spec.disks if disk.kind != "volume" or record.device(disk) in present)
    nics = tuple(nic for nic in spec.nics if nic_device(nic) in present)
    return replace(record, spec=replace(spec, disks=kept, nics=nics))


def _bare(spec: GuestSpec) -> GuestSpec:
    """Return a spec without secrets and without ways to volumes."""
    bare = tuple(replace(disk, connection={}, luks_key="") for disk in spec.disks)
    return replace(spec, disks=bare, config_drive=None if spec.config_drive is None else {})


def _taken_over(spec: GuestSpec, machine: Machine) -> GuestSpec:
    """Return how a guest is to be started that is taken over: as it was, with its volumes and images where they are from here.

    :raises DriverError: when the cloud does not know of something that it has.
    """
    known = {disk.id: disk for disk in spec.disks}
    nics = {nic.port_id: nic for nic in spec.nics}
    had = machine.spec
    if missing := [disk.id for disk in had.disks if disk.id not in known] + [
        n.port_id for n in had.nics if n.port_id not in nics
    ]:
        raise DriverError(f"guest {spec.id} has {', '.join(missing)}, of which nothing was said")
    own = tuple(_from_here(disk, known[disk.id]) for disk in had.disks)
    return replace(had, disks=own, nics=tuple(nics[nic.port_id] for nic in had.nics), power=spec.power)


def _from_here(disk: DiskSpec, told: DiskSpec) -> DiskSpec:
    if disk.kind != "volume":
        return replace(disk, source=told.source, source_format=told.source_format, held=False)
    return replace(disk, connection=told.connection, luks_key=told.luks_key, limits=told.limits)
