"""The disks that are asked for together with a server, under nova's rules: which of them it boots from, what overrides what,
and what each is called.  Pure; facts about images and volumes are asked for elsewhere.

Three lists make one: what the image says, over it what the request says (by device name), and what is left of the flavor.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pileus.kernel.errors import BadRequest, Conflict, Forbidden

DEVICE_NAME = re.compile(r"(?:/dev/)?(x?[a-z]?d?)([a-z]+)[0-9]*")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LOCALS_MAX = 3
BUSES_KNOWN = {"fdc", "ide", "sata", "scsi", "usb", "virtio", "xen", "lxc", "uml"}
BUSES = {"virtio", "scsi", "ide"}
EPHEMERAL = re.compile(r"ephemeral(\d|[1-9]\d+)")
INVALID = "Block Device Mapping is Invalid: "


@dataclass(frozen=True)
class BlockDevice:
    """A disk that is asked for.  size in GiB, that of a swap disk in MiB; boot_index None: not to be booted from."""

    source: str = "blank"
    target: str = "local"
    source_id: str = ""
    size: int | None = None
    boot_index: int | None = None
    name: str = ""
    delete_on_termination: bool = False
    tag: str | None = None
    bus: str | None = None
    device_type: str | None = None
    guest_format: str | None = None
    volume_type: str | None = None
    absent: bool = False

    @property
    def is_volume(self) -> bool:
        """Whether it is a volume."""
        return self.target == "volume" and not self.absent

    @property
    def is_swap(self) -> bool:
        """Whether the guest swaps on it."""
        return self.source == "blank" and self.target == "local" and self.guest_format == "swap" and not self.absent

    @property
    def is_ephemeral(self) -> bool:
        """Whether it is a blank disk of the host's."""
        return self.source == "blank" and self.target == "local" and self.guest_format != "swap" and not self.absent


ROOT_OF_IMAGE = BlockDevice("image", boot_index=0, delete_on_termination=True)


def invalid(text: str, kind: str = "InvalidBDM") -> BadRequest:
    """Return the fault of disks that do not fit together."""
    return BadRequest(INVALID + text, kind=kind)


def root(devices: Sequence[BlockDevice]) -> BlockDevice | None:
    """Return the disk that the server boots from."""
    return next((device for device in devices if device.boot_index == 0 and not device.absent), None)


def from_older(devices: Sequence[BlockDevice], image_id: str, no_root: bool) -> list[BlockDevice]:
    """Give the disks of a request in the older form their places in the boot order.

    :param no_root: the image says already what is booted from.
    """
    if no_root:
        return [replace(device, boot_index=-1) for device in devices]
    if not image_id:
        placed = [replace(device, boot_index=None) for device in devices]
        first = next((n for n, device in enumerate(placed) if device.source != "blank" and not device.absent), None)
        return [replace(device, boot_index=0) if n == first else device for n, device in enumerate(placed)]
    is_root = [device.source in ("volume", "snapshot") and letters(device.name) == "a" for device in devices]
    found = [replace(device, boot_index=0 if it else -1) for device, it in zip(devices, is_root, strict=True)]
    return found if any(is_root) else [replace(ROOT_OF_IMAGE, source_id=image_id), *found]


def of_image(properties: Mapping[str, Any]) -> list[BlockDevice]:
    """Return the disks that an image names, as those that were made of servers on volumes do.

    :raises BadRequest: when they cannot be read.
    """
    text = properties.get("block_device_mapping")
    if not text:
        return []
    try:
        listed = json.loads(text) if isinstance(text, str) else text
        if str(properties.get("bdm_v2", "")).lower() in ("true", "1"):
            return [_of_image(entry) for entry in listed]
        older = [older_form(entry) for entry in listed]
    except (ValueError, TypeError, AttributeError, KeyError):
        raise invalid("The image's block_device_mapping cannot be read.", "InvalidBDMFormat") from None
    return from_older(older, "", no_root=False)


