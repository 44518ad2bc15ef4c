"""The limits of the object store: what requests are held to, and what /info tells of them."""

from dataclasses import dataclass

from pileus.kernel.settings import Settings


@dataclass(frozen=True)
class Limits:
    """Numbers that requests are held to; lengths in characters, sizes in bytes."""

    object_bytes_max: int = 5_368_709_122
    meta_name_length: int = 128
    meta_value_length: int = 256
    meta_count: int = 90
    meta_overall_bytes: int = 4096
    header_bytes: int = 8192
    account_name_length: int = 256
    container_name_length: int = 256
    object_name_length: int = 1024
    listing: int = 10_000
    manifest_segments: int = 1000
    manifest_bytes: int = 8_388_608
    inline_bytes: int = 1_048_576
    manifest_depth: int = 10
    symlink_depth: int = 2
    bulk_deletes: int = 10_000
    bulk_containers: int = 10_000
    bulk_failures: int = 1000
    cors_origin_header_bytes: int = 8192
    client_timeout_seconds: float = 60.0
    listing_segments: int = 10_000


def limits_of(settings: Settings) -> Limits:
    """Return the limits under the cloud's settings."""
    return Limits(object_bytes_max=settings.object_bytes_max)
