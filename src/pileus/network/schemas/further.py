"""The bodies of requests for what is built upon networks, ports and routers."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.network.schemas.requests import Flag, GroupId, Id, Name, Number, Project, Tags, Text

Direction = Literal["ingress", "egress"]


class RbacCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    object_type: str
    object_id: Id
    action: str
    target_tenant: Project | None = None
    target_project: Project | None = None
    project_id: Project | None = None
    tenant_id: Project | None = None


class RbacUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    target_tenant: Project | UnsetType = UNSET
    target_project: Project | UnsetType = UNSET


class PolicyCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    description: Text = ""
    shared: Flag = False
    is_default: Flag = False
    project_id: Project | None = None
    tenant_id: Project | None = None


class PolicyUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    shared: Flag | UnsetType = UNSET
    is_default: Flag | UnsetType = UNSET


class BandwidthLimit(Struct, forbid_unknown_fields=True, omit_defaults=True):
    max_kbps: Number | UnsetType = UNSET
    max_burst_kbps: Number | UnsetType = UNSET
    direction: Direction | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET


class DscpMarking(Struct, forbid_unknown_fields=True, omit_defaults=True):
    dscp_mark: Number | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET


class MinimumBandwidth(Struct, forbid_unknown_fields=True, omit_defaults=True):
    min_kbps: Number | UnsetType = UNSET
    direction: Direction | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET


class AddressGroupCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name = ""
    description: Text = ""
    addresses: list[str] = []
    shared: Flag = False
    project_id: Project | None = None
    tenant_id: Project | None = None


class AddressGroupUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    shared: Flag | UnsetType = UNSET


class AddressesBody(Struct, forbid_unknown_fields=True):
    addresses: list[str]


class DefaultRuleCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    direction: Direction
    ethertype: Literal["IPv4", "IPv6", "ipv4", "ipv6"] | None = None
    protocol: str | int | None = None
    port_range_min: Number | None = None
    port_range_max: Number | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: GroupId | None = None
    remote_address_group_id: GroupId | None = None
    used_in_default_sg: Flag = False
    used_in_non_default_sg: Flag = True
    description: Text = ""
    project_id: Project | None = None
    tenant_id: Project | None = None


class LabelCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name = ""
    description: Text = ""
    shared: Flag = False
    project_id: Project | None = None
    tenant_id: Project | None = None


class LabelRuleCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    metering_label_id: Id
    direction: Direction
    remote_ip_prefix: str | None = None
    source_ip_prefix: str | None = None
    destination_ip_prefix: str | None = None
    excluded: Flag = False
    project_id: Project | None = None
    tenant_id: Project | None = None


class ForwardingFacts(Struct, forbid_unknown_fields=True, omit_defaults=True):
    protocol: str | int | UnsetType | None = UNSET
    external_port: Number | UnsetType | None = UNSET
    external_port_range: str | UnsetType | None = UNSET
    internal_port: Number | UnsetType | None = UNSET
    internal_port_range: str | UnsetType | None = UNSET
    internal_port_id: Id | UnsetType | None = UNSET
    internal_ip_address: str | UnsetType | None = UNSET
    description: Text | UnsetType = UNSET
    project_id: Project | UnsetType = UNSET
    tenant_id: Project | UnsetType = UNSET


class FlavorCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    service_type: Name
    name: Name = ""
    description: Annotated[str, Meta(max_length=255)] = ""
    enabled: Flag = True
    project_id: Project | None = None
    tenant_id: Project | None = None
    service_profiles: list[Id] = []


class FlavorUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    enabled: Flag | UnsetType = UNSET


class ProfileCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    description: Text = ""
    driver: Annotated[str, Meta(max_length=1024)] = ""
    metainfo: Annotated[str, Meta(max_length=4096)] = ""
    enabled: Flag = True
    project_id: Project | None = None
    tenant_id: Project | None = None


class ProfileUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    description: Text | UnsetType = UNSET
    driver: Annotated[str, Meta(max_length=1024)] | UnsetType = UNSET
    metainfo: Annotated[str, Meta(max_length=4096)] | UnsetType = UNSET
    enabled: Flag | UnsetType = UNSET


class Bound(Struct):
    id: Id


class BoundBody(Struct):
    service_profile: Bound


class SubportFacts(Struct, forbid_unknown_fields=True, omit_defaults=True):
    port_id: Id
    segmentation_type: str | UnsetType | None = UNSET
    segmentation_id: Number | UnsetType | None = UNSET


class SubportsBody(Struct):
    sub_ports: Annotated[list[SubportFacts], Meta(min_length=1)]


class TrunkCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    port_id: Id
    name: Name = ""
    description: Text = ""
    admin_state_up: Flag = True
    sub_ports: list[SubportFacts] = []
    project_id: Project | None = None
    tenant_id: Project | None = None
    tags: Tags = []


class TrunkUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    admin_state_up: Flag | UnsetType = UNSET


class NetworkOfAgent(Struct):
    network_id: Id


class RouterOfAgent(Struct):
    router_id: Id


class OnboardBody(Struct):
    subnetpool: NetworkOfAgent
