"""The hosts that networks span, where they are in the physical network, and which ports are about to come to them."""

from sqlalchemy import Column, ForeignKey, String, Table

from pileus.kernel.db import metadata

hosts = Table(
    "network_hosts", metadata,
    Column("name", String(255), primary_key=True),
    Column("tunnel_ip", String(64), nullable=False, doc="its end of tunnels"),
)  # fmt: skip

awaited_ports = Table(
    "awaited_ports", metadata,
    Column("port_id", String(36), ForeignKey("ports.id", ondelete="CASCADE"), primary_key=True),
    Column("host_id", String(255), nullable=False, index=True, doc="a second host that has the port: it is about to come there"),
)  # fmt: skip
