"""The bodies that make and change servers.

One Struct holds every field there ever was; which microversions have a field is said beside it, and `check` refuses it in
the others, as nova's schemas do with additionalProperties.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from pileus.compute.schemas.fields import Bool, HostName, MetaKey, MetaValue, Name, Positive
from pileus.kernel import ids
from pileus.kernel.errors import BadRequest
from pileus.kernel.microversion import Version

Text255 = Annotated[str, Meta(max_length=255)]
Metadata = dict[MetaKey, MetaValue]
UserData = Annotated[str, Meta(max_length=65535)]
Tag = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^,/]*$(?!\n)")]
Tags = Annotated[list[Tag], Meta(max_length=50)]
Certificates = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=50)]
DiskConfig = Literal["AUTO", "MANUAL"]
Description = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")] | None
Size = Annotated[int, Meta(ge=1, le=2**31 - 1)] | Annotated[str, Meta(pattern=r"^[0-9]+$(?!\n)", max_length=10)]
HOST_LABEL = re.compile(r"[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+")


class NetworkItem(Struct, forbid_unknown_fields=True):
    """One NIC that is asked for."""

    uuid: str | UnsetType = UNSET
    port: str | UnsetType | None = UNSET
    fixed_ip: str | UnsetType = UNSET
    tag: Tag | UnsetType = UNSET


class GroupName(Struct, forbid_unknown_fields=True):
    """A security group that is asked for."""

    name: Name | UnsetType = UNSET


class Personality(Struct, forbid_unknown_fields=True):
    """A file to be put into the guest (before 2.57)."""

    path: str | UnsetType = UNSET
    contents: str | UnsetType = UNSET


class LegacyDevice(Struct, forbid_unknown_fields=True):
    """A block device in the older form."""

    virtual_name: Text255 | UnsetType = UNSET
    volume_id: str | UnsetType = UNSET
    snapshot_id: str | UnsetType = UNSET
    volume_size: Size | UnsetType = UNSET
    device_name: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._/-]*$(?!\n)")] | UnsetType = UNSET
    delete_on_termination: Bool | UnsetType = UNSET
    no_device: Any = UNSET
    connection_info: str | UnsetType = UNSET


class Device(LegacyDevice, forbid_unknown_fields=True):
    """A block device."""

    source_type: Literal["volume", "image", "snapshot", "blank"] | UnsetType = UNSET
    uuid: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._-]*$(?!\n)")] | UnsetType = UNSET
    image_id: str | UnsetType = UNSET
    destination_type: Literal["local", "volume"] | UnsetType = UNSET
    guest_format: Text255 | UnsetType = UNSET
    device_type: Text255 | UnsetType = UNSET
    disk_bus: Text255 | UnsetType = UNSET
    boot_index: int | Annotated[str, Meta(pattern=r"^-?[0-9]+$(?!\n)")] | UnsetType | None = UNSET
    tag: Tag | UnsetType = UNSET
    volume_type: Text255 | UnsetType | None = UNSET


class Server(Struct, forbid_unknown_fields=True):
    """A server to be made."""

    name: Name
    flavor: Annotated[str, Meta(min_length=1)] | int = field(name="flavorRef")
    image: str | UnsetType = field(default=UNSET, name="imageRef")
    admin_password: str | UnsetType = field(default=UNSET, name="adminPass")
    metadata: Metadata | UnsetType = UNSET
    networks: list[NetworkItem] | Literal["auto", "none"] | UnsetType = UNSET
    disk_config: DiskConfig | UnsetType = field(default=UNSET, name="OS-DCF:diskConfig")
    access_ipv4: str | UnsetType = field(default=UNSET, name="accessIPv4")
    access_ipv6: str | UnsetType = field(default=UNSET, name="accessIPv6")
    personality: list[Personality] | UnsetType = UNSET
    availability_zone: Name | UnsetType = UNSET
    block_device_mapping: list[LegacyDevice] | UnsetType = UNSET
    block_device_mapping_v2: list[Device] | UnsetType = UNSET
    config_drive: Bool | UnsetType = UNSET
    key_name: Name | UnsetType = UNSET
    min_count: Positive | UnsetType = UNSET
    max_count: Positive | UnsetType = UNSET
    return_reservation_id: Bool | UnsetType = UNSET
    security_groups: list[GroupName] | UnsetType = UNSET
    user_data: UserData | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    trusted_image_certificates: Certificates | UnsetType | None = UNSET
    host: HostName | UnsetType = UNSET
    hypervisor_hostname: HostName | UnsetType = UNSET
    hostname: HostName | UnsetType = UNSET


CREATE_SINCE: Mapping[str, Version] = {
    "description": (2, 19), "tags": (2, 52), "trusted_image_certificates": (2, 63), "host": (2, 74),
    "hypervisor_hostname": (2, 74), "hostname": (2, 90),
}  # fmt: skip
UPDATE_SINCE: Mapping[str, Version] = {"description": (2, 19), "hostname": (2, 90)}
REBUILD_SINCE: Mapping[str, Version] = {
    "description": (2, 19), "key_name": (2, 54), "user_data": (2, 57), "trusted_image_certificates": (2, 63), "hostname": (2, 90),
}  # fmt: skip


class CreateServer(Struct, forbid_unknown_fields=True):
    """POST /servers."""

    server: Server
    hints: dict[str, Any] | UnsetType = field(default=UNSET, name="os:scheduler_hints")
    old_hints: dict[str, Any] | UnsetType = field(default=UNSET, name="OS-SCH-HNT:scheduler_hints")


class Changes(Struct, forbid_unknown_fields=True):
    """What may be changed of a server."""

    name: Name | UnsetType = UNSET
    disk_config: DiskConfig | UnsetType = field(default=UNSET, name="OS-DCF:diskConfig")
    access_ipv4: str | UnsetType = field(default=UNSET, name="accessIPv4")
    access_ipv6: str | UnsetType = field(default=UNSET, name="accessIPv6")
    description: Description | UnsetType = UNSET
    hostname: HostName | UnsetType = UNSET


class UpdateServer(Struct, forbid_unknown_fields=True):
    """PUT /servers/{server_id}."""

    server: Changes


class Rebuild(Struct, forbid_unknown_fields=True):
    """What a server is rebuilt as."""

    image: str = field(name="imageRef")
    name: Name | UnsetType = UNSET
    admin_password: str | UnsetType = field(default=UNSET, name="adminPass")
    metadata: Metadata | UnsetType = UNSET
    preserve_ephemeral: Bool | UnsetType = UNSET
    disk_config: DiskConfig | UnsetType = field(default=UNSET, name="OS-DCF:diskConfig")
    access_ipv4: str | UnsetType = field(default=UNSET, name="accessIPv4")
    access_ipv6: str | UnsetType = field(default=UNSET, name="accessIPv6")
    personality: list[Personality] | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    key_name: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType | None = UNSET
    user_data: UserData | UnsetType | None = UNSET
    trusted_image_certificates: Certificates | UnsetType | None = UNSET
    hostname: HostName | UnsetType = UNSET


class MetadataBody(Struct, forbid_unknown_fields=True):
    """POST and PUT /servers/{server_id}/metadata."""

    metadata: Metadata


class MetaBody(Struct, forbid_unknown_fields=True):
    """PUT /servers/{server_id}/metadata/{key}."""

    meta: Annotated[Metadata, Meta(min_length=1, max_length=1)]


class TagsBody(Struct, forbid_unknown_fields=True):
    """PUT /servers/{server_id}/tags."""

    tags: Tags


class FixedIp(Struct, forbid_unknown_fields=True):
    """An address that is asked for."""

    ip_address: str


class Attachment(Struct, forbid_unknown_fields=True):
    """A NIC to be attached."""

    port_id: str | UnsetType = UNSET
    net_id: str | UnsetType = UNSET
    fixed_ips: Annotated[list[FixedIp], Meta(min_length=1, max_length=1)] | UnsetType = UNSET
    tag: Tag | UnsetType = UNSET


class AttachInterface(Struct, forbid_unknown_fields=True):
    """POST /servers/{server_id}/os-interface."""

    attachment: Attachment | UnsetType = field(default=UNSET, name="interfaceAttachment")


class Console(Struct, forbid_unknown_fields=True):
    """A remote console that is asked for."""

    protocol: Literal["vnc", "spice", "rdp", "serial", "mks"]
    type: Literal["novnc", "xvpvnc", "rdp-html5", "spice-html5", "serial", "webmks", "spice-direct"]


class RemoteConsole(Struct, forbid_unknown_fields=True):
    """POST /servers/{server_id}/remote-consoles."""

    remote_console: Console


def unexpected(name: str) -> BadRequest:
    """Return the fault of a field that this microversion does not have."""
    return BadRequest(f"Invalid input for field/attribute body. Additional properties are not allowed ('{name}' was unexpected)")


def check(version: Version, body: Struct, since: Mapping[str, Version]) -> None:
    """Refuse the fields that a microversion does not have yet, or no longer.

    :raises BadRequest: when there is one.
    """
    for info in msgspec.structs.fields(body):
        if getattr(body, info.name) is UNSET:
            continue
        if version < since.get(info.name, (2, 1)) or (info.name == "personality" and version >= (2, 57)):
            raise unexpected(info.encode_name)
    check_hostname(version, getattr(body, "hostname", UNSET))
    for name, family in (("access_ipv4", 4), ("access_ipv6", 6)):
        check_address(name.replace("access_ip", "accessIP"), getattr(body, name, UNSET), family)


def check_hostname(version: Version, hostname: str | UnsetType | None) -> None:
    """Check a host name: before 2.94 it has no dots.  :raises BadRequest: when it is none."""
    if isinstance(hostname, str) and version < (2, 94) and not (len(hostname) <= 63 and HOST_LABEL.fullmatch(hostname)):
        raise BadRequest(f"Invalid input for field/attribute hostname. Value: {hostname}. It is not a host name.")


def check_address(name: str, address: str | UnsetType, family: int = 0) -> None:
    """Check an IP address of a family; 0: of any.  :raises BadRequest: when it is none."""
    if address is UNSET:
        return
    try:
        good = ipaddress.ip_address(address).version in ((family,) if family else (4, 6))
    except ValueError:
        good = False
    if not good:
        raise BadRequest(f"Invalid input for field/attribute {name}. Value: {address}. '{address}' is not an IP address")


def check_uuid(name: str, id: str | UnsetType | None) -> None:
    """Check an id.  :raises BadRequest: when it is no UUID."""
    if isinstance(id, str) and not (ids.is_uuid(id)):
        raise BadRequest(f"Invalid input for field/attribute {name}. Value: {id}. '{id}' is not a 'uuid'")


def check_base64(name: str, text: str | UnsetType | None) -> None:
    """Check that a text is base64.  :raises BadRequest: when it is not."""
    if not isinstance(text, str):
        return
    try:
        base64.b64decode(re.sub(r"\s", "", text), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"Invalid input for field/attribute {name}. Value: {text[:80]}. It is not a 'base64'") from None
