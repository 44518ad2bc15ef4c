"""The contract, fulfilled with QEMU: looks at what there is of a guest and does what is missing.

    nothing --prepare--> files --start--> halted --limits--> --(load memory)--> --plug--> runs
       ^                   ^                                                                |
       +-----destroy-------+----------------- power button, plug, save memory --------------+

Each step looks first, so the whole may be cut short anywhere and done again.  A guest runs on without us: the next
instance finds it by its pid file.  One thing at a time is done to a guest; only `observe` and the copying of a running
guest's disk do not wait.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock, RLock
from weakref import WeakValueDictionary

from pileus.compute.driver import (
    SWAP_SECONDS,
    Diagnostics,
    DiskFormat,
    DiskSpec,
    DriverError,
    GuestSpec,
    GuestState,
    HostResources,
    SeenPower,
)
from pileus.compute.drivers.qemu import (
    cgroups,
    command,
    config_drive,
    counters,
    disks,
    host,
    live,
    netns,
    nodes,
    process,
    swaps,
    volumes,
)
from pileus.compute.drivers.qemu.notices import Notices
from pileus.compute.drivers.qemu.options import QemuOptions
from pileus.compute.drivers.qemu.packing import Packing
from pileus.compute.drivers.qemu.place import VOLUME, Place, Record, Stopped, checked_identifier, places
from pileus.compute.drivers.qemu.relays import Relays
from pileus.compute.drivers.qemu.watch import Live, Watch

END_SECONDS = 10.0
FAIL_SECONDS = 1.0
PRESS_AGAIN_SECONDS = 2.0
OVERHEAD_MIB = 384
PROCESSES_MAX = 512
CRASHED = {"internal-error", "guest-panicked"}


class QemuHypervisor(Packing):
    """One host with QEMU."""

    def __init__(self, options: QemuOptions) -> None:
        self._options = options
        self._guests = options.directory / "guests"
        self._guests.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._turns: WeakValueDictionary[str, RLock] = WeakValueDictionary()
        self._turns_lock = Lock()
        self._swapping: set[str] = set()
        self._relays = Relays(options.netns, self._certificates)
        self._notices = Notices()
        self._watch = Watch(self._notices.put, lambda guest: cgroups.killed_for_memory(options.cgroup_prefix, guest))
        for place in places(self._guests):
            self._live(place)
        self._relays.look_after(places(self._guests), self._look_after)

    def ensure(self, spec: GuestSpec) -> None:
        with self._turn(spec.id) as place:
            now = self._live(place)
            if now is not None and place.memory.exists():
                self._cut(now, "its memory is in a file")
                now = None
            if spec.power in ("on", "paused"):
                self._bring_up(place, spec, now)
            elif spec.power == "suspended":
                self._suspend(place, spec, now)
            else:
                self._bring_down(place, now)
                place.memory.unlink(missing_ok=True)
                self._prepare(place, spec)
            self._relays.settle(place, keep=spec.id in self._swapping)

    def observe(self, guest_id: str) -> GuestState | None:
        place = self._place(guest_id)
        return self._state(place) if place.path.is_dir() else None

    def observe_all(self) -> dict[str, GuestState]:
        return {place.guest_id: self._state(place) for place in places(self._guests)}

    def destroy(self, guest_id: str) -> None:
        place = self._place(guest_id)
        if (now := self._watch.get(guest_id)) is not None:  # before our turn comes: what is being done to it ends then
            now.asked = "destroyed"
            now.process.kill()
        with self._turn(guest_id):
            if (now := self._live(place)) is not None:
                self._cut(now, "destroyed")
            process.kill(place)
            self._relays.end(place)
            place.remove()
            cgroups.remove(self._options.cgroup_prefix, guest_id)

    def reboot(self, guest_id: str, hard: bool) -> None:
        with self._turn(guest_id) as place:
            if (record := place.record()) is None:
                raise DriverError(f"no guest {guest_id}")
            now = self._live(place)
            if now is not None and hard:
                self._cut(now, "rebooted")
            else:
                self._bring_down(place, now)
            place.memory.unlink(missing_ok=True)
            self._bring_up(place, replace(record.spec, power="on"), None)

    def console_log(self, guest_id: str, lines: int | None = None) -> str:
        place = self._existing(guest_id)
        text = ""
        for path in (place.console_log_before, place.console_log):
            with contextlib.suppress(FileNotFoundError):
                text += path.read_text(encoding="utf-8", errors="replace")
        if lines is None:
            return text
        return "".join(text.splitlines(keepends=True)[-lines:]) if lines > 0 else ""

    def screenshot(self, guest_id: str) -> bytes:
        now = self._live(self._existing(guest_id))
        if now is None:
            raise DriverError(f"guest {guest_id} is off: there is nothing on its screen")
        return live.screenshot(now)

    def capture(self, guest_id: str, target_path: str, disk_format: DiskFormat) -> None:
        place = self._existing(guest_id)
        if (record := place.record()) is None or not record.spec.disks:
            raise DriverError(f"guest {guest_id} has no disk")
        new = Path(f"{target_path}.new")
        try:
            if (now := self._live(place)) is not None:
                live.capture(now, new, disk_format, self._options.qemu_img)
            else:
                with self._turn(guest_id):
                    self._convert(place, record.spec.disks[0], new, disk_format)
            os.rename(new, target_path)
        finally:
            new.unlink(missing_ok=True)

    def swap_disk(self, guest_id: str, old_disk_id: str, new: DiskSpec, wait_seconds: float = SWAP_SECONDS) -> bool:
        with self._turn(guest_id) as place:
            now, record = self._live(self._existing(guest_id)), place.record()
            if now is None or record is None:
                raise DriverError(f"guest {guest_id} does not run: its volumes cannot be swapped")
            if guest_id in self._swapping:
                raise DriverError(f"a volume of guest {guest_id} is being swapped already")
            self._swapping.add(guest_id)
        try:
            self._relays.reach(place, new)
            return swaps.swap(now, record, old_disk_id, new, wait_seconds)
        finally:
            self._swapping.discard(guest_id)

    def diagnose(self, guest_id: str) -> Diagnostics:
        place = self._existing(guest_id)
        now, record = self._live(place), place.record()
        if now is None or record is None:
            raise DriverError(f"guest {guest_id} does not run")
        return counters.diagnose(now, record, self._options.netns)

    def resources(self) -> HostResources:
        return host.resources(self._guests, self._options.qemu, host.virt_type(self._options.virt_type))

    def listen(self, callback: Callable[[str], None]) -> None:
        self._notices.listen(callback, tuple(place.guest_id for place in places(self._guests)))

    def close(self) -> None:
        self._relays.close()
        self._watch.close()
        self._notices.close()
        cgroups.remove_prefix(self._options.cgroup_prefix)  # stays while there are guests

    # ---- looking

    def _place(self, guest_id: str) -> Place:
        return Place(self._guests / checked_identifier(guest_id))

    def _existing(self, guest_id: str) -> Place:
        place = self._place(guest_id)
        if not place.path.is_dir():
            raise DriverError(f"no guest {guest_id}")
        return place

    @contextlib.contextmanager
    def _turn(self, guest_id: str) -> Iterator[Place]:
        with self._turn_of(guest_id):
            yield self._place(guest_id)

    def _turn_of(self, guest_id: str) -> RLock:
        with self._turns_lock:
            return self._turns.get(guest_id) or self._turns.setdefault(guest_id, RLock())

    def _look_after(self, guest_id: str) -> None:
        """See to the ways to a guest's volumes, unless something is being done to it just now."""
        turn = self._turn_of(guest_id)
        if turn.acquire(blocking=False):
            try:
                self._relays.settle(self._place(guest_id), keep=guest_id in self._swapping)
            finally:
                turn.release()

    def _certificates(self) -> str:
        raise DriverError("this host has no certificate by which others know it")

    def _live(self, place: Place) -> Live | None:
        """The guest's process: the one that is watched, or one that was started by an earlier instance."""
        now = self._watch.get(place.guest_id)
        if now is not None and now.process.ended(0):
            now.ended.wait(END_SECONDS)
            now = None
        if now is None and (found := process.find(place)) is not None:
            with self._turn(place.guest_id):
                now = self._watch.get(place.guest_id) or self._watch.adopt(place, found)
        return now

    def _state(self, place: Place) -> GuestState:
        record, now = place.record(), self._watch.get(place.guest_id)
        taps = tuple(nic.tap for nic in record.spec.nics) if record else ()
        volume_ids = tuple(disk.id for disk in record.volumes) if record else ()
        if now is not None and now.process.ended(0):
            now.ended.wait(END_SECONDS)  # a moment, until it is written down why
            now = None
        if now is None:
            stopped = place.stopped() or Stopped("off", "")
            suspended = place.memory.exists()
            power: SeenPower = "suspended" if suspended else stopped.power
            return GuestState(place.guest_id, power, taps, why=stopped.why, disks=volume_ids)
        power = "on" if now.status in ("running", "suspended", "") else "crashed" if now.status in CRASHED else "paused"
        why = now.status if power == "crashed" or now.status == "io-error" else ""
        consoles = (str(place.vnc), str(place.serial))
        if record is not None:
            with contextlib.suppress(DriverError):  # it ends, or does not answer just now
                volume_ids = volumes.plugged(now, record)
        return GuestState(place.guest_id, power, taps, now.process.started_seconds, why, *consoles, volume_ids)

    # ---- doing

    def _bring_up(self, place: Place, spec: GuestSpec, now: Live | None) -> None:
        if now is None:
            now = self._resume(place) if place.memory.exists() else self._start(place, self._prepare(place, spec))
        self._limit(now)
        options = self._options
        live.plug_nics(now, spec, lambda: netns.interfaces(options.netns), options.unplug_seconds, options.plain_frames)
        self._go_on(now, spec)
        if place.guest_id not in self._swapping:
            volumes.exchange(now, spec, self._relays, self._options.unplug_seconds)
        if spec.power == "paused" and now.status == "running":
            now.execute("stop")
            now.status = "paused"

    def _go_on(self, now: Live, spec: GuestSpec) -> None:
        if spec.power == "on" and now.status == "suspended":
            now.execute("system_wakeup")
        elif spec.power == "on" and now.status != "running":
            if now.status in CRASHED:
                now.execute("system_reset")
            now.execute("cont")
            now.status = "running"

    def _prepare(self, place: Place, spec: GuestSpec) -> Record:
        """Make the files of a guest that is off, and write down how it is to be started."""
        place.make()
        disks.prepare(place, spec.disks, self._options.qemu_img)
        if spec.config_drive is None:
            place.config_drive.unlink(missing_ok=True)
        elif spec.config_drive or not place.config_drive.exists():
            config_drive.write(place.config_drive, spec.config_drive)
        before = place.record()
        taken = {
            device: slot
            for device, slot in (before.slots if before else {}).items()
            if not device.startswith(VOLUME) and device not in (command.SCSI, command.USB)
        }
        accelerator = "kvm" if host.virt_type(self._options.virt_type) == "kvm" else "tcg"
        record = command.placed(Record(spec, taken, accelerator))
        place.keep_record(record)
        return record

    def _start(self, place: Place, record: Record, *extra: str) -> Live:
        """Start QEMU with the guest halted and under its limits."""
        options = self._options
        if missing := {nic.tap for nic in record.spec.nics} - netns.interfaces(options.netns):
            raise DriverError(
                f"there is no tap {', '.join(sorted(missing))} in network namespace {options.netns or 'of the host'}"
            )
        cpu_model = options.cpu_model or ("qemu64" if record.accelerator == "tcg" else "host")
        arguments = command.arguments(record, place, options.qemu, cpu_model, options.tcg_cache_mib, options.plain_frames)
        arguments += ["-sandbox", command.SANDBOX] if host.sandbox_works() else []
        for volume in record.volumes:
            self._relays.reach(place, volume)
        for stale in (place.qmp, place.vnc, place.serial):
            stale.unlink(missing_ok=True)
        place.keep_stopped(None)
        with place.kept_secrets({needed.id: needed.secret for disk in record.spec.disks for needed in nodes.objects(disk)}):
            child = process.spawn(place, [*arguments, *extra], options.netns)
            process.await_start(place, child, options.start_seconds)
        now = self._live(place)
        if now is None:
            raise DriverError(f"QEMU ended as soon as it was up: {process.last_words(place)}")
        if now.client is None:
            said = process.last_words(place) if now.ended.wait(FAIL_SECONDS) else "its monitor does not answer"
            self._cut(now, "it did not start")
            raise DriverError(f"QEMU did not make the machine: {said}")
        return now

    def _resume(self, place: Place) -> Live:
        """Start QEMU as it was started last, with the memory it had."""
        record = place.record()
        if record is None:
            raise DriverError(f"no record of how guest {place.guest_id} was started")
        now = self._start(place, record, "-incoming", "defer")
        try:
            self._limit(now)
            live.load_memory(now)
        except DriverError:
            self._cut(now, "its memory could not be loaded")
            raise
        place.memory.unlink()
        now.status = "paused"
        return now

    def _limit(self, now: Live) -> None:
        record = now.place.record()
        prefix, pid = self._options.cgroup_prefix, now.process.pid
        if record is None or cgroups.is_member(prefix, now.place.guest_id, pid):
            return
        cache_mib = self._options.tcg_cache_mib if record.accelerator == "tcg" else 0
        memory_mib = record.spec.memory_mib + cache_mib + OVERHEAD_MIB
        limits = cgroups.Limits(record.spec.vcpus + 0.5, memory_mib, PROCESSES_MAX)
        cgroups.attach(prefix, now.place.guest_id, pid, limits)

    def _suspend(self, place: Place, spec: GuestSpec, now: Live | None) -> None:
        if now is None and place.memory.exists():
            volumes.require_no_unplug(place, spec)
            return
        if now is None:
            raise DriverError(f"guest {place.guest_id} is off: only a guest that runs can be suspended")
        ran = now.status == "running"
        if place.guest_id not in self._swapping:
            volumes.exchange(now, spec, self._relays, self._options.unplug_seconds)
        now.execute("stop")
        try:
            volumes.settle(now)
            live.save_memory(now)
        except (DriverError, OSError) as error:
            (place.path / "memory.new").unlink(missing_ok=True)
            if ran and not now.process.ended(0):
                now.execute("cont")
            raise DriverError(f"cannot suspend: {error}") from error
        self._cut(now, "suspended")

    def _convert(self, place: Place, disk: DiskSpec, target: Path, disk_format: DiskFormat) -> None:
        """Copy the disk of a guest that is off."""
        options = self._options
        if disk.kind == "volume":
            self._relays.reach(place, disk)
        with place.kept_secrets({needed.id: needed.secret for needed in nodes.objects(disk)}):
            arguments = command.source(disk, place)
            folder = place.path if nodes.relay(disk) else None
            netns.inside(options.netns, lambda: disks.convert(arguments, str(target), disk_format, options.qemu_img, folder))

    def _bring_down(self, place: Place, now: Live | None) -> None:
        """Press the power button until the guest has shut down; cut the power when it does not in time."""
        if now is None:
            return
        now.asked = "stopped as asked"
        deadline = time.monotonic() + self._options.shutdown_seconds
        while now.status == "running" and (left_seconds := deadline - time.monotonic()) > 0:
            with contextlib.suppress(DriverError):
                now.execute("system_powerdown")
            if now.ended.wait(min(left_seconds, PRESS_AGAIN_SECONDS)):
                return
        halted = now.status != "running"
        self._cut(now, "stopped as asked" if halted else f"did not shut down in {self._options.shutdown_seconds:g} s: power cut")

    def _cut(self, now: Live, why: str) -> None:
        """End the process at once."""
        now.asked = why
        now.process.kill()
        if not now.ended.wait(END_SECONDS):
            raise DriverError(f"process {now.process.pid} of guest {now.place.guest_id} does not die")
