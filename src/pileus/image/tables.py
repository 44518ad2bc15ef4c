"""The tables of images: what is known of them, their properties and tags, sharing, imports; and the metadata catalog."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, String, Table, Text

from pileus.kernel.db import Json, metadata

images = Table(
    "images", metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255)),
    Column("status", String(16), nullable=False, doc="queued, saving, uploading, importing, active or deactivated"),
    Column("visibility", String(16), nullable=False, doc="public, private, shared or community"),
    Column("owner", String(255), index=True, doc="a project's id"),
    Column("size", BigInteger, doc="bytes of the file"),
    Column("virtual_size", BigInteger, doc="bytes of the disk that a guest sees"),
    Column("checksum", String(32), doc="MD5 in hexadecimal"),
    Column("os_hash_algo", String(64)),
    Column("os_hash_value", String(128)),
    Column("disk_format", String(20)),
    Column("container_format", String(20)),
    Column("min_disk", Integer, nullable=False, default=0, doc="GiB"),
    Column("min_ram", Integer, nullable=False, default=0, doc="MiB"),
    Column("protected", Boolean, nullable=False, default=False),
    Column("os_hidden", Boolean, nullable=False, default=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("upload_id", String(36), nullable=False, default="", doc="the upload that writes its file now; empty: none"),
    Index("ix_images_created_at_id", "created_at", "id"),
)  # fmt: skip

facts = Table(
    "image_facts", metadata,
    Column("image_id", String(36), primary_key=True),
    Column("kind", String(8), primary_key=True, doc="property, tag or location"),
    Column("name", String(255), primary_key=True, doc="of a location its number, from 0000 on"),
    Column("value", Text, nullable=False, default="", doc="of a property; of a location its store, URL and metadata as JSON"),
    Index("ix_image_facts_kind_name", "kind", "name"),
)  # fmt: skip

members = Table(
    "image_members", metadata,
    Column("image_id", String(36), primary_key=True),
    Column("member_id", String(255), primary_key=True, index=True, doc="a project's id"),
    Column("status", String(16), nullable=False, doc="pending, accepted or rejected"),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)  # fmt: skip

imports = Table(
    "image_imports", metadata,
    Column("id", String(36), primary_key=True),
    Column("image_id", String(36), nullable=False, index=True),
    Column("owner", String(255), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("status", String(16), nullable=False, doc="pending, processing, success or failure"),
    Column("input", Json, nullable=False),
    Column("message", Text, nullable=False, default=""),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)  # fmt: skip

cached = Table(
    "image_cached", metadata,
    Column("host", String(255), primary_key=True, doc="on whose disk"),
    Column("image_id", String(36), primary_key=True, index=True),
    Column("status", String(16), nullable=False, doc="queued or cached"),
    Column("size", BigInteger, nullable=False, default=0, doc="bytes"),
    Column("hits", Integer, nullable=False, default=0, doc="how often it was read"),
    Column("last_modified", Double, nullable=False),
    Column("last_accessed", Double, nullable=False),
)  # fmt: skip

namespaces = Table(
    "image_metadef_namespaces", metadata,
    Column("id", String(36), primary_key=True),
    Column("namespace", String(80), nullable=False, unique=True),
    Column("display_name", String(80)),
    Column("description", Text),
    Column("visibility", String(16), nullable=False, doc="public or private"),
    Column("protected", Boolean, nullable=False, default=False),
    Column("owner", String(255), nullable=False, doc="a project's id"),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)  # fmt: skip

definitions = Table(
    "image_metadef_definitions", metadata,
    Column("namespace_id", String(36), primary_key=True),
    Column("kind", String(16), primary_key=True, doc="object, property, tag or resource_type"),
    Column("name", String(80), primary_key=True),
    Column("body", Json, nullable=False, doc="its further attributes"),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)  # fmt: skip
