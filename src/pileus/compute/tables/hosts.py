"""Compute hosts: one row for what nova calls the compute service, the hypervisor and the root resource provider."""

from sqlalchemy import Boolean, Column, Double, Integer, String, Table

from pileus.kernel.db import Json, metadata

hosts = Table(
    "compute_hosts", metadata,
    Column("id", Integer, primary_key=True, doc="the id of the service and of the hypervisor before 2.53"),
    Column("name", String(255), nullable=False, unique=True),
    Column("service_uuid", String(36), nullable=False, unique=True),
    Column("hypervisor_uuid", String(36), nullable=False, unique=True, doc="also the resource provider's"),
    Column("vcpus", Integer, nullable=False),
    Column("memory_mib", Integer, nullable=False),
    Column("disk_gib", Integer, nullable=False),
    Column("free_disk_gib", Integer, nullable=False),
    Column("vcpus_reserved", Integer, nullable=False, default=0),
    Column("memory_reserved_mib", Integer, nullable=False, default=0),
    Column("disk_reserved_gib", Integer, nullable=False, default=0),
    Column("vcpus_ratio", Double, nullable=False),
    Column("memory_ratio", Double, nullable=False),
    Column("disk_ratio", Double, nullable=False),
    Column("arch", String(32), nullable=False),
    Column("hypervisor_type", String(32), nullable=False),
    Column("hypervisor_version", Integer, nullable=False),
    Column("virt_type", String(16), nullable=False),
    Column("cpu", Json, nullable=False, doc="model, vendor, features"),
    Column("traits", Json, nullable=False, doc="what the host can do, and what operators added"),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("disabled_reason", String(255)),
    Column("forced_down", Boolean, nullable=False, default=False),
    Column("generation", Integer, nullable=False, default=0, doc="of the resource provider"),
    Column("seen_at", Double, nullable=False, doc="the last time that the host answered"),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double),
)  # fmt: skip
