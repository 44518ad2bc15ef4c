"""What routers do beside routing: forwarded ports, meters, and the flavors that they come in."""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, UniqueConstraint

from pileus.kernel.db import metadata
from pileus.network.tables.columns import ADDRESS, TEXT, dated, inside, owned

port_forwardings = Table(
    "port_forwardings", metadata,
    Column("id", String(36), primary_key=True),
    inside("floatingip_id", "floating_ips"),
    Column("description", TEXT, nullable=False),
    Column("protocol", String(8), nullable=False),
    Column("external_first", Integer, nullable=False),
    Column("external_last", Integer, nullable=False),
    inside("internal_port_id", "ports"),
    Column("internal_ip_address", ADDRESS, nullable=False),
    Column("internal_first", Integer, nullable=False),
    Column("internal_last", Integer, nullable=False),
    *dated(),
    UniqueConstraint("floatingip_id", "protocol", "external_first"),
    UniqueConstraint("internal_port_id", "internal_ip_address", "protocol", "internal_first"),
)  # fmt: skip

metering_labels = Table(
    "metering_labels", metadata, *owned(),
    Column("shared", Boolean, nullable=False),
    *dated(),
)  # fmt: skip

metering_rules = Table(
    "metering_label_rules", metadata,
    Column("id", String(36), primary_key=True),
    inside("metering_label_id", "metering_labels"),
    Column("direction", String(8), nullable=False),
    Column("remote_ip_prefix", ADDRESS),
    Column("source_ip_prefix", ADDRESS),
    Column("destination_ip_prefix", ADDRESS),
    Column("excluded", Boolean, nullable=False),
    *dated(),
)  # fmt: skip

flavors = Table(
    "network_flavors", metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("description", TEXT, nullable=False),
    Column("service_type", String(255), nullable=False),
    Column("enabled", Boolean, nullable=False),
    *dated(),
)  # fmt: skip

service_profiles = Table(
    "network_service_profiles", metadata,
    Column("id", String(36), primary_key=True),
    Column("description", TEXT, nullable=False),
    Column("driver", String(1024), nullable=False),
    Column("metainfo", String(4096), nullable=False),
    Column("enabled", Boolean, nullable=False),
    *dated(),
)  # fmt: skip

flavor_profiles = Table(
    "network_flavor_profiles", metadata,
    Column("flavor_id", String(36), ForeignKey("network_flavors.id"), primary_key=True),
    Column("profile_id", String(36), ForeignKey("network_service_profiles.id"), primary_key=True, index=True),
)  # fmt: skip

auto_topologies = Table(
    "auto_allocated_topologies", metadata,
    Column("project_id", String(64), primary_key=True),
    Column("network_id", String(36), ForeignKey("networks.id"), nullable=False, index=True),
    Column("router_id", String(36), ForeignKey("routers.id"), nullable=False, index=True),
)  # fmt: skip
