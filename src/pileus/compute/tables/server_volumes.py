"""The volumes of servers: which disk of a guest is which volume, and what is being done to it.

The disks that a guest has of its host stand in the server's own row (`disks`).

    attaching --> attached --> detaching --> (gone)      what fails goes back: attaching --> (gone), detaching --> attached
                     ^  '----> moving ---.               the guest goes over to where the volume is carried, or stays
                     '-------------------'
"""

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, UniqueConstraint

from pileus.kernel.db import metadata

server_volumes = Table(
    "server_volumes", metadata,
    Column("id", String(36), primary_key=True, doc="what the API calls the block device mapping's UUID"),
    Column("server_id", String(36), ForeignKey("servers.id", ondelete="CASCADE"), nullable=False),
    Column("volume_id", String(36), nullable=False),
    Column("attachment_id", String(36), nullable=False, unique=True, doc="by which the volume service knows it"),
    Column("state", String(16), nullable=False, doc="attaching, attached, detaching, moving"),
    Column("moves", Integer, nullable=False, default=0, doc="how often the guest has gone over: its disk has a new id each time"),
    Column("device_name", String(255), nullable=False, doc="/dev/vdb"),
    Column("boot_index", Integer, doc="None: not to be booted from; 0: the root disk"),
    Column("source_type", String(16), nullable=False, doc="volume, snapshot, image, blank: what it was made of"),
    Column("source_id", String(36), doc="the snapshot or image"),
    Column("size_gib", Integer, nullable=False),
    Column("delete_on_termination", Boolean, nullable=False, default=False),
    Column("tag", String(60)),
    Column("disk_bus", String(16)),
    Column("device_type", String(16)),
    Column("volume_type", String(255), doc="as it was asked for"),
    Column("forced", Boolean, nullable=False, default=False, doc="it goes whether the guest lets go or not"),
    Column("request_id", String(64), nullable=False, default="", doc="who asked for what is under way"),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("server_id", "device_name"),
    Index("ix_server_volumes_volume_id", "volume_id"),
)  # fmt: skip
