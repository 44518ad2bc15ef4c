"""Groups of volumes that are snapshotted and copied together, their types, and their snapshots."""

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, String, Table, Text

from pileus.kernel.db import Json, metadata

group_types = Table(
    "volume_group_types", metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text),
    Column("is_public", Boolean, nullable=False, default=True),
    Column("is_default", Boolean, nullable=False, default=False, doc="of the whole cloud: of consistent group snapshots"),
    Column("group_specs", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
)  # fmt: skip

groups = Table(
    "volume_groups", metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
    Column("status", String(32), nullable=False, doc="creating, available, updating, deleting, error, error_deleting"),
    Column("group_type_id", String(36), ForeignKey("volume_group_types.id"), nullable=False, index=True),
    Column("host", String(255), doc="HOST@BACKEND#POOL that its volumes lie on; None: nowhere yet"),
    Column("availability_zone", String(255), nullable=False),
    Column("group_snapshot_id", String(36), index=True, doc="what it was made of"),
    Column("source_group_id", String(36), doc="what it was made of"),
    Column("replication_status", String(32)),
    Column("reported_error", Text, doc="why it is in error"),
    Index("ix_volume_groups_project_id_created_at", "project_id", "created_at"),
)  # fmt: skip

group_volume_types = Table(
    "volume_group_volume_types", metadata,
    Column("group_id", String(36), ForeignKey("volume_groups.id", ondelete="CASCADE"), primary_key=True),
    Column("volume_type_id", String(36), ForeignKey("volume_types.id"), primary_key=True, index=True),
)  # fmt: skip

group_snapshots = Table(
    "volume_group_snapshots", metadata,
    Column("id", String(36), primary_key=True),
    Column("group_id", String(36), ForeignKey("volume_groups.id"), nullable=False, index=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
    Column("status", String(32), nullable=False, doc="creating, available, deleting, error, error_deleting"),
    Column("group_type_id", String(36)),
    Index("ix_volume_group_snapshots_project_id_created_at", "project_id", "created_at"),
)  # fmt: skip
