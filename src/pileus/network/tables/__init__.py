"""The tables of the network service: networks, ports, routers and security groups; others in modules beside.

Addresses are rows of their own, unique by subnet and address, so that no two ports ever get the same one.
"""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint, false, true

from pileus.kernel.db import Json, metadata
from pileus.network.tables.columns import ADDRESS, TEXT, dated, inside, owned

networks = Table(
    "networks", metadata, *owned(),
    Column("admin_state_up", Boolean, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("external", Boolean, nullable=False),
    Column("is_default", Boolean, nullable=False),
    Column("mtu", Integer, nullable=False),
    Column("port_security_enabled", Boolean, nullable=False),
    Column("dns_domain", TEXT, nullable=False),
    inside("qos_policy_id", "qos_policies", nullable=True),
    Column("network_type", String(32), nullable=False),
    Column("physical_network", String(64)),
    Column("segmentation_id", Integer),
    Column("availability_zone_hints", Json, nullable=False),
    *dated(),
    UniqueConstraint("network_type", "physical_network", "segmentation_id"),
)  # fmt: skip

segments = Table(
    "network_segments", metadata,
    Column("segmentation_id", Integer, primary_key=True, autoincrement=False, doc="of tunnels: one number, one network"),
    inside("network_id", "networks"),
)  # fmt: skip

address_scopes = Table(
    "address_scopes", metadata, *owned(),
    Column("ip_version", Integer, nullable=False),
    Column("shared", Boolean, nullable=False),
    *dated(),
)  # fmt: skip

subnet_pools = Table(
    "subnet_pools", metadata, *owned(),
    Column("ip_version", Integer, nullable=False),
    Column("prefixes", Json, nullable=False, doc="sorted, none within or next to another"),
    Column("default_prefixlen", Integer, nullable=False),
    Column("min_prefixlen", Integer, nullable=False),
    Column("max_prefixlen", Integer, nullable=False),
    Column("default_quota", Integer, doc="how much of it a project may have: IPv4 addresses, or IPv6 networks of /64"),
    Column("shared", Boolean, nullable=False),
    Column("is_default", Boolean, nullable=False),
    inside("address_scope_id", "address_scopes", nullable=True),
    *dated(),
)  # fmt: skip

subnets = Table(
    "subnets", metadata, *owned(),
    inside("network_id", "networks"),
    Column("ip_version", Integer, nullable=False),
    Column("cidr", ADDRESS, nullable=False),
    Column("gateway_ip", ADDRESS),
    Column("enable_dhcp", Boolean, nullable=False),
    Column("ipv6_ra_mode", String(32)),
    Column("ipv6_address_mode", String(32)),
    Column("allocation_pools", Json, nullable=False),
    Column("dns_nameservers", Json, nullable=False),
    Column("host_routes", Json, nullable=False),
    inside("subnetpool_id", "subnet_pools", nullable=True),
    Column("service_types", Json, nullable=False, server_default="[]", doc="whose ports take addresses of it; none: all"),
    *dated(),
)  # fmt: skip

ports = Table(
    "ports", metadata, *owned(),
    inside("network_id", "networks"),
    Column("mac_address", String(32), nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("device_id", String(255), nullable=False, index=True),
    Column("device_owner", String(255), nullable=False),
    Column("port_security_enabled", Boolean, nullable=False),
    Column("allowed_address_pairs", Json, nullable=False),
    Column("extra_dhcp_opts", Json, nullable=False),
    Column("dns_name", TEXT, nullable=False),
    Column("host_id", TEXT, nullable=False, index=True),
    Column("vnic_type", String(32), nullable=False),
    Column("profile", Json, nullable=False),
    inside("qos_policy_id", "qos_policies", nullable=True),
    Column("dns_domain", TEXT, nullable=False, server_default=""),
    Column("propagate_uplink_status", Boolean, nullable=False, server_default=true()),
    *dated(),
    UniqueConstraint("network_id", "mac_address"),
)  # fmt: skip

addresses = Table(
    "port_addresses", metadata,
    Column("subnet_id", String(36), ForeignKey("subnets.id"), primary_key=True),
    Column("ip_address", ADDRESS, primary_key=True),
    Column("port_id", String(36), ForeignKey("ports.id"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Index("ix_port_addresses_ip_address", "ip_address"),
)  # fmt: skip

port_groups = Table(
    "port_security_groups", metadata,
    Column("port_id", String(36), ForeignKey("ports.id"), primary_key=True),
    Column("group_id", String(36), ForeignKey("security_groups.id"), primary_key=True, index=True),
)  # fmt: skip

routers = Table(
    "routers", metadata, *owned(),
    Column("admin_state_up", Boolean, nullable=False),
    Column("status", String(16), nullable=False),
    Column("enable_snat", Boolean, nullable=False),
    Column("routes", Json, nullable=False),
    Column("availability_zone_hints", Json, nullable=False),
    Column("host_id", TEXT, nullable=False, doc="the host that does the routing"),
    Column("distributed", Boolean, nullable=False, server_default=false()),
    Column("ha", Boolean, nullable=False, server_default=false()),
    inside("flavor_id", "network_flavors", nullable=True),
    inside("qos_policy_id", "qos_policies", nullable=True),
    *dated(),
    Column("unscheduled", Boolean, nullable=False, server_default=false(), doc="taken from its agent, and given to none since"),
)  # fmt: skip

floating_ips = Table(
    "floating_ips", metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False, index=True),
    Column("description", TEXT, nullable=False),
    inside("floating_network_id", "networks"),
    Column("floating_ip_address", ADDRESS, nullable=False),
    inside("floating_port_id", "ports"),
    inside("port_id", "ports", nullable=True),
    Column("fixed_ip_address", ADDRESS),
    inside("router_id", "routers", nullable=True),
    Column("status", String(16), nullable=False),
    Column("dns_name", TEXT, nullable=False),
    Column("dns_domain", TEXT, nullable=False),
    inside("qos_policy_id", "qos_policies", nullable=True),
    *dated(),
    UniqueConstraint("floating_network_id", "port_id", "fixed_ip_address"),
)  # fmt: skip

groups = Table(
    "security_groups", metadata, *owned(),
    Column("stateful", Boolean, nullable=False),
    *dated(),
)  # fmt: skip

default_groups = Table(
    "default_security_groups", metadata,
    Column("project_id", String(64), primary_key=True),
    Column("group_id", String(36), ForeignKey("security_groups.id"), nullable=False, index=True),
)  # fmt: skip

rules = Table(
    "security_group_rules", metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False, index=True),
    Column("description", TEXT, nullable=False),
    inside("security_group_id", "security_groups"),
    Column("direction", String(8), nullable=False),
    Column("ethertype", String(4), nullable=False),
    Column("protocol", String(40)),
    Column("port_range_min", Integer),
    Column("port_range_max", Integer),
    Column("remote_ip_prefix", ADDRESS),
    inside("remote_group_id", "security_groups", nullable=True),
    inside("remote_address_group_id", "address_groups", nullable=True),
    *dated(),
)  # fmt: skip

tags = Table(
    "network_tags", metadata,
    Column("resource_id", String(36), primary_key=True),
    Column("tag", String(255), primary_key=True, index=True),
)  # fmt: skip
