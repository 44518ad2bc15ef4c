"""A guest's spec as the arguments of QEMU.  Pure: nothing is looked up here.

The guest is made halted (-S), so that it can be put under its limits before its processor runs.  Devices and disks are
given as JSON, the same that QMP takes for hot-plug, so no character of a path or a name has a meaning of its own.
"""

import json
import re
from pathlib import Path

from pileus.compute.driver import DiskSpec, DriverError, GuestSpec, NicSpec
from pileus.compute.drivers.qemu.place import Place, Record, nic_device

CONFIG_DRIVE, RANDOM, SCSI = "config-drive", "random", "scsi"
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
TAP = re.compile(r"[A-Za-z0-9_.-]{1,15}")

Device = dict[str, object]


def devices(spec: GuestSpec) -> list[str]:
    """The ids of all devices that take a PCI slot, in the order in which a new guest gets them."""
    names = [RANDOM]
    names += [SCSI] if any(disk.bus == "scsi" for disk in spec.disks) else []
    names += [disk_device(disk) for disk in spec.disks if disk.bus == "virtio"]
    names += [CONFIG_DRIVE] if spec.config_drive is not None else []
    return names + [nic_device(nic) for nic in spec.nics]


def disk_device(disk: DiskSpec) -> str:
    return f"disk-{disk.id}"


def disk_node(index: int) -> str:
    return f"disk{index}"


def netdev(nic: NicSpec) -> dict[str, str]:
    """The host's side of a NIC.

    :raises DriverError: when the name of its tap cannot be that of an interface.
    """
    if not TAP.fullmatch(nic.tap):
        raise DriverError(f"{nic.tap!r} is no name of a network interface")
    return {"type": "tap", "id": f"net-{nic.port_id}", "ifname": nic.tap, "script": "no", "downscript": "no"}


def nic(spec: NicSpec, slot: int) -> Device:
    """The guest's side of a NIC.  It has no boot ROM: that would cost each start half a second."""
    card: Device = {"driver": "virtio-net-pci", "netdev": f"net-{spec.port_id}", "mac": spec.mac, "host_mtu": spec.mtu}
    return _at(slot, nic_device(spec), card | {"romfile": ""})


def arguments(record: Record, place: Place, qemu: str, cpu_model: str, tcg_cache_mib: int) -> list[str]:
    """The command line of a guest that is to be started as the record says."""
    spec, slots = record.spec, record.slots
    accelerator = f"tcg,tb-size={tcg_cache_mib}" if record.accelerator == "tcg" else record.accelerator
    command = [qemu, "-name", f"guest={spec.id}", "-uuid", spec.id, "-S", "-nodefaults", "-no-user-config"]
    command += ["-machine", "pc,usb=off,hpet=off,vmport=off", "-accel", accelerator, "-cpu", cpu_model]
    command += ["-smp", str(spec.vcpus), "-m", f"{spec.memory_mib}M", "-boot", "strict=on", "-rtc", "base=utc"]
    command += ["-smbios", _smbios(spec)]
    command += ["-bios", spec.firmware] if spec.firmware else []
    command += ["-pidfile", "pid", "-chardev", "socket,id=qmp,path=qmp,server=on,wait=off", "-mon", "chardev=qmp,mode=control"]
    command += ["-chardev", "socket,id=serial,path=serial,server=on,wait=off,logfile=console.log,logappend=on"]
    command += _json({"driver": "isa-serial", "chardev": "serial", "id": "serial0"})
    command += ["-vnc", "unix:vnc", *_json(_at(2, "video", {"driver": "VGA"}))]
    command += ["-object", "rng-random,id=entropy,filename=/dev/urandom"]
    command += _json(_at(slots[RANDOM], RANDOM, {"driver": "virtio-rng-pci", "rng": "entropy"}))
    command += _json(_at(slots[SCSI], SCSI, {"driver": "virtio-scsi-pci"})) if SCSI in slots else []
    for index, disk in enumerate(spec.disks):
        command += ["-blockdev", json.dumps(_blockdev(disk, index, place.disk(disk.id)))]
        command += _json(_disk(disk, index, slots))
    if spec.config_drive is not None:
        file = {"driver": "file", "filename": str(place.config_drive), "read-only": True}
        command += ["-blockdev", json.dumps({"driver": "raw", "node-name": "config", "read-only": True, "file": file})]
        command += _json(_at(slots[CONFIG_DRIVE], CONFIG_DRIVE, {"driver": "virtio-blk-pci", "drive": "config"}))
    for card in spec.nics:
        command += ["-netdev", ",".join(f"{key}={value}" for key, value in netdev(card).items()).removeprefix("type=")]
        command += _json(nic(card, slots[nic_device(card)]))
    return command


def _json(device: Device) -> list[str]:
    return ["-device", json.dumps(device)]


def _at(slot: int, name: str, device: Device) -> Device:
    return device | {"id": name, "bus": "pci.0", "addr": f"{slot:#x}"}


def _disk(disk: DiskSpec, index: int, slots: dict[str, int]) -> Device:
    device: Device = {"drive": disk_node(index)}
    if disk.serial:
        device["serial"] = disk.serial
    if disk.boot_index is not None:
        device["bootindex"] = disk.boot_index
    name = disk_device(disk)
    if disk.bus == "virtio":
        return _at(slots[name], name, device | {"driver": "virtio-blk-pci"})
    if disk.bus == "scsi":
        return device | {"driver": "scsi-hd", "bus": f"{SCSI}.0", "id": name}
    return device | {"driver": "ide-hd", "id": name}


def _blockdev(disk: DiskSpec, index: int, path: Path) -> Device:
    """The whole chain is spelt out, so that QEMU opens no file that an image names."""
    base: Device | None = None
    if disk.kind == "image":
        file: Device = {"driver": "file", "filename": disk.source, "read-only": True}
        base = {"driver": disk.source_format, "read-only": True, "file": file}
        base |= {"backing": None} if disk.source_format == "qcow2" else {}
    file = {"driver": "file", "filename": str(path), "discard": "unmap"}
    return {"driver": "qcow2", "node-name": disk_node(index), "discard": "unmap", "file": file, "backing": base}


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
