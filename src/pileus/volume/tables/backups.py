"""Backups of volumes, and what users say of them.

The content lies in a backup target, under `container` and `location`; `digest` is that of its manifest, which names all the
rest.  An imported record may point to the same content as another row does: it goes with the last of them.
"""

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, Text

from pileus.kernel.db import metadata

backups = Table(
    "volume_backups", metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255)),
    Column("description", String(255)),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
    Column("status", String(32), nullable=False, doc="creating, available, restoring, deleting, error, error_deleting"),
    Column("fail_reason", Text),
    Column("volume_id", String(36), nullable=False, index=True),
    Column("volume_type_id", String(36), doc="the type that the volume had"),
    Column("size_gib", Integer, nullable=False),
    Column("snapshot_id", String(36), index=True),
    Column("parent_id", String(36), index=True, doc="the backup that it is the difference to; None: it is a full one"),
    Column("data_timestamp", Double, doc="when the content was as it is here"),
    Column("availability_zone", String(255)),
    Column("container", String(255), doc="None: it has no content, as a record that could not be imported"),
    Column("location", String(255), doc="the start of the names of all its objects"),
    Column("digest", String(64), doc="of the manifest (SHA-256)"),
    Column("object_count", Integer, nullable=False, default=0, doc="grows while the backup is made"),
    Column("holding", Boolean, nullable=False, default=False, doc="whether the volume or snapshot is kept for it as backing-up"),
    Column("service", String(255), nullable=False, doc="which kind of target holds the content"),
    Column("encryption_key_id", String(36)),
    Column("restore_volume_id", String(36), index=True, doc="the volume that it is being restored to"),
    Column("request_id", String(64), nullable=False, default="", doc="the request that began what is under way"),
    Index("ix_volume_backups_project_id_created_at", "project_id", "created_at"),
    Index("ix_volume_backups_location", "container", "location"),
)  # fmt: skip

backup_metadata = Table(
    "volume_backup_metadata", metadata,
    Column("backup_id", String(36), ForeignKey("volume_backups.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("value", String(255), nullable=False),
)  # fmt: skip
