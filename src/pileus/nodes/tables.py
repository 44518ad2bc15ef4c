"""Hosts that have joined, and the tokens by which others may."""

from sqlalchemy import Column, Double, String, Table

from pileus.kernel.db import metadata

nodes = Table(
    "nodes", metadata,
    Column("serial", String(64), primary_key=True, doc="number of its certificate, hexadecimal"),
    Column("name", String(255), nullable=False, index=True),
    Column("address", String(255), nullable=False, doc="where it joined from"),
    Column("joined_at", Double, nullable=False),
    Column("removed_at", Double, nullable=True, doc="its certificate counts no longer"),
)  # fmt: skip

node_tokens = Table(
    "node_tokens", metadata,
    Column("hash", String(64), primary_key=True, doc="SHA-256 of the secret"),
    Column("expires_at", Double, nullable=False),
    Column("used_by", String(255), nullable=True, doc="the host that joined by it"),
)  # fmt: skip
