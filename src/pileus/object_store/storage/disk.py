"""Objects on a disk: plain functions that read, link and remove files in hash directories.  Blocking; `local` calls them."""

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from pileus.object_store.backend import (
    OBJECT_ETAG,
    OBJECT_SIZE,
    ObjectAnswer,
    ObjectDelete,
    ObjectMetadata,
    ObjectName,
    ObjectPost,
    ObjectPut,
    Written,
)
from pileus.object_store.coding import Coding
from pileus.object_store.indexes import ObjectRow
from pileus.object_store.storage import expiring
from pileus.object_store.storage.durable import FULL, Damaged, NewFile, place, read_record, remove
from pileus.object_store.storage.hashdir import State, fragment_name, read_state, stamp_of
from pileus.object_store.storage.layout import Device, make_directories
from pileus.object_store.storage.merging import listed_row, posted_headers
from pileus.object_store.timestamps import Timestamp

T = TypeVar("T")
TRIES = 8
CUT_SHORT = 499
WRITEBACK_BYTES = 8_388_608
OWN_FOOTERS = ("Etag", OBJECT_SIZE, OBJECT_ETAG)


class Archive(msgspec.Struct, frozen=True, array_like=True):
    """What is known of a fragment archive: its index, its code, its own size and MD5 (an empty one: not known yet)."""

    index: int
    coding: Coding
    size_bytes: int
    etag: str


class Record(msgspec.Struct, frozen=True, array_like=True):
    """What is kept beside the bytes of each kind of file; a tombstone has a name only.

    Size and ETag are the object's, also where the file is the archive of one of its fragments.
    """

    account: str
    container: str
    object: str
    size_bytes: int = 0
    etag: str = ""
    content_type: str = ""
    delete_at: int | None = None
    headers: dict[str, str] = {}
    archive: Archive | None = None

    @property
    def name(self) -> ObjectName:
        """Whose it is."""
        return ObjectName(self.account, self.container, self.object)

    @property
    def stored(self) -> tuple[int, str]:
        """Size and MD5 of the file itself."""
        return (self.archive.size_bytes, self.archive.etag) if self.archive else (self.size_bytes, self.etag)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


@dataclass(frozen=True)
class Shelf:
    """The objects of one policy on a device."""

    device: Device
    policy: int = 0

    def directory(self, partition: int, name: ObjectName) -> str:
        """Return the hash directory of an object."""
        name_hash = self.device.salt.hash(name.account, name.container, name.object)
        return self.device.hash_dir("objects", partition, name_hash, self.policy)


@dataclass(slots=True)
class Opened:
    """An object found: what is known of it, and its file held open."""

    answer: ObjectAnswer
    descriptor: int = -1
    record: Record | None = None
    state: State | None = None


def load(path: str, descriptor: int | None = None) -> Record:
    """Return the record of a file.

    :raises Damaged: when it cannot be read.
    """
    sealed = read_record(path, descriptor)
    try:
        return _decode(sealed)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"{path}: {error}") from error


def open_object(shelf: Shelf, partition: int, name: ObjectName, now: float, expired_too: bool = False) -> Opened:
    """Find an object and open it; the caller closes the descriptor.  What is damaged is quarantined and not found.

    An expired object is not found, unless expired_too.
    """
    directory = shelf.directory(partition, name)
    for _ in range(TRIES):
        state = read_state(directory)
        if state.data is None:
            return Opened(ObjectAnswer(HTTPStatus.NOT_FOUND, state.newest), state=state)
        try:
            opened = _open_data(directory, state, name)
        except FileNotFoundError:
            continue  # overwritten under our eyes: look again
        except Damaged:
            shelf.device.quarantine(directory, "objects", shelf.policy)
            return Opened(ObjectAnswer(HTTPStatus.NOT_FOUND))
        metadata = opened.answer.metadata
        if metadata and metadata.delete_at is not None and metadata.delete_at <= now and not expired_too:
            os.close(opened.descriptor)
            return Opened(ObjectAnswer(HTTPStatus.NOT_FOUND, metadata.modified_at), state=state)
        return opened
    return Opened(ObjectAnswer(HTTPStatus.SERVICE_UNAVAILABLE))


