"""The bodies of requests.  A create's fields have the defaults of the API; an update's hold only what was sent."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

Name = Annotated[str, Meta(max_length=255)]
Text = Annotated[str, Meta(max_length=255)]
Id = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$")]
GroupId = Annotated[str, Meta(max_length=255)]  # of no form, as in neutron: what is no id is not found
Project = Annotated[str, Meta(max_length=255)]
Flag = bool | Literal["true", "True", "TRUE", "false", "False", "FALSE", 0, 1]
Number = int | Annotated[str, Meta(pattern=r"^-?[0-9]{1,10}$")]
Mode = Literal["slaac", "dhcpv6-stateful", "dhcpv6-stateless"]
ServiceTypes = list[Annotated[str, Meta(min_length=1, max_length=255)]]
Zones = list[Annotated[str, Meta(max_length=255)]]
Tags = Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(max_length=50)]


class FixedIp(Struct, forbid_unknown_fields=True, omit_defaults=True):
    subnet_id: Id | UnsetType = UNSET
    ip_address: str | UnsetType = UNSET


class AllocationPool(Struct, forbid_unknown_fields=True):
    start: str
    end: str


class Route(Struct, forbid_unknown_fields=True):
    destination: str
    nexthop: str


class AddressPair(Struct, forbid_unknown_fields=True, omit_defaults=True):
    ip_address: str
    mac_address: str | UnsetType = UNSET


class DhcpOption(Struct, forbid_unknown_fields=True):
    opt_name: Annotated[str, Meta(min_length=1, max_length=64)]
    opt_value: Annotated[str, Meta(max_length=255)] | int | None = None
    ip_version: Literal[4, 6, "4", "6"] = 4


class GatewayInfo(Struct, forbid_unknown_fields=True, omit_defaults=True):
    network_id: Id | UnsetType | None = UNSET
    enable_snat: Flag | UnsetType = UNSET
    external_fixed_ips: list[FixedIp] | UnsetType = UNSET
    qos_policy_id: Id | UnsetType | None = UNSET


class NetworkCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name = ""
    description: Text = ""
    project_id: Project | None = None
    tenant_id: Project | None = None
    admin_state_up: Flag = True
    shared: Flag = False
    external: Flag = field(default=False, name="router:external")
    is_default: Flag = False
    mtu: Number = 0
    port_security_enabled: Flag = True
    dns_domain: Text = ""
    availability_zone_hints: Zones = []
    network_type: str | None = field(default=None, name="provider:network_type")
    physical_network: str | None = field(default=None, name="provider:physical_network")
    segmentation_id: Number | None = field(default=None, name="provider:segmentation_id")
    qos_policy_id: Id | None = None
    tags: Tags = []


class NetworkUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    admin_state_up: Flag | UnsetType = UNSET
    shared: Flag | UnsetType = UNSET
    external: Flag | UnsetType = field(default=UNSET, name="router:external")
    is_default: Flag | UnsetType = UNSET
    mtu: Number | UnsetType = UNSET
    port_security_enabled: Flag | UnsetType = UNSET
    dns_domain: Text | UnsetType = UNSET
    qos_policy_id: Id | UnsetType | None = UNSET


class SubnetCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    network_id: Id
    ip_version: Literal[4, 6, "4", "6"]
    cidr: str | None = None
    name: Name = ""
    description: Text = ""
    project_id: Project | None = None
    tenant_id: Project | None = None
    gateway_ip: str | UnsetType | None = UNSET
    enable_dhcp: Flag = True
    allocation_pools: list[AllocationPool] | None = None
    dns_nameservers: list[str] | None = None
    host_routes: list[Route] | None = None
    ipv6_ra_mode: Mode | None = None
    ipv6_address_mode: Mode | None = None
    subnetpool_id: Id | None = None
    use_default_subnetpool: Flag = False
    prefixlen: Number | None = None
    service_types: ServiceTypes = []
    tags: Tags = []


class SubnetUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    gateway_ip: str | UnsetType | None = UNSET
    enable_dhcp: Flag | UnsetType = UNSET
    allocation_pools: list[AllocationPool] | UnsetType = UNSET
    dns_nameservers: list[str] | UnsetType | None = UNSET
    host_routes: list[Route] | UnsetType | None = UNSET
    service_types: ServiceTypes | UnsetType = UNSET


class SubnetPoolCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name
    prefixes: list[str]
    description: Text = ""
    project_id: Project | None = None
    tenant_id: Project | None = None
    default_prefixlen: Number | None = None
    min_prefixlen: Number | None = None
    max_prefixlen: Number | None = None
    default_quota: Number | None = None
    shared: Flag = False
    is_default: Flag = False
    address_scope_id: Id | None = None
    tags: Tags = []


class SubnetPoolUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    prefixes: list[str] | UnsetType = UNSET
    default_prefixlen: Number | UnsetType = UNSET
    min_prefixlen: Number | UnsetType = UNSET
    max_prefixlen: Number | UnsetType = UNSET
    default_quota: Number | UnsetType | None = UNSET
    is_default: Flag | UnsetType = UNSET
    address_scope_id: Id | UnsetType | None = UNSET


class PoolPrefixes(Struct, forbid_unknown_fields=True):
    prefixes: list[str]


class PoolPrefixesBody(Struct, forbid_unknown_fields=True):
    subnetpool: PoolPrefixes | UnsetType = UNSET
    prefixes: list[str] = []


class AddressScopeCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    ip_version: Literal[4, 6, "4", "6"]
    name: Name = ""
    description: Text = ""
    project_id: Project | None = None
    tenant_id: Project | None = None
    shared: Flag = False


class AddressScopeUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    name: Name | UnsetType = UNSET
    shared: Flag | UnsetType = UNSET


class PortCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    network_id: Id
    name: Name = ""
    description: Text = ""
    project_id: Project | None = None
    tenant_id: Project | None = None
    admin_state_up: Flag = True
    mac_address: str | None = None
    fixed_ips: list[FixedIp] | None = None
    device_id: Name = ""
    device_owner: Name = ""
    security_groups: list[Id] | None = None
    port_security_enabled: Flag | None = None
    allowed_address_pairs: list[AddressPair] | None = None
    extra_dhcp_opts: list[DhcpOption] | None = None
    dns_name: Text = ""
    host_id: Text | None = field(default=None, name="binding:host_id")
    vnic_type: Literal["normal"] = field(default="normal", name="binding:vnic_type")
    profile: dict[str, Any] | None = field(default=None, name="binding:profile")
    qos_policy_id: Id | None = None
    dns_domain: Text = ""
    propagate_uplink_status: Flag = True
    tags: Tags = []


class PortUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    admin_state_up: Flag | UnsetType = UNSET
    mac_address: str | UnsetType | None = UNSET
    fixed_ips: list[FixedIp] | UnsetType | None = UNSET
    device_id: Name | UnsetType = UNSET
    device_owner: Name | UnsetType = UNSET
    security_groups: list[Id] | UnsetType | None = UNSET
    port_security_enabled: Flag | UnsetType = UNSET
    allowed_address_pairs: list[AddressPair] | UnsetType | None = UNSET
    extra_dhcp_opts: list[DhcpOption] | UnsetType | None = UNSET
    dns_name: Text | UnsetType = UNSET
    host_id: Text | UnsetType | None = field(default=UNSET, name="binding:host_id")
    vnic_type: Literal["normal"] | UnsetType = field(default=UNSET, name="binding:vnic_type")
    profile: dict[str, Any] | UnsetType | None = field(default=UNSET, name="binding:profile")
    qos_policy_id: Id | UnsetType | None = UNSET
    dns_domain: Text | UnsetType = UNSET
    propagate_uplink_status: Flag | UnsetType = UNSET


class RouterCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name = ""
    description: Text = ""
    project_id: Project | None = None
    tenant_id: Project | None = None
    admin_state_up: Flag = True
    external_gateway_info: GatewayInfo | None = None
    distributed: Flag | None = None
    ha: Flag | None = None
    flavor_id: Id | None = None
    availability_zone_hints: Zones = []
    tags: Tags = []


class RouterUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    admin_state_up: Flag | UnsetType = UNSET
    external_gateway_info: GatewayInfo | UnsetType | None = UNSET
    distributed: Flag | UnsetType = UNSET
    ha: Flag | UnsetType = UNSET
    routes: list[Route] | UnsetType | None = UNSET


class InterfaceBody(Struct):
    subnet_id: Id | None = None
    port_id: Id | None = None


class ExtraRoutes(Struct, forbid_unknown_fields=True):
    routes: list[Route] = []


class ExtraRoutesBody(Struct):
    router: ExtraRoutes


class FloatingIpCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    floating_network_id: Id
    description: Text = ""
    project_id: Project | None = None
    tenant_id: Project | None = None
    port_id: Id | None = None
    fixed_ip_address: str | None = None
    floating_ip_address: str | None = None
    subnet_id: Id | None = None
    dns_name: Text = ""
    dns_domain: Text = ""
    qos_policy_id: Id | None = None
    tags: Tags = []


class FloatingIpUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    description: Text | UnsetType = UNSET
    port_id: Id | UnsetType | None = UNSET
    fixed_ip_address: str | UnsetType | None = UNSET
    qos_policy_id: Id | UnsetType | None = UNSET


class GroupCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name = ""
    description: Text = ""
    project_id: Project | None = None
    tenant_id: Project | None = None
    stateful: Flag = True
    tags: Tags = []


class GroupUpdate(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    stateful: Flag | UnsetType = UNSET


class RuleCreate(Struct, forbid_unknown_fields=True, kw_only=True):
    security_group_id: GroupId
    direction: Literal["ingress", "egress"]
    ethertype: Literal["IPv4", "IPv6", "ipv4", "ipv6"] | None = None
    protocol: str | int | None = None
    port_range_min: Number | None = None
    port_range_max: Number | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: GroupId | None = None
    remote_address_group_id: GroupId | None = None
    description: Text = ""
    project_id: Project | None = None
    tenant_id: Project | None = None


class QuotaBody(Struct):
    quota: dict[str, Number | bool]


class TagsBody(Struct, forbid_unknown_fields=True):
    tags: list[str]


class AgentUpdate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    description: Text | UnsetType = UNSET
    admin_state_up: Flag | UnsetType = UNSET


class AgentBody(Struct):
    agent: AgentUpdate


def envelope(name: str, kind: type[Struct], plural: str = "") -> type[Struct]:
    """Return the body that holds one thing under its noun, or many under the plural."""
    fields: list[tuple[str, Any, Any]] = [(name, kind | UnsetType, UNSET)]
    if plural:
        many = Annotated[list[dict[str, Any]], Meta(min_length=1)]  # each as it is, or under its noun
        fields.append((plural, many | UnsetType, UNSET))
    alias = "Alias" if name.startswith("alias_") else ""  # two bodies of one name would be one in the API's document
    return msgspec.defstruct(f"{alias}{kind.__name__}Body", fields)
