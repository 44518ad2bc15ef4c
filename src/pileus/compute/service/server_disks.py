"""What disks a new server gets: the request's, the image's and the flavor's put together, looked up, and written down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from pileus.compute import block_devices, neighbours
from pileus.compute.block_devices import BlockDevice
from pileus.compute.neighbours.images import ImageFacts
from pileus.compute.store.flavors import Flavor
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, Fault, Forbidden, NotFound

OLD_MULTIATTACH = BadRequest(
    "Multiattach volumes are only supported starting with compute API version 2.60.",
    kind="MultiattachNotSupportedOldMicroversion",
)
KEPT = {
    "image_id", "image_name", "min_disk", "min_ram", "disk_format", "container_format", "size", "checksum", "owner_specified",
}  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """The disks that are asked for.

    :param older: in the form of nova's first years, or none at all.
    :param shares: the caller knows that a volume may be attached to several servers (2.60).
    """

    image_id: str = ""
    devices: Sequence[BlockDevice] = ()
    older: bool = True
    shares: bool = False


@dataclass(frozen=True)
class Plan:
    """The disks that each of the servers gets.  image says what is booted, also where that is on a volume; sizes_gib are
    those of volumes that are there already, by id."""

    devices: Sequence[BlockDevice]
    image: ImageFacts
    sizes_gib: Mapping[str, int] = field(default_factory=dict)

    @property
    def root(self) -> BlockDevice:
        """The disk that the server boots from."""
        found = block_devices.root(self.devices)
        if found is None:
            raise RuntimeError("a plan without a root disk")
        return found


def plan(ctx: Context, wish: Wish, flavor: Flavor, most: int) -> Plan:
    """Put the disks of servers together and look at what they are made of.

    :raises BadRequest: when something is not there or does not fit together.
    """
    image = _image(ctx, wish.image_id) if wish.image_id else None
    if wish.image_id and not wish.older:
        for device in wish.devices:
            if device.is_volume and block_devices.letters(device.name) == "a":
                raise BadRequest("The volume cannot be assigned the same device name as the root device vda")
    own = block_devices.of_image(image.properties if image else {})
    merged = block_devices.merge(wish.image_id, own, wish.devices, wish.older)
    devices = block_devices.with_flavor(merged, flavor.ephemeral_gib, flavor.swap_mib)
    block_devices.check(devices, most)
    found = _looked_up(ctx, wish, block_devices.name_all(devices), image)
    if image and not found.root.is_volume:
        neighbours.images.require_direct(image)
    return found


def _image(ctx: Context, image_id: str) -> ImageFacts:
    try:
        return neighbours.images.image_to_boot(ctx, image_id)
    except NotFound:
        raise BadRequest("Can not find requested image") from None


def _looked_up(ctx: Context, wish: Wish, devices: Sequence[BlockDevice], image: ImageFacts | None) -> Plan:
    sizes_gib: dict[str, int] = {}
    found: dict[str, ImageFacts] = {}
    for device in devices:
        if device.source == "image" and device.source_id != wish.image_id:
            found[device.source_id] = _image_of_device(ctx, device.source_id)
    with ctx.cloud.db.read() as tx:
        for device in devices:
            facts = _volume(tx, ctx, device, wish.shares)
            if facts is None:
                continue
            sizes_gib[device.source_id] = facts.size_gib
            if device.boot_index == 0 and not wish.image_id:
                if not facts.bootable:
                    text = f"Block Device {facts.id} is not bootable."
                    raise BadRequest(text, kind="InvalidBDMVolumeNotBootable")
                image = of_volume(facts.image_metadata)
    root = block_devices.root(devices)
    if root is not None and root.source_id in found:
        image = found[root.source_id]
    return Plan(devices, image or of_volume({}), sizes_gib)


def _image_of_device(ctx: Context, image_id: str) -> ImageFacts:
    try:
        return neighbours.images.image_to_boot(ctx, image_id)
    except Fault:
        raise block_devices.invalid(f"failed to get image {image_id}.", "InvalidBDMImage") from None


def _volume(tx: Connection, ctx: Context, device: BlockDevice, shares: bool) -> Any:
    """Return what is known of the volume or snapshot that a disk is of."""
    if device.source == "volume":
        try:
            facts = neighbours.volumes.facts(tx, ctx, device.source_id)
        except (NotFound, Forbidden):
            raise block_devices.invalid(f"failed to get volume {device.source_id}.", "InvalidBDMVolume") from None
        if facts.multiattach and not shares:
            raise OLD_MULTIATTACH
        return facts
    if device.source != "snapshot":
        return None
    try:
        return neighbours.volumes.snapshot_facts(tx, ctx, device.source_id)
    except (NotFound, Forbidden):
        raise block_devices.invalid(f"failed to get snapshot {device.source_id}.", "InvalidBDMSnapshot") from None


def of_volume(metadata: Mapping[str, str]) -> ImageFacts:
    """Return what is known of the image that a volume was made of."""
    properties = {key: value for key, value in metadata.items() if key not in KEPT}
    return ImageFacts(
        metadata.get("image_id", ""), metadata.get("image_name", ""), metadata.get("disk_format", ""),
        _number(metadata.get("min_disk")), _number(metadata.get("min_ram")), 0, properties,
    )  # fmt: skip


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def check_fit(ctx: Context, flavor: Flavor, made: Plan, zero_disk_rule: str) -> None:
    """Check that what is booted fits on the flavor, or on the volume it is put on.

    :raises BadRequest: when it does not.
    :raises Forbidden: when the flavor has no disk and one is needed of it.
    """
    image, root = made.image, made.root
    if image.min_ram > flavor.memory_mib:
        raise BadRequest("Flavor's memory is too small for requested image.", kind="FlavorMemoryTooSmall")
    if root.is_volume:
        if root.source == "image" and image.min_disk > (root.size or 0):
            raise BadRequest(
                f"Volume is smaller than the minimum size specified in image metadata. Volume size is {(root.size or 0) << 30} "
                f"bytes, minimum size is {image.min_disk << 30} bytes.",
                kind="VolumeSmallerThanMinDisk",
            )
        return
    if not flavor.disk_gib:
        if not ctx.can(zero_disk_rule):
            raise Forbidden("Only volume-backed servers are allowed for flavors with zero disk.")
        return
    if image.virtual_size_bytes > flavor.disk_gib << 30:
        raise BadRequest(
            f"Flavor's disk is too small for requested image. Flavor disk is {flavor.disk_gib << 30} bytes, "
            f"image is {image.virtual_size_bytes} bytes.",
            kind="FlavorDiskSmallerThanImage",
        )
    if image.min_disk > flavor.disk_gib:
        raise BadRequest(
            f"Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is "
            f"{flavor.disk_gib << 30} bytes, minimum size is {image.min_disk << 30} bytes.",
            kind="FlavorDiskSmallerThanMinDisk",
        )
    if (root.size or 0) > flavor.disk_gib:
        raise block_devices.invalid("the root disk is larger than the flavor's.")


def local_disks(flavor: Flavor, made: Plan) -> list[dict[str, Any]]:
    """Return the disks that the server's row keeps: those that its host makes, the root disk first."""
    found = []
    for device in sorted(made.devices, key=lambda device: device.boot_index != 0):
        if device.is_volume:
            continue
        facts: dict[str, Any] = {"device": device.name}
        facts |= {"tag": device.tag} if device.tag else {}
        facts |= {"bus": device.bus} if device.bus else {}
        if device.source == "image":
            found.append({"kind": "image", "size_gib": flavor.disk_gib if device.size is None else device.size, **facts})
        elif device.is_swap:
            found.append({"kind": "blank", "size_mib": device.size, "swap": True, **facts})
        else:
            found.append({"kind": "blank", "size_gib": device.size, **facts})
    return found


