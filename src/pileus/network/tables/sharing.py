"""Who else may use a thing: policies that open one to a project, or to all."""

from sqlalchemy import Column, String, Table, UniqueConstraint

from pileus.kernel.db import metadata
from pileus.network.tables.columns import dated

rbac_policies = Table(
    "network_rbac_policies", metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", String(64), nullable=False, index=True),
    Column("object_type", String(32), nullable=False),
    Column("object_id", String(36), nullable=False, index=True),
    Column("target_project", String(64), nullable=False, index=True, doc="* is all"),
    Column("action", String(32), nullable=False),
    *dated(),
    UniqueConstraint("object_type", "object_id", "target_project", "action"),
)  # fmt: skip
