"""The records: one a resource, its columns first (in the order of the table), then what other tables add to it."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

Record = TypeVar("Record")


class Fixed(msgspec.Struct, frozen=True):
    """One address of a port."""

    subnet_id: str
    ip_address: str


class Network(msgspec.Struct, frozen=True):
    """A layer 2 network."""

    id: str
    project_id: str
    name: str
    description: str
    admin_state_up: bool
    shared: bool
    external: bool
    is_default: bool
    mtu: int
    port_security_enabled: bool
    dns_domain: str
    qos_policy_id: str | None
    network_type: str
    physical_network: str | None
    segmentation_id: int | None
    availability_zone_hints: list[str]
    revision_number: int
    created_at: float
    updated_at: float
    subnets: tuple[tuple[str, int], ...] = ()  # id and IP version
    tags: tuple[str, ...] = ()
    scopes: tuple[tuple[int, str], ...] = ()  # the address scope of each IP version
    grants: tuple[tuple[str, str], ...] = ()  # action and project of those whom it is open to, * for all

    def is_open_to(self, project_id: str, action: str) -> bool:
        """Tell whether a project may do something in it though it may not be theirs."""
        return (action, "*") in self.grants or (action, project_id) in self.grants


class Subnet(msgspec.Struct, frozen=True):
    """A range of addresses in a network."""

    id: str
    project_id: str
    name: str
    description: str
    network_id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool
    ipv6_ra_mode: str | None
    ipv6_address_mode: str | None
    allocation_pools: list[list[str]]
    dns_nameservers: list[str]
    host_routes: list[dict[str, str]]
    subnetpool_id: str | None
    service_types: list[str]
    revision_number: int
    created_at: float
    updated_at: float
    tags: tuple[str, ...] = ()
    external: bool = False  # as its network is


class AddressScope(msgspec.Struct, frozen=True):
    """Where addresses mean the same: no two subnets of a scope overlap."""

    id: str
    project_id: str
    name: str
    description: str
    ip_version: int
    shared: bool
    revision_number: int
    created_at: float
    updated_at: float


class SubnetPool(msgspec.Struct, frozen=True):
    """Prefixes out of which subnets are cut."""

    id: str
    project_id: str
    name: str
    description: str
    ip_version: int
    prefixes: list[str]
    default_prefixlen: int
    min_prefixlen: int
    max_prefixlen: int
    default_quota: int | None
    shared: bool
    is_default: bool
    address_scope_id: str | None
    revision_number: int
    created_at: float
    updated_at: float
    tags: tuple[str, ...] = ()


class Port(msgspec.Struct, frozen=True):
    """A place in a network where something is plugged in."""

    id: str
    project_id: str
    name: str
    description: str
    network_id: str
    mac_address: str
    admin_state_up: bool
    status: str
    device_id: str
    device_owner: str
    port_security_enabled: bool
    allowed_address_pairs: list[dict[str, str]]
    extra_dhcp_opts: list[dict[str, Any]]
    dns_name: str
    host_id: str
    vnic_type: str
    profile: dict[str, Any]
    qos_policy_id: str | None
    dns_domain: str
    propagate_uplink_status: bool
    revision_number: int
    created_at: float
    updated_at: float
    fixed_ips: tuple[Fixed, ...] = ()
    security_groups: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    network_policy_id: str | None = None  # the quality of service of its network
    trunk: tuple[str, tuple[Any, ...]] | None = None  # the trunk that it carries, and the ports in that


class Router(msgspec.Struct, frozen=True):
    """A router; its legs are ports."""

    id: str
    project_id: str
    name: str
    description: str
    admin_state_up: bool
    status: str
    enable_snat: bool
    routes: list[dict[str, str]]
    availability_zone_hints: list[str]
    host_id: str
    distributed: bool
    ha: bool
    flavor_id: str | None
    qos_policy_id: str | None
    revision_number: int
    created_at: float
    updated_at: float
    unscheduled: bool = False
    gateway: Port | None = None
    tags: tuple[str, ...] = ()


class FloatingIp(msgspec.Struct, frozen=True):
    """An address of an external network, and the port it leads to."""

    id: str
    project_id: str
    description: str
    floating_network_id: str
    floating_ip_address: str
    floating_port_id: str
    port_id: str | None
    fixed_ip_address: str | None
    router_id: str | None
    status: str
    dns_name: str
    dns_domain: str
    qos_policy_id: str | None
    revision_number: int
    created_at: float
    updated_at: float
    tags: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True):
    """One allowance of a security group."""

    id: str
    project_id: str
    description: str
    security_group_id: str
    direction: str
    ethertype: str
    protocol: str | None
    port_range_min: int | None
    port_range_max: int | None
    remote_ip_prefix: str | None
    remote_group_id: str | None
    remote_address_group_id: str | None
    revision_number: int
    created_at: float
    updated_at: float
    in_default: bool = False


class Group(msgspec.Struct, frozen=True):
    """A security group."""

    id: str
    project_id: str
    name: str
    description: str
    stateful: bool
    revision_number: int
    created_at: float
    updated_at: float
    rules: tuple[Rule, ...] = ()
    shared: bool = False
    tags: tuple[str, ...] = ()


class Agent(msgspec.Struct, frozen=True):
    """One of the parts that serve the network on a host, as operators know them."""

    id: str
    host: str
    agent_type: str
    admin_state_up: bool
    description: str
    created_at: float
    started_at: float
    heartbeat_at: float


def record(kind: Callable[..., Record], row: Sequence[Any], **more: Any) -> Record:
    """Return the record of a row, with what other tables add to it."""
    return kind(*row, **more)