def make_volumes(tx: Connection, ctx: Context, made: Plan, server_id: str) -> list[dict[str, Any]]:
    """Make or take the volumes of a server; returns what is written down of them.

    :raises BadRequest: when one cannot be had.
    :raises OverQuota: when the project has no room for them.
    """
    rows = []
    for device in made.devices:
        if not device.is_volume:
            continue
        try:
            volume_id = device.source_id if device.source == "volume" else _make(tx, ctx, device, server_id)
            attachment_id = neighbours.volumes.reserve(tx, ctx, volume_id, server_id, device=device.name, of_building=True)
        except (NotFound, Conflict) as error:
            raise BadRequest(error.message, kind=error.kind) from None
        rows.append(row_of(ctx, server_id, volume_id, attachment_id, device) | {
            "size_gib": device.size or made.sizes_gib.get(device.source_id, 0), "request_id": ctx.request_id,
        })  # fmt: skip
    return rows


def _make(tx: Connection, ctx: Context, device: BlockDevice, server_id: str) -> str:
    name = f"{server_id}-blank-vol" if device.source == "blank" else ""
    made_of = {f"{device.source}_id": device.source_id} if device.source in ("image", "snapshot") else {}
    return neighbours.volumes.create(tx, ctx, name, device.size, volume_type=device.volume_type, **made_of)


def row_of(ctx: Context, server_id: str, volume_id: str, attachment_id: str, device: BlockDevice) -> dict[str, Any]:
    """Return what is written down of a volume of a server, without its size."""
    return {
        "id": ids.uuid(), "server_id": server_id, "volume_id": volume_id, "attachment_id": attachment_id, "state": "attaching",
        "device_name": device.name, "boot_index": device.boot_index, "source_type": device.source,
        "source_id": device.source_id if device.source in ("image", "snapshot") else None,
        "delete_on_termination": device.delete_on_termination, "tag": device.tag, "disk_bus": device.bus,
        "device_type": device.device_type, "volume_type": device.volume_type, "forced": False,
        "created_at": ctx.cloud.clock.now(),
    }  # fmt: skip
