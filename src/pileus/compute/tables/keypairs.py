"""Public keys of users."""

from sqlalchemy import Column, Double, Integer, String, Table, Text, UniqueConstraint

from pileus.kernel.db import metadata

keypairs = Table(
    "keypairs", metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("type", String(8), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("user_id", "name"),
)  # fmt: skip
