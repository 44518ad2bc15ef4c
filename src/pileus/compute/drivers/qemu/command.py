"""A guest's spec as the arguments of QEMU.  Pure: nothing is looked up here.

The guest is made halted (-S), so that it can be put under its limits before its processor runs.  Devices and disks are
given as JSON, the same that QMP takes for hot-plug, so no character of a path or a name has a meaning of its own.

The machine is `pc`.  Behind its 32 PCI slots a bridge has 31 more, which costs a start nothing measurable and takes hot-plug by
ACPI like the others; `q35` with as many ports for hot-plug starts slower.  The config drive is a CD on IDE: it takes no name from
the disks, so that the first volume of a guest with one disk is vdb.
"""

import json
import re
from dataclasses import replace

from pileus.compute.driver import DiskSpec, DriverError, GuestSpec, NicSpec
from pileus.compute.drivers.qemu import nodes
from pileus.compute.drivers.qemu.place import BRIDGE_SLOT, SCSI_UNITS, SLOTS, Place, Record, nic_device, numbered

CONFIG_DRIVE, RANDOM, SCSI, USB, BRIDGE = "config-drive", "random", "scsi", "usb", "more"
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
TAP = re.compile(r"[A-Za-z0-9_.-]{1,15}")

Device = dict[str, object]

# A guest that finds no room on the back end is halted, and goes on with the same write when it is told to: there may be room
# then, and an I/O error would turn its file systems read-only.  All other errors are told to the guest.  Who else may write to a
# volume is for its back end to say.
VOLUME_POLICY: Device = {"werror": "enospc", "rerror": "report", "share-rw": True}


def placed(record: Record) -> Record:
    """Return the record with a place for each device of its spec: the one it has, else the first that is free.

    :raises DriverError: when there are too many.
    """
    spec = record.spec
    on_scsi = [record.device(disk) for disk in in_order(spec) if disk.bus == "scsi"]
    on_pci = [RANDOM] + ([SCSI] if on_scsi or SCSI in record.slots else [])  # a controller stays when its last disk has gone
    on_pci += [USB] if any(disk.bus == "usb" for disk in spec.disks) else []
    on_pci += [record.device(disk) for disk in in_order(spec) if disk.bus == "virtio"]
    on_pci += [nic_device(nic) for nic in spec.nics]
    slots = numbered(record.slots, on_pci, SLOTS, "PCI slot")
    return replace(record, slots=slots, units=numbered(record.units, on_scsi, SCSI_UNITS, "SCSI address"))


def in_order(spec: GuestSpec) -> list[DiskSpec]:
    """The disks in the order in which the guest is to see them: as they stand, volumes among themselves by the name asked for."""
    volumes = iter(sorted((disk for disk in spec.disks if disk.kind == "volume"), key=_asked))
    return [next(volumes) if disk.kind == "volume" else disk for disk in spec.disks]


def _asked(disk: DiskSpec) -> tuple[bool, bool, int, str]:
    return disk.boot_index is None, not disk.device, len(disk.device), disk.device  # vdz comes before vdaa


def netdev(nic: NicSpec, plain: bool = False) -> dict[str, str | bool]:
    """The host's side of a NIC; `plain`: the guest cuts its segments and computes its checksums itself.

    :raises DriverError: when the name of its tap cannot be that of an interface.
    """
    if not TAP.fullmatch(nic.tap):
        raise DriverError(f"{nic.tap!r} is no name of a network interface")
    found: dict[str, str | bool] = {"type": "tap", "id": f"net-{nic.port_id}", "ifname": nic.tap}
    return found | {"script": "no", "downscript": "no"} | ({"vnet_hdr": False} if plain else {})


def nic(spec: NicSpec, slot: int) -> Device:
    """The guest's side of a NIC.  It has no boot ROM: that would cost each start half a second."""
    card: Device = {"driver": "virtio-net-pci", "netdev": f"net-{spec.port_id}", "mac": spec.mac, "host_mtu": spec.mtu}
    return _at(slot, nic_device(spec), card | {"romfile": ""})


def scsi_controller(slot: int) -> Device:
    return _at(slot, SCSI, {"driver": "virtio-scsi-pci"})


def disk(spec: DiskSpec, record: Record) -> Device:
    """The guest's side of a disk."""
    device: Device = {"drive": nodes.top(spec)}
    serial = spec.serial or (spec.id if spec.kind == "volume" else "")
    device |= {"serial": serial} if serial else {}
    device |= {"bootindex": spec.boot_index} if spec.boot_index is not None else {}
    device |= VOLUME_POLICY if spec.kind == "volume" else {}
    name = record.device(spec)
    if spec.bus == "virtio":
        return _at(record.slots[name], name, device | {"driver": "virtio-blk-pci"})
    if spec.bus == "scsi":
        place = {"bus": f"{SCSI}.0", "channel": 0, "scsi-id": record.units[name], "lun": 0}
        return device | {"driver": "scsi-cd" if spec.is_cdrom else "scsi-hd", "id": name} | place
    if spec.bus == "usb":
        return device | {"driver": "usb-storage", "id": name, "bus": f"{USB}.0"}
    return device | {"driver": "ide-cd" if spec.is_cdrom else "ide-hd", "id": name}


