"""The rights to open a console that were given out.  A token is kept as its hash only."""

from sqlalchemy import Column, Double, ForeignKey, String, Table

from pileus.kernel.db import metadata

console_tokens = Table(
    "console_tokens", metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("server_id", String(36), ForeignKey("servers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String(16), nullable=False, doc="novnc or serial"),
    Column("expires_at", Double, nullable=False, index=True),
)  # fmt: skip
