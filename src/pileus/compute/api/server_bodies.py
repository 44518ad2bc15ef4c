"""From bodies to what the use cases take."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from pileus.compute.neighbours import NicRequest
from pileus.compute.schemas import servers as schemas
from pileus.compute.schemas.fields import read_bool, read_int
from pileus.compute.service.server_create import Wanted
from pileus.kernel import ids
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call
from pileus.kernel.microversion import Version

COUNT_MAX = 10_000


def given(value: Any, default: Any = None) -> Any:
    """Return a field's value, or a default when it was not given."""
    return default if value is UNSET else value


def id_of(reference: str) -> str:
    """Return the id at the end of a reference, which older clients give as a URL."""
    return reference.rstrip("/").rpartition("/")[2]


def read_create(call: Call) -> Wanted:
    """Return what POST /servers asks for.

    :raises BadRequest: when fields do not fit the microversion or one another.
    """
    server: schemas.Server = call.body.server
    version = call.version
    schemas.check(version, server, schemas.CREATE_SINCE)
    _check_formats(server)
    least = read_int(given(server.min_count, 1))
    most = read_int(given(server.max_count, least))
    if least > most:
        raise BadRequest("min_count must be <= max_count")
    if most > COUNT_MAX:
        raise BadRequest(f"Invalid input for field/attribute max_count. Value: {most}. {COUNT_MAX} is the most")
    image_id, disks, root_gib = read_disks(server, version)
    return Wanted(
        name=server.name,
        flavor_id=id_of(str(server.flavor)),
        image_id=image_id,
        description=given(server.description) if version >= (2, 19) else server.name,
        hostname=given(server.hostname),
        networks=read_networks(server.networks, version),
        security_groups=_groups(server.security_groups),
        disks=disks,
        root_gib=root_gib,
        key_name=given(server.key_name),
        user_data=given(server.user_data),
        metadata=given(server.metadata, {}),
        tags=given(server.tags, ()),
        personality=read_personality(server.personality),
        config_drive=read_bool(given(server.config_drive, False)),
        admin_password=given(server.admin_password, ""),
        zone=given(server.availability_zone),
        host=given(server.host),
        hypervisor_hostname=given(server.hypervisor_hostname),
        hints=read_hints(call.body),
        trusted_certificates=given(server.trusted_image_certificates),
        access_ipv4=read_address(given(server.access_ipv4, "")),
        access_ipv6=read_address(given(server.access_ipv6, "")),
        disk_config=given(server.disk_config, "AUTO"),
        least=least,
        most=most,
    )


def _check_formats(server: schemas.Server) -> None:
    if isinstance(server.image, str) and server.image:
        schemas.check_uuid("imageRef", id_of(server.image))
    schemas.check_base64("user_data", server.user_data)


def read_address(text: str) -> str:
    """Return an address that was checked before in its shortest form."""
    return str(ipaddress.ip_address(text)) if text else ""


def read_values(body: Any, *names: str) -> dict[str, Any]:
    """Return those of a body's fields that are given, addresses in their shortest form."""
    found = {name: value for name in names if (value := getattr(body, name)) is not UNSET}
    return found | {name: read_address(value) for name, value in found.items() if name in ("access_ipv4", "access_ipv6")}


def _groups(names: Sequence[schemas.GroupName] | UnsetType) -> list[str]:
    if names is UNSET:
        return ["default"]
    return list(dict.fromkeys(group.name for group in names if isinstance(group.name, str)))


def read_networks(
    networks: Sequence[schemas.NetworkItem] | str | UnsetType, version: Version
) -> Sequence[NicRequest] | str | None:
    """Return the NICs that are asked for.

    :raises BadRequest: when they are not worded as the microversion has it.
    """
    if networks is UNSET:
        if version >= (2, 37):
            raise BadRequest("Invalid input for field/attribute server. 'networks' is a required property")
        return None
    if isinstance(networks, str):
        if version < (2, 37):
            raise BadRequest(f"Invalid input for field/attribute networks. Value: {networks}. It is not of type 'array'")
        return networks
    found: list[NicRequest] = []
    for item in networks:
        if item.tag is not UNSET and (version < (2, 32) or (2, 37) <= version < (2, 42)):
            raise schemas.unexpected("tag")
        schemas.check_address("fixed_ip", item.fixed_ip)
        schemas.check_uuid("port", item.port)
        if isinstance(item.port, str) and item.port:
            if item.port in [nic.port_id for nic in found]:
                raise BadRequest(f"Port ID '{item.port}' was specified twice: you cannot attach a port multiple times.")
            if item.fixed_ip is not UNSET:
                raise BadRequest(
                    f"Specified Fixed IP '{item.fixed_ip}' cannot be used with port '{item.port}': "
                    "the two cannot be specified together."
                )
            found.append(NicRequest(port_id=item.port, tag=given(item.tag)))
            continue
        if item.uuid is UNSET:
            raise BadRequest("Bad network format: missing 'uuid'")
        if not ids.is_uuid(item.uuid):
            raise BadRequest(f"Bad networks format: network uuid is not in proper format ({item.uuid})")
        found.append(NicRequest(network_id=item.uuid, fixed_ip=given(item.fixed_ip), tag=given(item.tag)))
    return found