def _open_data(directory: str, state: State, name: ObjectName) -> Opened:
    path = f"{directory}/{state.data}"
    descriptor = os.open(path, os.O_RDONLY)
    try:
        record = load(path, descriptor)
        if record.name != name or os.fstat(descriptor).st_size != record.stored[0]:
            raise Damaged(f"{path}: not what was written")
        metadata = metadata_of(directory, state, record, state.data)
    except BaseException:
        os.close(descriptor)
        raise
    return Opened(ObjectAnswer(HTTPStatus.OK, metadata.modified_at, metadata), descriptor, record, state)


def metadata_of(directory: str, state: State, record: Record, file_name: str | None) -> ObjectMetadata:
    """Return what is known of a body in a hash directory: its own record, and what was posted since.

    :raises Damaged: when a record cannot be read.
    """
    data_at = modified_at = stamp_of(file_name or "")
    content_type, headers, delete_at = record.content_type, record.headers, record.delete_at
    if state.meta and stamp_of(state.meta) > data_at:
        posted = load(f"{directory}/{state.meta}")
        headers, delete_at = posted_headers(headers, posted.headers), posted.delete_at
        modified_at = stamp_of(state.meta)
    if state.content_type and stamp_of(state.content_type) > data_at:
        content_type = load(f"{directory}/{state.content_type}").content_type
    return ObjectMetadata(record.size_bytes, record.etag, content_type, data_at, modified_at, headers, delete_at)


def refusal(shelf: Shelf, partition: int, name: ObjectName, put: ObjectPut, now: float) -> Written | None:
    """Return why a PUT cannot be, as far as is known before its body."""
    if not shelf.device.has_room(put.size_bytes or 0):
        return Written(HTTPStatus.INSUFFICIENT_STORAGE)
    state = read_state(shelf.directory(partition, name))
    newest = state.newest
    if put.if_none_match and state.data:
        opened = open_object(shelf, partition, name, now)
        if opened.descriptor >= 0:
            os.close(opened.descriptor)
        found = opened.answer.metadata
        if found and ("*" in put.if_none_match or found.etag in put.if_none_match):
            return Written(HTTPStatus.PRECONDITION_FAILED, found.modified_at)
    if newest and newest >= put.timestamp:
        return Written(HTTPStatus.CONFLICT, newest)
    return None


