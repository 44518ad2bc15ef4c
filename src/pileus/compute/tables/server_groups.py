"""Server groups.  Which servers are members is written in the servers' own rows (server_group_id)."""

from sqlalchemy import Column, Double, Integer, String, Table

from pileus.kernel.db import Json, metadata

server_groups = Table(
    "server_groups", metadata,
    Column("number", Integer, primary_key=True, doc="the order of lists"),
    Column("id", String(36), nullable=False, unique=True),
    Column("project_id", String(64), nullable=False, index=True),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("policy", String(32), nullable=False),
    Column("rules", Json, nullable=False),
    Column("created_at", Double, nullable=False),
)  # fmt: skip
