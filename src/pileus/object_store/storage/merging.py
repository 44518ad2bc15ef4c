"""Last write wins: how two accounts of the same thing become one.  Pure, commutative and idempotent."""

from collections.abc import Mapping

from msgspec.structs import replace

from pileus.object_store.indexes import ContainerRow, ObjectRow
from pileus.object_store.timestamps import ZERO, Timestamp

Stamped = dict[str, tuple[str, Timestamp]]
"""Headers with the time of each; an empty value says that it was removed then."""


def merge_object_rows(old: ObjectRow, new: ObjectRow) -> ObjectRow:
    """Return the newest of body, content type and metadata of two rows of one name."""
    body = max(old, new, key=lambda row: (row.data_at, row.deleted, row.etag, row.size_bytes))
    typed = max(old, new, key=lambda row: (_typed_at(row), row.content_type))
    return replace(
        body,
        content_type=typed.content_type,
        content_type_at=_later(_typed_at(typed), body.data_at),
        meta_at=_later(max(old.meta_at or old.data_at, new.meta_at or new.data_at), body.data_at),
    )


def _typed_at(row: ObjectRow) -> Timestamp:
    return max(row.content_type_at or row.data_at, row.data_at)


def _later(moment: Timestamp, than: Timestamp) -> Timestamp | None:
    return moment if moment > than else None


def modified_at(row: ObjectRow) -> Timestamp:
    """Return the newest time in a row."""
    return max(row.data_at, row.content_type_at or ZERO, row.meta_at or ZERO)


def merge_container_rows(old: ContainerRow, new: ContainerRow) -> ContainerRow:
    """Return what is known of a container by two rows: the newest of its times and of its figures."""
    counted = max(old, new, key=lambda row: (row.figures_at, row.object_count, row.bytes_used))
    return replace(
        counted,
        put_at=max(old.put_at, new.put_at),
        delete_at=max(old.delete_at, new.delete_at),
        policy=max(old, new, key=lambda row: (row.put_at, row.policy)).policy,
    )


def merge_headers(old: Stamped, new: Stamped) -> Stamped:
    """Return the newest of each header."""
    merged = dict(old)
    for name, (value, at) in new.items():
        if name not in merged or (merged[name][1], merged[name][0]) < (at, value):
            merged[name] = (value, at)
    return merged


def stamp_headers(headers: Mapping[str, str], at: Timestamp) -> Stamped:
    """Return headers, all of one time."""
    return {name: (value, at) for name, value in headers.items()}


def live_headers(stamped: Stamped) -> dict[str, str]:
    """Return the headers that are set."""
    return {name: value for name, (value, _) in stamped.items() if value}


def posted_headers(stored: Mapping[str, str], posted: Mapping[str, str]) -> dict[str, str]:
    """Return an object's headers once a POST has replaced what a POST replaces."""
    kept = {
        name: value for name, value in stored.items() if name.startswith("X-Object-Sysmeta-") or name == "X-Static-Large-Object"
    }
    return kept | {name: value for name, value in posted.items() if not name.startswith("X-Object-Sysmeta-")}


def listed_row(name: str, data: ObjectRow, headers: Mapping[str, str]) -> ObjectRow:
    """Return the row for a container: as the object is, but for what the container-update overrides say.

    An ETag that begins with "; " (further facts) follows the object's own.
    """
    start = "X-Object-Sysmeta-Container-Update-Override-"
    size = headers.get(start + "Size")
    etag = headers.get(start + "Etag", data.etag)
    return replace(
        data,
        name=name,
        size_bytes=int(size) if size and size.isdecimal() else data.size_bytes,
        etag=data.etag + etag if etag.startswith("; ") else etag,
        content_type=headers.get(start + "Content-Type", data.content_type),
    )