class Incoming:
    """The body of a PUT on its way to the disk."""

    def __init__(self, shelf: Shelf, partition: int, name: ObjectName, put: ObjectPut) -> None:
        self.shelf, self.name, self.put = shelf, name, put
        self.directory = shelf.directory(partition, name)
        self.size_bytes = self.sent_bytes = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.new: NewFile | None = None
        self.full = self.abandoned = False
        self.lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Take the next bytes.  :raises OSError: when the disk does not."""
        if self.new is None:
            self.new = open_new(self.shelf.device, self.directory)
            if self.put.size_bytes and self.put.size_bytes > len(data):
                _allocate(self.new, self.put.size_bytes)
        self.md5.update(data)
        self.size_bytes += len(data)
        if self.put.size_bytes is None or self.size_bytes <= self.put.size_bytes:
            self.new.write(data)
            if self.size_bytes - self.sent_bytes >= WRITEBACK_BYTES:
                # the kernel starts to write these pages, so that little is left for the fsync
                os.posix_fadvise(self.new.descriptor, self.sent_bytes, self.size_bytes - self.sent_bytes, os.POSIX_FADV_DONTNEED)
                self.sent_bytes = self.size_bytes

    def commit(self, footer: Mapping[str, str]) -> tuple[Written, Record | None]:
        """Make it the object; durable on return.  The record is None when there is no news for the container."""
        put, etag = self.put, self.md5.hexdigest()
        if put.size_bytes is not None and self.size_bytes != put.size_bytes:
            return Written(CUT_SHORT if self.size_bytes < put.size_bytes else HTTPStatus.BAD_REQUEST), None
        if (footer.get("Etag") or put.etag or etag) != etag:
            return Written(HTTPStatus.UNPROCESSABLE_ENTITY, etag=etag), None
        record = self._record(footer, etag)
        if self.new is None:
            self.new = open_new(self.shelf.device, self.directory)
        name = fragment_name(put.timestamp, put.fragment.index) if put.fragment else f"{put.timestamp.internal}.data"
        if not settle(self.shelf, self.directory, self.new, name, record):
            return Written(HTTPStatus.CONFLICT, put.timestamp), None
        if put.delete_at is not None:
            expiring.note(self.shelf.device, put.delete_at, self.shelf.policy, self.directory, self.name)
        return Written(HTTPStatus.CREATED, put.timestamp, etag), None if put.fragment else record

    def _record(self, footer: Mapping[str, str], etag: str) -> Record:
        put, size_bytes, archive = self.put, self.size_bytes, None
        if put.fragment:
            archive = Archive(put.fragment.index, put.fragment.coding, size_bytes, etag)
            size_bytes, etag = int(footer[OBJECT_SIZE]), footer[OBJECT_ETAG]
        further = {key: value for key, value in footer.items() if key not in OWN_FOOTERS}
        return Record(
            self.name.account,
            self.name.container,
            self.name.object,
            size_bytes,
            etag,
            put.content_type,
            put.delete_at,
            {**put.headers, **further},
            archive,
        )

    def busy(self, work: Callable[[], T], last: bool = False) -> T:
        """Do something with the file, which is not closed meanwhile.

        :param last: let go of it at the end.
        """
        try:
            with self.lock:
                return work()
        finally:
            if last or self.abandoned:
                self.close()

    def close(self) -> None:
        """Let go of the file; what was not committed is gone.  While a thread is busy with it, that thread does so at its end.

        (A descriptor closed under a thread's hands may be another file's when it writes next.)
        """
        self.abandoned = True
        if self.lock.acquire(blocking=False):
            try:
                if self.new is not None:
                    self.new.close()
                    self.new = None
            finally:
                self.lock.release()


def _allocate(new: NewFile, size_bytes: int) -> None:
    try:
        os.posix_fallocate(new.descriptor, 0, size_bytes)
    except OSError as error:
        if error.errno in FULL:
            raise


def open_new(device: Device, directory: str) -> NewFile:
    """Open a file that is to stand in a hash directory, which is made if need be."""
    for _ in range(TRIES):
        first = make_directories(directory, later=True)  # ahead, as most names are new
        try:
            return NewFile(device, directory, first)
        except FileNotFoundError:
            continue  # it was removed as empty meanwhile
    raise FileNotFoundError(directory)


def settle(shelf: Shelf, directory: str, new: NewFile, name: str, record: Record) -> bool:
    """Finish a file, give it its place, and remove what it makes superfluous; False when the name was taken.

    Where it is the first, nothing is looked for: what a writer at the same time leaves beside it, the auditor clears.
    """
    for _ in range(TRIES):
        try:
            linked = place(shelf.device, new, f"{directory}/{name}", _encode(record))
            break
        except FileNotFoundError:
            make_directories(directory, later=True)  # it was removed as empty meanwhile
    else:
        raise FileNotFoundError(directory)
    if not new.first:
        clear(directory, read_state(directory))
    return linked


def clear(directory: str, state: State) -> None:
    """Remove what is superfluous in a hash directory."""
    for name in state.obsolete:
        remove(f"{directory}/{name}")


def post_object(shelf: Shelf, partition: int, name: ObjectName, post: ObjectPost, now: float) -> tuple[Written, ObjectRow | None]:
    """Replace an object's metadata; return the news for its container."""
    opened = open_object(shelf, partition, name, now)
    metadata, record = opened.answer.metadata, opened.record
    if metadata is None or record is None:
        return Written(opened.answer.status, opened.answer.timestamp), None
    os.close(opened.descriptor)
    if metadata.modified_at >= post.timestamp:
        return Written(HTTPStatus.CONFLICT, metadata.modified_at), None
    directory = shelf.directory(partition, name)
    stem, whose = post.timestamp.internal, Record(name.account, name.container, name.object)
    if post.content_type is not None:
        _place_small(shelf, directory, f"{stem}.ctype", replace(whose, content_type=post.content_type))
    _place_small(shelf, directory, f"{stem}.meta", replace(whose, delete_at=post.delete_at, headers=dict(post.headers)))
    if post.delete_at is not None:
        expiring.note(shelf.device, post.delete_at, shelf.policy, directory, name)
    return Written(HTTPStatus.ACCEPTED, post.timestamp), row_of(shelf, directory, read_state(directory))


