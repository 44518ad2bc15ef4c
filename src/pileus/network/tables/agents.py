"""The agents of the hosts, and which of them serve the DHCP of a network."""

from sqlalchemy import Boolean, Column, Double, ForeignKey, String, Table, UniqueConstraint

from pileus.kernel.db import metadata
from pileus.network.tables.columns import TEXT

agents = Table(
    "network_agents", metadata,
    Column("id", String(36), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("agent_type", String(64), nullable=False),
    Column("admin_state_up", Boolean, nullable=False),
    Column("description", TEXT, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("heartbeat_at", Double, nullable=False),
    UniqueConstraint("host", "agent_type"),
)  # fmt: skip

dhcp_exclusions = Table(
    "network_dhcp_exclusions", metadata,
    Column("network_id", String(36), ForeignKey("networks.id"), primary_key=True),
    Column("host", String(255), primary_key=True, doc="whose DHCP agent the network was taken from"),
)  # fmt: skip
