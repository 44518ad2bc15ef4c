"""Resource providers, inventories and allocations that others keep here.

The compute hosts and what their servers take are not among them: those are read from their own rows.
"""

from sqlalchemy import Column, Double, ForeignKey, Integer, String, Table

from pileus.kernel.db import metadata

providers = Table(
    "placement_providers", metadata,
    Column("uuid", String(36), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("parent_uuid", String(36), index=True),
    Column("root_uuid", String(36), nullable=False, index=True),
    Column("generation", Integer, nullable=False, default=0),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)  # fmt: skip

inventories = Table(
    "placement_inventories", metadata,
    Column("provider_uuid", String(36), primary_key=True, doc="of a row above or of a compute host"),
    Column("resource_class", String(255), primary_key=True),
    Column("total", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("min_unit", Integer, nullable=False),
    Column("max_unit", Integer, nullable=False),
    Column("step_size", Integer, nullable=False),
    Column("allocation_ratio", Double, nullable=False),
)  # fmt: skip

provider_traits = Table(
    "placement_provider_traits", metadata,
    Column("provider_uuid", String(36), ForeignKey("placement_providers.uuid", ondelete="CASCADE"), primary_key=True),
    Column("trait", String(255), primary_key=True),
)  # fmt: skip

provider_aggregates = Table(
    "placement_provider_aggregates", metadata,
    Column("provider_uuid", String(36), primary_key=True, doc="of a row above or of a compute host"),
    Column("aggregate_uuid", String(36), primary_key=True),
)  # fmt: skip

consumers = Table(
    "placement_consumers", metadata,
    Column("uuid", String(36), primary_key=True),
    Column("project_id", String(255), nullable=False, index=True),
    Column("user_id", String(255), nullable=False),
    Column("type", String(255)),
    Column("generation", Integer, nullable=False, default=0),
)  # fmt: skip

allocations = Table(
    "placement_allocations", metadata,
    Column("consumer_uuid", String(36), ForeignKey("placement_consumers.uuid", ondelete="CASCADE"), primary_key=True),
    Column("provider_uuid", String(36), primary_key=True, index=True),
    Column("resource_class", String(255), primary_key=True),
    Column("used", Integer, nullable=False),
)  # fmt: skip

custom_traits = Table("placement_traits", metadata, Column("name", String(255), primary_key=True))
custom_classes = Table("placement_resource_classes", metadata, Column("name", String(255), primary_key=True))
