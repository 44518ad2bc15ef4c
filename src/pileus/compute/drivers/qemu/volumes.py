"""The volumes of a guest that runs: plug, unplug, let grow, limit, and move the guest from one to another.

What QEMU has is the truth.  A volume's nodes, objects and device have names that come from its id, so whoever comes after one
who was killed sees what is there and does what is missing.  The order makes every point of it safe to be killed at: first the
record names a volume, then its objects are made, its nodes (all at once), its device; back in the opposite order.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from pileus.compute.driver import DiskSpec, DriverError, GuestSpec
from pileus.compute.drivers.qemu import blocks, command, devices, nodes, swaps
from pileus.compute.drivers.qemu.place import Place, Record, nic_device
from pileus.compute.drivers.qemu.relays import Relays
from pileus.compute.drivers.qemu.watch import Live


def plugged(live: Live, record: Record) -> tuple[str, ...]:
    """Return the ids of the volumes that the guest has.  QEMU is asked when that may have changed, else it is remembered."""
    number, found = live.volumes
    if number != live.exchanges:
        number = live.exchanges
        present = set(blocks.volume_devices(live).values()) if record.volumes else set()
        found = tuple(disk.id for disk in command.in_order(record.spec) if nodes.top(disk) in present)
        live.volumes = (number, found)
    return found


def exchange(live: Live, spec: GuestSpec, relays: Relays, unplug_seconds: float) -> None:
    """Make the guest have the volumes of the spec, and no other.

    :raises DriverError: when a volume cannot be reached, QEMU refuses, or the guest does not let go of one in time.
    """
    record = live.place.record()
    if record is None:
        raise DriverError(f"no record of how guest {spec.id} was started")
    wanted = tuple(disk for disk in command.in_order(spec) if disk.kind == "volume")
    if not wanted and not record.volumes:
        return
    for disk in wanted:
        nodes.limits(disk)  # what is not understood is refused before anything is done
    try:
        record = _unplug_others(live, record, {nodes.top(disk) for disk in wanted}, unplug_seconds)
        present = blocks.volume_devices(live)
        for disk in wanted:
            record = _recorded(live, record, disk, present)
            if nodes.top(disk) not in present.values():
                relays.reach(live.place, disk)
                _plug(live, record, disk)
            else:
                _limit(live, disk)
                blocks.widen(live, disk)
                _grow(live, disk, relays)
    finally:
        live.exchanges += 1


def require_no_unplug(place: Place, spec: GuestSpec) -> None:
    """Check that a guest that is suspended is not to let go of a volume.

    :raises DriverError: when it is.
    """
    record = place.record()
    wanted = {disk.id for disk in spec.disks}
    for disk in record.volumes if record else ():
        if disk.id not in wanted:
            raise DriverError(f"the guest cannot let go of volume {disk.id} while it is suspended")


def settle(live: Live) -> None:
    """Let the record name only those volumes and NICs that the guest has, which is how it is to be started when it is resumed."""
    record = live.place.record()
    if record is None:
        return
    present = devices.peripherals(live)
    spec = record.spec
    disks = tuple(disk for disk in spec.disks if disk.kind != "volume" or record.device(disk) in present)
    nics = tuple(nic for nic in spec.nics if nic_device(nic) in present)
    if (disks, nics) != (spec.disks, spec.nics):
        live.place.keep_record(command.placed(replace(record, spec=replace(spec, disks=disks, nics=nics))))


def _unplug_others(live: Live, record: Record, tops: set[str], unplug_seconds: float) -> Record:
    gone = [disk for disk in record.volumes if nodes.top(disk) not in tops]
    if not gone:
        return record
    swaps.drop(live, gone)
    present = blocks.volume_devices(live)
    for disk in gone:
        for device in [device for device, node in present.items() if node == nodes.top(disk)]:
            _unplug(live, device, disk, unplug_seconds)
        blocks.remove(live, disk)
    record = _without(record, gone)
    live.place.keep_record(record)
    return record


def _recorded(live: Live, record: Record, disk: DiskSpec, devices: dict[str, str]) -> Record:
    """Write down that the guest is about to have a volume, and where; with a name of its own where that of its id is taken."""
    before = next((each for each in record.spec.disks if each.id == disk.id), None)
    if before == disk:
        return record
    disks = tuple(disk if each.id == disk.id else each for each in record.spec.disks)
    disks = disks if before is not None else (*disks, disk)
    names = dict(record.devices)
    if before is None:
        name = record.device(disk)
        while devices.get(name, nodes.top(disk)) != nodes.top(disk):
            name += "-"
        names |= {disk.id: name} if name != record.device(disk) else {}
    after = command.placed(replace(record, spec=replace(record.spec, disks=disks), devices=names))
    live.place.keep_record(after)
    return after


def _without(record: Record, gone: Iterable[DiskSpec]) -> Record:
    ids = {disk.id for disk in gone}
    disks = tuple(disk for disk in record.spec.disks if disk.id not in ids)
    names = {disk_id: name for disk_id, name in record.devices.items() if disk_id not in ids}
    return command.placed(replace(record, spec=replace(record.spec, disks=disks), devices=names))


def _plug(live: Live, record: Record, disk: DiskSpec) -> None:
    if disk.bus == "ide":
        raise DriverError(f"volume {disk.id} cannot be plugged into IDE while the guest runs")
    blocks.remove(live, disk)  # what a plug that was cut short left: it may lead to where the volume was served then
    blocks.make(live, disk)
    try:
        if disk.bus == "scsi" and command.SCSI not in devices.peripherals(live):
            live.execute("device_add", command.scsi_controller(record.slots[command.SCSI]))
        live.execute("device_add", command.disk(disk, record))
    except DriverError:
        if not live.process.ended(0):
            blocks.remove(live, disk)
        raise


def _unplug(live: Live, device: str, disk: DiskSpec, timeout_seconds: float) -> None:
    if disk.bus == "ide":
        raise DriverError(f"volume {disk.id} cannot be taken from IDE while the guest runs")
    if live.status != "running" and disk.bus == "virtio":  # over PCI it is the guest's processor that lets go
        raise DriverError(f"the guest cannot let go of volume {disk.id} while it is halted ({live.status})")
    devices.unplug(live, device, f"volume {disk.id}", timeout_seconds)


def _limit(live: Live, disk: DiskSpec) -> None:
    path = {"path": f"/objects/{nodes.LIMITS}{disk.id}", "property": "limits"}
    now = cast(dict[str, int], live.execute("qom-get", path))
    wanted = nodes.limits(disk)
    unset = {key: 1 if key.endswith("-length") else 0 for key in now}
    if now != unset | wanted:
        live.execute("qom-set", path | {"value": unset | wanted})


def _grow(live: Live, disk: DiskSpec, relays: Relays) -> None:
    """Let the guest see that the back end has made a volume larger.

    What serves it said its size when it was connected to, so it is connected to anew, and put in the place of the old one.
    """
    now = blocks.size_bytes(live, nodes.format_node(disk))
    if now >= disk.size_bytes:
        return
    header = now - blocks.size_bytes(live, nodes.content(disk))
    options = nodes.formatted(disk, "")
    if options["driver"] == "raw":
        relays.renew(live.place, disk)
        node = _connect_anew(live, disk)
        live.execute("blockdev-reopen", {"options": [options | {"file": node}]}, timeout_seconds=blocks.BLOCK_SECONDS)
        _remove_other_protocols(live, disk, node)
        size_bytes = blocks.size_bytes(live, node)
    else:
        size_bytes = disk.size_bytes
    if size_bytes < disk.size_bytes:
        raise DriverError(f"volume {disk.id} is served with {size_bytes} bytes where {disk.size_bytes} are expected")
    resize = {"node-name": nodes.top(disk), "size": size_bytes - header}
    live.execute("block_resize", resize, timeout_seconds=blocks.BLOCK_SECONDS)


def _connect_anew(live: Live, disk: DiskSpec) -> str:
    names = [prefix + nodes.name(disk.id) for prefix in nodes.PROTOCOLS]
    _remove_other_protocols(live, disk, "")
    present = blocks.node_names(live)
    node = next(name for name in names if name not in present)
    live.execute("blockdev-add", nodes.protocol(disk, node), timeout_seconds=blocks.BLOCK_SECONDS)
    return node


def _remove_other_protocols(live: Live, disk: DiskSpec, kept: str) -> None:
    """Remove connections that are not used: the one that was replaced, and one that was made and not put in place."""
    for name in {prefix + nodes.name(disk.id) for prefix in nodes.PROTOCOLS} - {kept}:
        with contextlib.suppress(DriverError):
            live.execute("blockdev-del", {"node-name": name})
