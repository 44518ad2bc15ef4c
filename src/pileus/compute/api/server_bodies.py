"""From bodies to what the use cases take."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from pileus.compute.api.device_bodies import read_disks
from pileus.compute.api.given import given, id_of
from pileus.compute.neighbours.network import NicRequest
from pileus.compute.schemas import servers as schemas
from pileus.compute.schemas.fields import read_bool, read_int
from pileus.compute.service.server_create import Wanted
from pileus.kernel import ids
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call
from pileus.kernel.microversion import Version

COUNT_MAX = 10_000


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
    return Wanted(
        name=server.name,
        flavor_id=id_of(str(server.flavor)),
        disks=read_disks(server, version),
        description=given(server.description) if version >= (2, 19) else server.name,
        hostname=given(server.hostname),
        networks=read_networks(server.networks, version),
        security_groups=_groups(server.security_groups),
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
