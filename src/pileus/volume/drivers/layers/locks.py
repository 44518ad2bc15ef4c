"""Locks by name: in this process, and between the hosts that share a directory.

Who works in the background asks now and then whether the lock is wanted, and then makes way.
"""

import contextlib
import fcntl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class _Lock:
    lock: threading.RLock = field(default_factory=threading.RLock)
    users: int = 0
    waiting: int = 0
    depth: int = 0


class Locks:
    """Locks that one thread may take again.  With a directory, each is also the lock of a file there."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._locks: dict[str, _Lock] = {}
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def hold(self, *names: str) -> Iterator[None]:
        """Hold locks, taken in the order of their names."""
        with contextlib.ExitStack() as stack:
            for name in sorted(set(names)):
                stack.enter_context(self._hold(name))
            yield

    def wanted(self, name: str) -> bool:
        """Whether somebody waits for a lock."""
        with self._guard:
            found = self._locks.get(name)
            return found is not None and found.waiting > 0

    @contextlib.contextmanager
    def _hold(self, name: str) -> Iterator[None]:
        with self._guard:
            found = self._locks.setdefault(name, _Lock())
            found.users += 1
            found.waiting += 1
        try:
            with found.lock:
                with self._guard:
                    found.waiting -= 1
                    found.depth += 1
                try:
                    with self._between_hosts(name) if found.depth == 1 else contextlib.nullcontext():
                        yield
                finally:
                    found.depth -= 1
        finally:
            with self._guard:
                found.users -= 1
                if not found.users:
                    del self._locks[name]

    @contextlib.contextmanager
    def _between_hosts(self, name: str) -> Iterator[None]:
        if self._directory is None:
            yield
            return
        with (self._directory / f"{name}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