def _of_image(entry: Mapping[str, Any]) -> BlockDevice:
    source = str(entry["source_type"])
    index, size = entry.get("boot_index"), entry.get("volume_size")
    return BlockDevice(
        source, entry.get("destination_type") or "local", str(entry.get(f"{source}_id") or ""),
        None if size is None else int(size), None if index is None else int(index), str(entry.get("device_name") or ""),
        bool(entry.get("delete_on_termination")),
        bus=entry.get("disk_bus"), device_type=entry.get("device_type"), guest_format=entry.get("guest_format"),
        volume_type=entry.get("volume_type"), absent=bool(entry.get("no_device")),
    )  # fmt: skip


def older_form(entry: Mapping[str, Any]) -> BlockDevice:
    """Read a disk in the older form.

    :raises BadRequest: when it is none.
    """
    size = entry.get("volume_size")
    facts: dict[str, Any] = {
        "name": str(entry.get("device_name") or ""), "delete_on_termination": bool(entry.get("delete_on_termination")),
        "size": int(size) if size not in (None, "") else None,
    }  # fmt: skip
    virtual = str(entry.get("virtual_name") or "")
    if virtual == "swap" or EPHEMERAL.fullmatch(virtual):
        return BlockDevice(guest_format="swap" if virtual == "swap" else None, **facts | {"delete_on_termination": True})
    if entry.get("snapshot_id"):
        return BlockDevice("snapshot", "volume", str(entry["snapshot_id"]), **facts)
    if entry.get("volume_id"):
        return BlockDevice("volume", "volume", str(entry["volume_id"]), **facts)
    if "no_device" in entry:
        return BlockDevice(absent=True, **facts)
    raise invalid("Unrecognized legacy format.", "InvalidBDMFormat")


def merge(image_id: str, of_image: Sequence[BlockDevice], asked: Sequence[BlockDevice], older: bool) -> list[BlockDevice]:
    """Return the disks of a request over those of its image.

    :param older: the request is in the older form, or names no disks at all.
    """
    image_has_root = root(of_image) is not None
    if older:
        chosen = from_older(asked, image_id, image_has_root)
    elif image_has_root:
        chosen = [device for device in asked if not (device.boot_index == 0 and device.source == "image")]
    else:
        chosen = list(asked)
    names = {letters(device.name) for device in chosen if device.name}
    both = [*chosen, *(device for device in of_image if not device.name or letters(device.name) not in names)]
    return [device for device in both if not device.absent]


def with_flavor(devices: Sequence[BlockDevice], ephemeral_gib: int, swap_mib: int) -> list[BlockDevice]:
    """Add the disks that a flavor gives to those who say nothing of them, and the sizes of those who name none.

    :raises BadRequest: when more is asked for than the flavor gives.
    """
    found = [_sized(device, ephemeral_gib, swap_mib) for device in devices]
    if ephemeral_gib and not any(device.is_ephemeral for device in found):
        found.append(BlockDevice(size=ephemeral_gib, boot_index=-1, delete_on_termination=True))
    if swap_mib and not any(device.is_swap for device in found):
        found.append(BlockDevice(size=swap_mib, boot_index=-1, delete_on_termination=True, guest_format="swap"))
    if sum(device.size or 0 for device in found if device.is_ephemeral) > ephemeral_gib:
        text = (
            "Ephemeral disks requested are larger than the instance type allows. "
            "If no size is given in one block device mapping, flavor ephemeral size will be used."
        )
        raise BadRequest(text, kind="InvalidBDMEphemeralSize")
    swaps = [device for device in found if device.is_swap]
    if len(swaps) > 1:
        raise invalid("More than one swap drive requested.", "InvalidBDMFormat")
    if swaps and (swaps[0].size or 0) > swap_mib:
        raise BadRequest("Swap drive requested is larger than instance type allows.", kind="InvalidBDMSwapSize")
    return [device for device in found if device.is_volume or device.source == "image" or device.size]


def _sized(device: BlockDevice, ephemeral_gib: int, swap_mib: int) -> BlockDevice:
    if device.size is not None or not (device.is_swap or device.is_ephemeral):
        return device
    return replace(device, size=swap_mib if device.is_swap else ephemeral_gib)