def delete_object(
    shelf: Shelf, partition: int, name: ObjectName, delete: ObjectDelete, now: float
) -> tuple[Written, ObjectRow | None]:
    """Leave a tombstone; return the news for the container."""
    opened = open_object(shelf, partition, name, now, expired_too=True)
    if opened.descriptor >= 0:
        os.close(opened.descriptor)
    metadata, newest = opened.answer.metadata, opened.state.newest if opened.state else None
    live = metadata is not None and (metadata.delete_at is None or metadata.delete_at > now)
    if delete.if_delete_at is not None and (metadata is None or metadata.delete_at != delete.if_delete_at):
        return Written(HTTPStatus.PRECONDITION_FAILED, newest), None
    if newest and newest >= delete.timestamp:
        return Written(HTTPStatus.CONFLICT if metadata else HTTPStatus.NOT_FOUND, newest), None
    record = Record(name.account, name.container, name.object)
    _place_small(shelf, shelf.directory(partition, name), f"{delete.timestamp.internal}.ts", record)
    row = ObjectRow(name=name.object, data_at=delete.timestamp, deleted=True, policy=shelf.policy)
    return Written(HTTPStatus.NO_CONTENT if live else HTTPStatus.NOT_FOUND, delete.timestamp), row


def _place_small(shelf: Shelf, directory: str, name: str, record: Record) -> None:
    new = open_new(shelf.device, directory)
    try:
        settle(shelf, directory, new, name, record)
    finally:
        new.close()


def row_of(shelf: Shelf, directory: str, state: State) -> ObjectRow | None:
    """Return what a container has to know of a hash directory.

    :raises Damaged: when a record cannot be read.
    """
    if state.tombstone:
        record = load(f"{directory}/{state.tombstone}")
        return ObjectRow(name=record.object, data_at=stamp_of(state.tombstone), deleted=True, policy=shelf.policy)
    if state.data is None:
        return None
    record = load(f"{directory}/{state.data}")
    content_type = load(f"{directory}/{state.content_type}").content_type if state.content_type else ""
    row = listed_row(record.object, new_row(record, stamp_of(state.data), shelf.policy), record.headers)
    return replace(
        row,
        content_type=content_type or row.content_type,
        content_type_at=stamp_of(state.content_type) if state.content_type else None,
        meta_at=stamp_of(state.meta) if state.meta else None,
    )


def new_row(record: Record, data_at: Timestamp, policy: int) -> ObjectRow:
    """Return the row of a body just written."""
    row = ObjectRow(
        name=record.object,
        data_at=data_at,
        size_bytes=record.size_bytes,
        etag=record.etag,
        content_type=record.content_type,
        policy=policy,
    )
    return listed_row(record.object, row, record.headers) if record.headers else row
