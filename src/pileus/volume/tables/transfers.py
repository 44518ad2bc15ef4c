"""Volumes that are offered to other projects."""

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, String, Table

from pileus.kernel.db import metadata

transfers = Table(
    "volume_transfers", metadata,
    Column("id", String(36), primary_key=True),
    Column("volume_id", String(36), ForeignKey("volumes.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("project_id", String(64), nullable=False, doc="that gives it away"),
    Column("name", String(255)),
    Column("salt", String(64), nullable=False),
    Column("key_hash", String(64), nullable=False, doc="HMAC-SHA256 of the key that whoever accepts it must know, in hex"),
    Column("no_snapshots", Boolean, nullable=False, default=False, doc="the volume goes without its snapshots"),
    Column("created_at", Double, nullable=False),
    Index("ix_volume_transfers_project_id_created_at", "project_id", "created_at"),
)  # fmt: skip