def check(devices: Sequence[BlockDevice], most: int) -> None:
    """Check what can be checked of the disks of a server without asking anybody.

    :param most: how many servers are asked for.
    :raises BadRequest: when they do not fit together.
    """
    if most > 1 and any(device.source == "volume" and device.is_volume for device in devices):
        raise BadRequest("Cannot attach one or more volumes to multiple instances")
    indexes = sorted(device.boot_index for device in devices if device.boot_index is not None and device.boot_index >= 0)
    if not indexes or indexes != list(range(len(indexes))):
        raise invalid(
            "Boot sequence for the instance and image/block device mapping combination is not valid.", "InvalidBDMBootSequence"
        )
    for device in devices:
        _check_kind(device)
    if sum(device.target == "local" for device in devices) > LOCALS_MAX:
        raise invalid("You specified more local devices than the limit allows", "InvalidBDMLocalsLimit")
    if any(device.size == 0 for device in devices if device.is_volume and device.source in ("image", "blank")):
        raise invalid("a volume needs to have a non-zero size.")


def _check_kind(device: BlockDevice) -> None:
    if device.is_volume and not device.size:
        if device.source == "image":
            raise BadRequest("Images with destination_type 'volume' need to have a non-zero size specified", kind="InvalidBDM")
        if device.source == "blank":
            raise BadRequest("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size", kind="InvalidBDM")
    if device.source in ("volume", "snapshot") and device.target == "local":
        raise invalid(f"Mapping {device.source} to local is not supported.", "InvalidBDMFormat")
    if device.bus is not None and device.bus not in BUSES:
        known = "is not valid" if device.bus not in BUSES_KNOWN else "is none that this cloud's hypervisors have"
        raise BadRequest(
            f"Block Device Mapping is invalid: The provided disk bus {device.bus} {known}.", kind="InvalidBDMDiskBus"
        )
    if device.device_type not in (None, "", "disk"):
        raise invalid(f"device_type {device.device_type} is not supported.", "InvalidBDMFormat")


def letters(name: str | None) -> str:
    """Return what tells devices apart: c of /dev/vdc, of sdc and of xvdc1.  "": it is no name of a device."""
    found = DEVICE_NAME.fullmatch(name or "")
    return found[2] if found else ""


def local_name(disk: Mapping[str, Any], number: int) -> str:
    """Return what a disk of the host's is called, as it stands in its server's row; number counts from the first."""
    return str(disk.get("device") or f"/dev/vd{LETTERS[number]}")


def name_all(devices: Sequence[BlockDevice]) -> list[BlockDevice]:
    """Give every disk a name of its own: the one it asks for, else the next that is free; the root disk chooses first."""
    order = sorted(range(len(devices)), key=lambda n: (devices[n].boot_index != 0, not letters(devices[n].name), n))
    used: set[str] = set()
    names: dict[int, str] = {}
    for number in order:
        on_host = devices[number].source == "image" and not devices[number].is_volume
        wanted = "a" if on_host else letters(devices[number].name)
        name = wanted if wanted and wanted not in used else _unused(used)
        used.add(name)
        names[number] = f"/dev/vd{name}"
    return [replace(device, name=names[number]) for number, device in enumerate(devices)]


def next_name(used: Sequence[str], wanted: str = "") -> str:
    """Return the name of another disk: the wanted one, else the next that is free.

    :raises Conflict: when the wanted one is taken.
    :raises Forbidden: when there are as many disks as there may be.
    """
    taken = {letters(name) for name in used}
    if len(taken) >= len(LETTERS):
        text = f"The maximum allowed number of disk devices ({len(LETTERS)}) to attach to a single instance has been exceeded."
        raise Forbidden(text, kind="TooManyDiskDevices")
    asked = letters(wanted)
    if asked in taken:
        raise Conflict(f"The supplied device path ({wanted}) is in use.", kind="DevicePathInUse")
    return f"/dev/vd{asked or _unused(taken)}"


def _unused(used: set[str]) -> str:
    free = (letter for letter in LETTERS if letter not in used)
    found = next(free, None)
    if found is None:
        raise invalid(f"there can be {len(LETTERS)} disks at most.")
    return found
