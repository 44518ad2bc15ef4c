"""The hosts that networks span, and where they are in the physical network."""

from sqlalchemy import Column, String, Table

from pileus.kernel.db import metadata

hosts = Table(
    "network_hosts", metadata,
    Column("name", String(255), primary_key=True),
    Column("tunnel_ip", String(64), nullable=False, doc="its end of tunnels"),
)  # fmt: skip
