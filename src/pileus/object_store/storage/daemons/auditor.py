"""Finds what has rotted: reads objects again, quarantines what is damaged, and clears what time has made superfluous."""

import asyncio
import errno
import hashlib
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pileus.object_store.storage import account_index, container_index, expiring
from pileus.object_store.storage.disk import Shelf, clear, load
from pileus.object_store.storage.durable import SIDECAR, Damaged, remove
from pileus.object_store.storage.hashdir import State, index_of, read_state, stamp_of
from pileus.object_store.storage.index_file import IndexFile
from pileus.object_store.storage.layout import Device, names_in
from pileus.object_store.storage.local_indexes import IndexFiles
from pileus.object_store.timestamps import TICKS_PER_SECOND, Timestamp

RECLAIM_SECONDS = 604_800.0
CHUNK_BYTES = 1_048_576
STALE_SECONDS = 86_400.0
BROKEN_DISK = {errno.EIO, errno.EUCLEAN}


@dataclass
class ObjectAuditor:
    """Looks at every object of a device.

    :param zero_byte_only: compare sizes and records only, not the bytes.
    :param bytes_per_second: how fast bodies are read at most.
    """

    device: Device
    now: Callable[[], float]
    zero_byte_only: bool = False
    bytes_per_second: float = 10_000_000
    reclaim_seconds: float = RECLAIM_SECONDS

    @property
    def name(self) -> str:
        """The name in figures."""
        return "object-auditor-zbf" if self.zero_byte_only else "object-auditor"

    async def run_once(self) -> Counter[str]:
        """Make a pass."""
        counts: Counter[str] = Counter()
        self._sweep()
        for policy in self.device.policies():
            shelf = Shelf(self.device, policy)
            for partition in self.device.partitions("objects", policy):
                for directory in self.device.hash_dirs("objects", partition, policy):
                    started, before = time.monotonic(), counts["bytes"]
                    counts += await asyncio.get_running_loop().run_in_executor(None, self.audit, shelf, directory)
                    due = (counts["bytes"] - before) / self.bytes_per_second
                    await asyncio.sleep(max(0.0, due - (time.monotonic() - started)))
        return counts

    def audit(self, shelf: Shelf, directory: str) -> Counter[str]:
        """Look at one hash directory."""
        counts = Counter(seen=1)
        state = read_state(directory)
        try:
            counts["bytes"] += self._check(shelf, directory, state)
        except FileNotFoundError:
            return counts  # changed meanwhile
        except OSError as error:
            if error.errno not in BROKEN_DISK:
                raise
            counts["quarantined"] += bool(shelf.device.quarantine(directory, "objects", shelf.policy))
            return counts
        except Damaged:
            counts["quarantined"] += bool(shelf.device.quarantine(directory, "objects", shelf.policy))
            return counts
        clear(directory, state)
        counts["reclaimed"] += self._reclaim(directory, state)
        return counts

    def _check(self, shelf: Shelf, directory: str, state: State) -> int:
        """Return how many bytes were read.  :raises Damaged: when something is not what was written."""
        for name in state.files:
            record = load(f"{directory}/{name}")
            whose = shelf.device.salt.hash(record.account, record.container, record.object)
            if whose != os.path.basename(directory):
                raise Damaged(f"{directory}: belongs to another name")
            if record.delete_at is not None and record.delete_at <= self.now():
                expiring.note(shelf.device, record.delete_at, shelf.policy, directory, record.name)
        return sum(self._check_body(f"{directory}/{name}") for name in state.files if name.endswith(".data"))

    def _check_body(self, path: str) -> int:
        record = load(path)
        index = record.archive.index if record.archive else None
        if os.stat(path).st_size != record.stored[0] or index != index_of(os.path.basename(path)):
            raise Damaged(f"{path}: wrong size")
        if self.zero_byte_only:
            return 0
        md5 = hashlib.md5(usedforsecurity=False)
        with open(path, "rb") as file:
            while data := file.read(CHUNK_BYTES):
                md5.update(data)
        if md5.hexdigest() != record.stored[1]:
            raise Damaged(f"{path}: the bytes have changed")
        return record.stored[0]

    def _reclaim(self, directory: str, state: State) -> int:
        """Remove a tombstone that every replica has had the time to see."""
        oldest = self.now() - self.reclaim_seconds
        if state.tombstone and stamp_of(state.tombstone).ticks < oldest * TICKS_PER_SECOND:
            remove(f"{directory}/{state.tombstone}")
            for name in names_in(directory):
                if not name.endswith((".data", SIDECAR)) and stamp_of(name).ticks < oldest * TICKS_PER_SECOND:
                    remove(f"{directory}/{name}")
            try:
                os.rmdir(directory)
            except OSError:
                return 0  # something new has come
            return 1
        return 0

    def _sweep(self) -> None:
        """Remove files on their way in that nobody brings in any more."""
        for name in names_in(f"{self.device.root}/tmp"):
            path = f"{self.device.root}/tmp/{name}"
            try:
                if os.stat(path).st_ctime < time.time() - STALE_SECONDS:
                    os.unlink(path)
            except FileNotFoundError:
                continue


@dataclass
class IndexAuditor:
    """Looks at every container and account of a device."""

    files: IndexFiles
    now: Callable[[], float]
    reclaim_seconds: float = RECLAIM_SECONDS
    name: str = "index-auditor"

    @property
    def device(self) -> Device:
        """Whose they are."""
        return self.files.device

    async def run_once(self) -> Counter[str]:
        """Make a pass."""
        counts: Counter[str] = Counter()
        for shape in (container_index.SHAPE, account_index.SHAPE):
            for partition in self.device.partitions(shape.kind):
                for directory in self.device.hash_dirs(shape.kind, partition):
                    counts["seen"] += 1
                    work = self._audit_container if shape is container_index.SHAPE else self._audit_account
                    outcome = await asyncio.get_running_loop().run_in_executor(None, work, partition, directory)
                    counts[outcome] += 1
        return counts

    def _audit_container(self, partition: int, directory: str) -> str:
        file = self.files.file(container_index.SHAPE, partition, os.path.basename(directory))
        index = container_index.ContainerIndex(file)
        try:
            file.check()
            file.flush()
            whole = index.whole()
        except sqlite3.OperationalError:
            return "busy"
        except sqlite3.DatabaseError:
            return self._quarantine(file.path, container_index.SHAPE.kind)
        return self._reclaim(file, whole.deleted if whole else False, whole.delete_at if whole else None)

    def _audit_account(self, partition: int, directory: str) -> str:
        file = self.files.file(account_index.SHAPE, partition, os.path.basename(directory))
        try:
            file.check()
            file.flush()
            whole = account_index.AccountIndex(file).whole()
            empty = whole is not None and not any(containers for containers, _, _ in file.used().values())
        except sqlite3.OperationalError:
            return "busy"
        except sqlite3.DatabaseError:
            return self._quarantine(file.path, account_index.SHAPE.kind)
        return self._reclaim(file, bool(whole and whole.deleted and empty), whole.delete_at if whole else None)

    def _reclaim(self, file: IndexFile, deleted: bool, delete_at: Timestamp | None) -> str:
        oldest = Timestamp.of(self.now() - self.reclaim_seconds)
        if file.info() is None:
            return "unfinished"
        if deleted and delete_at and delete_at < oldest:
            self.files.forget(file.path)
            file.delete()
            return "removed"
        file.reclaim(oldest.internal)
        return "sound"

    def _quarantine(self, path: str, kind: str) -> str:
        self.files.forget(path)
        self.device.quarantine(os.path.dirname(path), kind)
        return "quarantined"
