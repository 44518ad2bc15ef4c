"""Fragment archives on a disk: found, opened, made durable.  Plain functions that block; `local_fragments` calls them."""

import os
from dataclasses import dataclass
from http import HTTPStatus

from msgspec.structs import replace

from pileus.object_store.backend import Fragment, FragmentsAnswer, ObjectAnswer, ObjectName
from pileus.object_store.storage.disk import Opened, Shelf, clear, load, metadata_of
from pileus.object_store.storage.durable import SIDECAR, Damaged
from pileus.object_store.storage.hashdir import DURABLE, fragment_name, index_of, read_state, stamp_of
from pileus.object_store.storage.layout import sync_directory
from pileus.object_store.timestamps import Timestamp


def find_fragments(shelf: Shelf, partition: int, name: ObjectName, now: float) -> FragmentsAnswer:
    """Return what fragments there are of an object.  What is damaged is quarantined; what has expired is not found."""
    directory = shelf.directory(partition, name)
    state = read_state(directory)
    tombstone = stamp_of(state.tombstone) if state.tombstone else None
    found = []
    for file_name in (*state.fragments, *state.pending):
        try:
            record = load(f"{directory}/{file_name}")
            if record.name != name or record.archive is None or record.archive.index != index_of(file_name):
                raise Damaged(f"{directory}/{file_name}: not what was written")
            metadata = metadata_of(directory, state, record, file_name)
        except FileNotFoundError:
            continue  # superseded meanwhile
        except Damaged:
            shelf.device.quarantine(directory, "objects", shelf.policy)
            return FragmentsAnswer(HTTPStatus.NOT_FOUND)
        if metadata.delete_at is not None and metadata.delete_at <= now:
            tombstone = max(tombstone or metadata.modified_at, metadata.modified_at)
            continue
        found.append(Fragment(record.archive.index, file_name.endswith(DURABLE), record.archive.coding, metadata))
    return FragmentsAnswer(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, tombstone, tuple(found))


def open_fragment(shelf: Shelf, partition: int, name: ObjectName, at: Timestamp, index: int) -> Opened:
    """Open an archive; the caller closes the descriptor."""
    directory = shelf.directory(partition, name)
    for durable in (True, False, True):
        path = f"{directory}/{fragment_name(at, index, durable)}"
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # the last try is for one that was made durable under our eyes
        try:
            record = load(path, descriptor)
            if record.name != name or os.fstat(descriptor).st_size != record.stored[0]:
                raise Damaged(f"{path}: not what was written")
            metadata = metadata_of(directory, read_state(directory), record, os.path.basename(path))
        except FileNotFoundError:
            os.close(descriptor)
            continue
        except Damaged:
            os.close(descriptor)
            shelf.device.quarantine(directory, "objects", shelf.policy)
            return Opened(ObjectAnswer(HTTPStatus.NOT_FOUND))
        size_bytes, etag = record.stored
        stored = replace(metadata, size_bytes=size_bytes, etag=etag)
        return Opened(ObjectAnswer(HTTPStatus.OK, at, stored), descriptor, record)
    return Opened(ObjectAnswer(HTTPStatus.NOT_FOUND))


@dataclass(frozen=True)
class Settled:
    """A fragment made durable: its directory, None where there is no such fragment, and whether it is the newest there."""

    directory: str | None
    newest: bool = False


def settle_fragment(shelf: Shelf, partition: int, name: ObjectName, at: Timestamp, index: int) -> Settled:
    """Make an archive durable; older files make way for it.  May be repeated."""
    directory = shelf.directory(partition, name)
    before, after = (f"{directory}/{fragment_name(at, index, durable)}" for durable in (False, True))
    try:
        if os.path.lexists(before + SIDECAR) and not os.path.lexists(after + SIDECAR):
            os.link(before + SIDECAR, after + SIDECAR)
        os.rename(before, after)
    except FileNotFoundError:
        if not os.path.lexists(after):
            return Settled(None)
    else:
        sync_directory(directory)
    state = read_state(directory)
    clear(directory, state)
    if os.path.lexists(before + SIDECAR):
        os.unlink(before + SIDECAR)
    return Settled(directory, state.data is not None and stamp_of(state.data) == at)