def arguments(
    record: Record, place: Place, qemu: str, cpu_model: str, tcg_cache_mib: int, plain_frames: bool = False
) -> list[str]:
    """The command line of a guest that is to be started as the record says."""
    spec, slots = record.spec, record.slots
    accelerator = f"tcg,tb-size={tcg_cache_mib}" if record.accelerator == "tcg" else record.accelerator
    command = [qemu, "-name", f"guest={spec.id}", "-uuid", spec.id, "-S", "-nodefaults", "-no-user-config"]
    command += ["-machine", f"{record.model},usb=off,hpet=off,vmport=off", "-accel", accelerator, "-cpu", cpu_model]
    command += ["-smp", str(spec.vcpus), "-m", f"{spec.memory_mib}M", "-boot", "strict=on", "-rtc", "base=utc"]
    command += ["-smbios", _smbios(spec)]
    command += ["-bios", spec.firmware] if spec.firmware else []
    command += ["-pidfile", "pid", "-chardev", "socket,id=qmp,path=qmp,server=on,wait=off", "-mon", "chardev=qmp,mode=control"]
    command += ["-chardev", "socket,id=serial,path=serial,server=on,wait=off,logfile=console.log,logappend=on"]
    command += _json({"driver": "isa-serial", "chardev": "serial", "id": "serial0"})
    command += ["-vnc", "unix:vnc", *_json(_at(2, "video", {"driver": "VGA"}))]
    command += ["-object", "rng-random,id=entropy,filename=/dev/urandom"]
    command += _json(_at(slots[RANDOM], RANDOM, {"driver": "virtio-rng-pci", "rng": "entropy"}))
    command += _json(_at(BRIDGE_SLOT, BRIDGE, {"driver": "pci-bridge", "chassis_nr": 1}))
    command += _json(scsi_controller(slots[SCSI])) if SCSI in slots else []
    command += _json(_at(slots[USB], USB, {"driver": "qemu-xhci"})) if USB in slots else []
    for each in in_order(spec):
        for needed in nodes.objects(each):
            command += ["-object", json.dumps(needed.options | _secret_file(needed, place))]
        command += ["-blockdev", json.dumps(nodes.stack(each, place)), *_json(disk(each, record))]
    if spec.config_drive is not None:
        file = {"driver": "file", "filename": str(place.config_drive), "read-only": True}
        command += ["-blockdev", json.dumps({"driver": "raw", "node-name": "config", "read-only": True, "file": file})]
        command += _json({"driver": "ide-cd", "id": CONFIG_DRIVE, "drive": "config"})
    for card in spec.nics:
        words = {key: value or "off" for key, value in netdev(card, plain_frames).items()}
        command += ["-netdev", ",".join(f"{key}={value}" for key, value in words.items()).removeprefix("type=")]
        command += _json(nic(card, slots[nic_device(card)]))
    return command


def source(disk: DiskSpec, place: Place) -> list[str]:
    """What a disk is in the words of qemu-img: its objects and its nodes, without a throttle."""
    bare = replace(disk, limits={})
    needed = [each for each in nodes.objects(bare) if each.options["qom-type"] != "throttle-group"]
    objects = [json.dumps(each.options | _secret_file(each, place)) for each in needed]
    return [*(part for each in objects for part in ("--object", each)), f"json:{json.dumps(nodes.readable(bare, place))}"]


def _json(device: Device) -> list[str]:
    return ["-device", json.dumps(device)]


def _at(slot: int, name: str, device: Device) -> Device:
    bus, number = ("pci.0", slot) if slot < 32 else (BRIDGE, slot - 32)
    return device | {"id": name, "bus": bus, "addr": f"{number:#x}"}


def _secret_file(needed: nodes.Object, place: Place) -> Device:
    return {"file": str(place.secrets / needed.id)} if needed.secret else {}


def _smbios(spec: GuestSpec) -> str:
    texts = {
        "manufacturer": spec.smbios.manufacturer,
        "product": spec.smbios.product,
        "version": spec.smbios.version,
        "serial": spec.id,
        "uuid": spec.id,
        "family": spec.smbios.family,
    }
    return "type=1," + ",".join(f"{key}={value.replace(',', ',,')}" for key, value in texts.items())
