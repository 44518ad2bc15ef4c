"""Servers, their tags, the log of what was asked of them, and their migrations: changes of flavor or host.

A server's row holds all that its guest needs to be built again: the flavor and the image's properties as they were, the
disks and the ports in their order.  What a host has given out is the sum over these rows (`host`, `vcpus`, `memory_mib`,
`disk_gib` of those with no `deleted_at`) and over what migrations hold on a second host: there is no other book.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, Text

from pileus.kernel.db import Json, metadata

servers = Table(
    "servers", metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", String(255)),
    Column("hostname", String(255), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("launched_at", Double),
    Column("terminated_at", Double),
    Column("deleted_at", Double),
    Column("vm_state", String(32), nullable=False),
    Column("task_state", String(64), doc="what is under way; None: nothing, and then there is no task either"),
    Column("power_state", Integer, nullable=False, default=0),
    Column("host", String(255), index=True, doc="where room is claimed; None: nowhere"),
    Column("availability_zone", String(255)),
    Column("pinned_zone", String(255), doc="the zone that the user asked for"),
    Column("flavor_id", String(255), nullable=False),
    Column("flavor", Json, nullable=False, doc="as it was: id, name, vcpus, ram, disk, ephemeral, swap, extra_specs"),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False, doc="root, ephemeral and swap disks together"),
    Column("image_id", String(36), nullable=False, default=""),
    Column("image", Json, nullable=False, doc="the image's name, disk_format, min_disk, min_ram and properties, as they were"),
    Column("disks", Json, nullable=False, doc="kind, size_gib, size_mib, boot_index of each; the root disk first"),
    Column("nics", Json, nullable=False, doc="port_id, tag and ours (made by us, so deleted with the server), in order"),
    Column("security_groups", Json, nullable=False, doc="names asked for"),
    Column("key_name", String(255)),
    Column("key_type", String(16)),
    Column("key_public", Text),
    Column("user_data", Text),
    Column("metadata", Json, nullable=False),
    Column("password", Text, nullable=False, default="", doc="what the guest posted, encrypted with the user's key"),
    Column("personality", Json, nullable=False, doc="pairs of a path and base64 content, put on the config drive"),
    Column("config_drive", Boolean, nullable=False, default=False),
    Column("access_ipv4", String(64), nullable=False, default=""),
    Column("access_ipv6", String(64), nullable=False, default=""),
    Column("disk_config", String(8), nullable=False, default="AUTO"),
    Column("hints", Json, nullable=False, doc="scheduler hints"),
    Column("wanted_host", Json, nullable=False, doc="host, hypervisor_hostname, forced: where an admin wants it"),
    Column("server_group_id", String(36), index=True, doc="the server group it is a member of"),
    Column("reservation_id", String(32), nullable=False),
    Column("launch_index", Integer, nullable=False, default=0),
    Column("locked_by", String(8), doc="owner or admin"),
    Column("locked_reason", String(255)),
    Column("fault", Json, doc="code, message, details, created_at"),
    Column("trusted_certificates", Json),
    Column("progress", Integer, nullable=False, default=0),
    Column("aside", Json, doc="what is under way or can be taken back needs: an image, the flavor and state from before"),
    Column("root_image_id", String(36), doc="whose content is below the root disk, where that is not the server's image"),
    Index("ix_servers_project_id_deleted_at", "project_id", "deleted_at"),
    Index("ix_servers_created_at", "created_at"),
)  # fmt: skip

server_tags = Table(
    "server_tags", metadata,
    Column("server_id", String(36), ForeignKey("servers.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(60), primary_key=True),
)  # fmt: skip

server_actions = Table(
    "server_actions", metadata,
    Column("id", Integer, primary_key=True),
    Column("server_id", String(36), ForeignKey("servers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("request_id", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("message", String(255), doc="Error, where it went wrong"),
    Column("events", Json, nullable=False, doc="event, started_at, finished_at, result, host, details of each"),
)  # fmt: skip

migrations = Table(
    "migrations", metadata,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("server_id", String(36), ForeignKey("servers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column(
        "migration_type", String(16), nullable=False, server_default="resize",
        doc="resize, migration, live-migration, evacuation",
    ),
    Column("host", String(255), nullable=False, doc="where the server was; its node has the same name"),
    Column("dest_compute", String(255), doc="where it is to be; None: nowhere yet, or (of old resizes) where it was"),
    Column("dest_host", String(255), doc="the address of that host"),
    Column("old_flavor", Integer, nullable=False, doc="the flavor's number; 0: it was gone by then"),
    Column("new_flavor", Integer, nullable=False),
    Column(
        "status", String(32), nullable=False,
        doc="accepted, queued, preparing, pre-migrating, migrating, running, post-migrating, reverting; at the end finished, "
        "confirmed, reverted, completed, done, cancelled, failed, error",
    ),
    Column("held_host", String(255), index=True, doc="the other host than the server's own where room is kept for it meanwhile"),
    Column("held_vcpus", Integer, nullable=False, server_default="0"),
    Column("held_memory_mib", Integer, nullable=False, server_default="0"),
    Column("held_disk_gib", Integer, nullable=False, server_default="0"),
    Column("memory_total", BigInteger, doc="bytes, as all that follow; of live migrations"),
    Column("memory_processed", BigInteger),
    Column("memory_remaining", BigInteger),
    Column("disk_total", BigInteger),
    Column("disk_processed", BigInteger),
    Column("disk_remaining", BigInteger),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)  # fmt: skip
