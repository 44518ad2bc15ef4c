"""Volumes, what users and images say of them, their snapshots, and who is attached to them.

`host` is where a volume lies, in cinder's form HOST@BACKEND#POOL; HOST@BACKEND is the name of the back end's driver on the
bus.  `generation` grows by one with each change of status or size: who changes a volume does so only where it still has the
generation that was read.
"""

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, Text

from pileus.kernel.db import Json, metadata

volumes = Table(
    "volumes", metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
    Column("generation", Integer, nullable=False, default=0),
    Column("status", String(32), nullable=False, index=True),
    Column("before", String(32), nullable=False, default="", doc="the status to go back to when what is under way fails"),
    Column("size_gib", Integer, nullable=False),
    Column("host", String(255), index=True, doc="HOST@BACKEND#POOL; None: nowhere yet"),
    Column("availability_zone", String(255), nullable=False),
    Column("volume_type_id", String(36), index=True),
    Column("snapshot_id", String(36), doc="what it was made of"),
    Column("source_volume_id", String(36), doc="what it was made of"),
    Column("image_id", String(36), doc="what it was made of"),
    Column("backup_id", String(36), doc="what it was made of"),
    Column("bootable", Boolean, nullable=False, default=False),
    Column("multiattach", Boolean, nullable=False, default=False),
    Column("read_only", Boolean, doc="None: nobody ever said"),
    Column("thin", Boolean, nullable=False, default=True),
    Column("counts", Boolean, nullable=False, default=True, doc="against the quota; not so the half of a migration"),
    Column("encryption_key_id", String(36), doc="None: its content is not encrypted"),
    Column("migration_status", String(32)),
    Column("replication_status", String(32)),
    Column("group_id", String(36), index=True),
    Column("scheduler_hints", Json, nullable=False),
    Column("aside", Json, doc="what is under way needs: the new size, type or host, an image to fill"),
    Column("launched_at", Double, doc="when it first became available"),
    Column("reported_error", Text, doc="why it is in error"),
    Index("ix_volumes_project_id_created_at", "project_id", "created_at"),
)  # fmt: skip

volume_metadata = Table(
    "volume_metadata", metadata,
    Column("volume_id", String(36), ForeignKey("volumes.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("value", String(255), nullable=False),
)  # fmt: skip

volume_image_metadata = Table(
    "volume_image_metadata", metadata,
    Column("volume_id", String(36), ForeignKey("volumes.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("value", Text, nullable=False),
)  # fmt: skip

volume_keys = Table(
    "volume_keys", metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("secret", Text, nullable=False, doc="a LUKS key in hex, encrypted with a key that is no part of the database"),
)  # fmt: skip

snapshots = Table(
    "snapshots", metadata,
    Column("id", String(36), primary_key=True),
    Column("volume_id", String(36), ForeignKey("volumes.id"), nullable=False, index=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
    Column("status", String(32), nullable=False),
    Column("progress", String(8), nullable=False, default="0%"),
    Column("size_gib", Integer, nullable=False),
    Column("volume_type_id", String(36)),
    Column("group_snapshot_id", String(36), index=True),
    Column("encryption_key_id", String(36)),
    Column("counts", Boolean, nullable=False, default=True, doc="against the quota"),
    Index("ix_snapshots_project_id_created_at", "project_id", "created_at"),
)  # fmt: skip

snapshot_metadata = Table(
    "snapshot_metadata", metadata,
    Column("snapshot_id", String(36), ForeignKey("snapshots.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("value", String(255), nullable=False),
)  # fmt: skip

attachments = Table(
    "volume_attachments", metadata,
    Column("id", String(36), primary_key=True),
    Column("volume_id", String(36), ForeignKey("volumes.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", String(64), nullable=False),
    Column("server_id", String(36), index=True, doc="None: attached to a host, not to a server"),
    Column("host", String(255), doc="the name of the attached host"),
    Column("mountpoint", String(255)),
    Column("mode", String(2), nullable=False, default="rw", doc="rw, ro"),
    Column("status", String(32), nullable=False, doc="reserved, attaching, attached, detaching, exported"),
    Column("claim", Boolean, nullable=False, default=False, doc="of the older actions: to be attached yet, not shown"),
    Column("of_cloud", Boolean, nullable=False, default=False, doc="made by the cloud's own compute, which alone ends it"),
    Column("connector", Json, doc="what is known of the attached host"),
    Column("connection", Json, doc="how the host reaches the volume: driver_volume_type and data"),
    Column("created_at", Double, nullable=False),
    Column("attached_at", Double),
    Column("expires_at", Double, index=True, doc="when what is under way is taken back; None: never"),
    Index("ix_volume_attachments_volume_id_server_id", "volume_id", "server_id"),
)  # fmt: skip

messages = Table(
    "volume_messages", metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False, index=True),
    Column("request_id", String(64), nullable=False),
    Column("resource_type", String(36), nullable=False),
    Column("resource_uuid", String(36), nullable=False, index=True),
    Column("event_id", String(36), nullable=False, doc="VOLUME_VOLUME_001_002: resource, action and detail"),
    Column("message_level", String(16), nullable=False, default="ERROR"),
    Column("user_message", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("guaranteed_until", Double, nullable=False, index=True),
)  # fmt: skip