def read_personality(files: Sequence[schemas.Personality] | UnsetType) -> list[tuple[str, str]]:
    """Return the files to be put on the config drive.  :raises BadRequest: when a content is not base64."""
    found = []
    for file in given(files, ()):
        if file.path is UNSET or file.contents is UNSET:
            raise BadRequest("Bad personality format: missing path or contents")
        schemas.check_base64("contents", file.contents)
        found.append((file.path, file.contents))
    return found


def read_hints(body: schemas.CreateServer) -> Mapping[str, Any]:
    """Return the scheduler hints.  :raises BadRequest: when one that names servers or a group does not."""
    hints: Mapping[str, Any] = given(body.hints, given(body.old_hints, {}))
    for name in ("group", "same_host", "different_host"):
        values = hints.get(name)
        for value in values if isinstance(values, list) else [values] if name in hints else []:
            if not (isinstance(value, str) and ids.is_uuid(value)):
                raise BadRequest(f"Invalid input for field/attribute {name}. Value: {value}. It is not a 'uuid'")
    return hints


def read_disks(server: schemas.Server, version: Version) -> tuple[str, list[dict[str, Any]] | None, int | None]:
    """Return the image, the disks beside the root disk (None: not said) and the root disk's size.

    :raises BadRequest: when block devices are asked for that this cloud has not, such as volumes, or that do not fit together.
    """
    image_id = id_of(given(server.image, ""))
    old, new = given(server.block_device_mapping), given(server.block_device_mapping_v2)
    if old is not None and new is not None:
        raise BadRequest("Using different block_device_mapping syntaxes is not allowed in the same request.")
    for device in old or ():
        if device.no_device is UNSET:
            raise _no_volume(given(device.volume_id) or given(device.snapshot_id) or "")
    disks: list[dict[str, Any]] = []
    root_gib = None
    for device in new or ():
        _check_device(device, version)
        if device.no_device is not UNSET and device.no_device:
            continue
        source, size = given(device.source_type), int(given(device.volume_size, 0))
        if source == "image":
            named = given(device.uuid) or given(device.image_id)
            if image_id and named != image_id:
                raise BadRequest("Block Device Mapping is Invalid: Boot sequence for the instance and image/block device "
                                 "mapping combination is not valid.", kind="InvalidBDMBootSequence")  # fmt: skip
            image_id, root_gib = str(named or ""), size or None
        elif given(device.guest_format) == "swap":
            disks.append({"kind": "blank", "size_mib": size, "swap": True})
        else:
            disks.append({"kind": "blank", "size_gib": size})
    if not image_id:
        raise BadRequest("Missing imageRef attribute")
    return image_id, disks or None, root_gib


def _check_device(device: schemas.Device, version: Version) -> None:
    if device.tag is not UNSET and version != (2, 32) and version < (2, 42):
        raise schemas.unexpected("tag")
    if device.volume_type is not UNSET and version < (2, 67):
        raise schemas.unexpected("volume_type")
    source, target = given(device.source_type), given(device.destination_type)
    named = given(device.uuid) or given(device.volume_id) or given(device.snapshot_id) or ""
    if source in ("volume", "snapshot") or device.volume_id is not UNSET or device.snapshot_id is not UNSET:
        raise _no_volume(named)
    if target == "volume":
        raise BadRequest("Block Device Mapping is Invalid: this cloud has no block storage.", kind="InvalidBDM")
    if source is None:
        raise BadRequest("Block Device Mapping is Invalid: a source_type is needed.", kind="InvalidBDMFormat")
    if source == "image" and int(given(device.boot_index, 0) or 0) != 0:
        raise BadRequest("Block Device Mapping is Invalid: only the root disk can be an image.", kind="InvalidBDM")
    if source == "blank" and int(given(device.volume_size, 0)) < 1:
        raise BadRequest("Block Device Mapping is Invalid: Images with destination_type 'local' need a size.", kind="InvalidBDM")


def _no_volume(id: str) -> BadRequest:
    return BadRequest(
        f"Block Device Mapping is Invalid: failed to get volume {id}: this cloud has no block storage.", kind="InvalidBDMVolume"
    )
