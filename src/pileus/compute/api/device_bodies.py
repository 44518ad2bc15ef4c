"""From the disks in the body of a request for a server to what the use case takes."""

from typing import Any

from msgspec import UNSET

from pileus.compute.api.given import given, id_of
from pileus.compute.block_devices import BlockDevice, invalid, older_form
from pileus.compute.schemas import servers as schemas
from pileus.compute.schemas.fields import read_bool
from pileus.compute.service.server_disks import Wish
from pileus.kernel.errors import BadRequest
from pileus.kernel.microversion import Version

OLDER_FIELDS = (
    "virtual_name", "volume_id", "snapshot_id", "volume_size", "device_name", "delete_on_termination", "no_device",
)  # fmt: skip


def read_disks(server: schemas.Server, version: Version) -> Wish:
    """Return the disks that are asked for.

    :raises BadRequest: when they are not worded as the microversion has it, or there is nothing to boot from.
    """
    image_id = id_of(given(server.image, ""))
    old, new = given(server.block_device_mapping) or (), given(server.block_device_mapping_v2) or ()
    if old and new:
        raise BadRequest("Using different block_device_mapping syntaxes is not allowed in the same request.")
    if not (image_id or old or new):
        raise BadRequest("Missing imageRef attribute")
    devices = [_older(device) for device in old] or [_newer(device, version, bool(image_id)) for device in new]
    return Wish(image_id, devices, not new, version >= (2, 60))


def _older(device: schemas.LegacyDevice) -> BlockDevice:
    facts: dict[str, Any] = {name: value for name in OLDER_FIELDS if (value := getattr(device, name)) is not UNSET}
    if "delete_on_termination" in facts:
        facts["delete_on_termination"] = read_bool(facts["delete_on_termination"])
    return older_form(facts)


def _newer(device: schemas.Device, version: Version, image_given: bool) -> BlockDevice:
    if device.tag is not UNSET and version != (2, 32) and version < (2, 42):
        raise schemas.unexpected("tag")
    if device.volume_type is not UNSET and version < (2, 67):
        raise schemas.unexpected("volume_type")
    name = given(device.device_name, "")
    if given(device.no_device):
        return BlockDevice(name=name, absent=True)
    source, target, volume_type = given(device.source_type), given(device.destination_type), given(device.volume_type)
    index, size = given(device.boot_index), given(device.volume_size)
    index = None if index is None else int(index)
    source_id = _source_id(device, source)
    if source == "image" and target in ("local", None) and not (image_given and index == 0):
        raise invalid("Mapping image to local is not supported.", "InvalidBDMFormat")
    if target != "volume" and volume_type:
        raise invalid("Specifying a volume_type with destination_type=local is not supported.", "InvalidBDMFormat")
    if source == "volume" and volume_type:
        raise invalid("Specifying volume type to existing volume is not supported.", "InvalidBDMFormat")
    return BlockDevice(
        source, target or ("volume" if source in ("volume", "snapshot") else "local"), source_id,
        None if size is None else int(size), index, name, read_bool(given(device.delete_on_termination, False)),
        given(device.tag), given(device.disk_bus), given(device.device_type), given(device.guest_format), volume_type,
    )  # fmt: skip


def _source_id(device: schemas.Device, source: str | None) -> str:
    if source is None:
        raise invalid("Some required fields are missing", "InvalidBDMFormat")
    named = given(device.uuid)
    if source == "blank":
        if named:
            raise invalid("Invalid device UUID.", "InvalidBDMFormat")
        return ""
    named = named or given(getattr(device, f"{source}_id"))
    if not named:
        raise invalid("Missing device UUID.", "InvalidBDMFormat")
    return str(named)
