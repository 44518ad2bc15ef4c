"""Volume types, who may use those that are not public, how they encrypt, and the qualities of service they promise."""

from sqlalchemy import Boolean, Column, Double, ForeignKey, Integer, String, Table, Text

from pileus.kernel.db import Json, metadata

qos_specs = Table(
    "volume_qos_specs", metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("consumer", String(16), nullable=False, doc="who keeps the promise: front-end, back-end, both"),
    Column("specs", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
)  # fmt: skip

volume_types = Table(
    "volume_types", metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text),
    Column("is_public", Boolean, nullable=False, default=True),
    Column("is_default", Boolean, nullable=False, default=False, doc="of the whole cloud, whatever it is called; one is"),
    Column("qos_specs_id", String(36), ForeignKey("volume_qos_specs.id"), index=True),
    Column("extra_specs", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
)  # fmt: skip

volume_type_projects = Table(
    "volume_type_projects", metadata,
    Column("volume_type_id", String(36), ForeignKey("volume_types.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", String(255), primary_key=True, index=True),
)  # fmt: skip

volume_type_encryptions = Table(
    "volume_type_encryptions", metadata,
    Column("volume_type_id", String(36), ForeignKey("volume_types.id", ondelete="CASCADE"), primary_key=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("provider", String(255), nullable=False, doc="luks"),
    Column("cipher", String(255)),
    Column("key_size", Integer, doc="in bits"),
    Column("control_location", String(16), nullable=False, doc="front-end, back-end"),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
)  # fmt: skip

default_volume_types = Table(
    "default_volume_types", metadata,
    Column("project_id", String(64), primary_key=True),
    Column("volume_type_id", String(36), ForeignKey("volume_types.id"), nullable=False, index=True),
)  # fmt: skip
