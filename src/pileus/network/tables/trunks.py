"""Trunks: ports that carry the networks of further ports, each under its VLAN."""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table, UniqueConstraint

from pileus.kernel.db import metadata
from pileus.network.tables.columns import dated, owned

trunks = Table(
    "trunks", metadata, *owned(),
    Column("admin_state_up", Boolean, nullable=False),
    Column("port_id", String(36), ForeignKey("ports.id"), nullable=False, unique=True),
    *dated(),
)  # fmt: skip

subports = Table(
    "trunk_subports", metadata,
    Column("port_id", String(36), ForeignKey("ports.id"), primary_key=True),
    Column("trunk_id", String(36), ForeignKey("trunks.id"), nullable=False, index=True),
    Column("segmentation_type", String(16), nullable=False),
    Column("segmentation_id", Integer, nullable=False),
    UniqueConstraint("trunk_id", "segmentation_type", "segmentation_id"),
)  # fmt: skip
