"""What an operator says of the volume service's parts: which ones get no new volumes, and why."""

from sqlalchemy import Boolean, Column, Double, String, Table, Text

from pileus.kernel.db import metadata

services = Table(
    "volume_services", metadata,
    Column("id", String(36), primary_key=True),
    Column("binary", String(64), nullable=False, doc="cinder-volume, cinder-scheduler, cinder-backup"),
    Column("host", String(255), nullable=False, index=True, doc="HOST@BACKEND of a back end, else HOST"),
    Column("availability_zone", String(255), nullable=False),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("disabled_reason", Text),
    Column("frozen", Boolean, nullable=False, default=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
)  # fmt: skip
