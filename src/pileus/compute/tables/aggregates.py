"""Host aggregates.  An aggregate with the metadata key availability_zone is a zone."""

from sqlalchemy import Column, Double, ForeignKey, Integer, String, Table

from pileus.kernel.db import Json, metadata

aggregates = Table(
    "aggregates", metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("metadata", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
)  # fmt: skip

aggregate_hosts = Table(
    "aggregate_hosts", metadata,
    Column("aggregate_id", Integer, ForeignKey("aggregates.id", ondelete="CASCADE"), primary_key=True),
    Column("host", String(255), primary_key=True),
)  # fmt: skip
