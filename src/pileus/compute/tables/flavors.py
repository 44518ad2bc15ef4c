"""Flavors, and which projects may use those that are not public."""

from sqlalchemy import Boolean, Column, Double, ForeignKey, Integer, String, Table, Text

from pileus.kernel.db import Json, metadata

flavors = Table(
    "flavors", metadata,
    Column("id", Integer, primary_key=True),
    Column("flavor_id", String(255), nullable=False, unique=True, doc="the id that callers know"),
    Column("name", String(255), nullable=False, unique=True),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False),
    Column("ephemeral_gib", Integer, nullable=False, default=0),
    Column("swap_mib", Integer, nullable=False, default=0),
    Column("rxtx_factor", Double, nullable=False, default=1.0),
    Column("is_public", Boolean, nullable=False, default=True),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("description", Text),
    Column("extra_specs", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
)  # fmt: skip

flavor_projects = Table(
    "flavor_projects", metadata,
    Column("flavor_id", Integer, ForeignKey("flavors.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", String(64), primary_key=True),
)  # fmt: skip
