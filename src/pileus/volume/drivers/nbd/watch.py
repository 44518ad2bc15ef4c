"""A thread that sees daemons end, and has the ones that are still wanted started again at once."""

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable

from pileus.volume.drivers.nbd.daemon import Process, reap

PAUSES_SECONDS = (0.0, 0.0, 0.2, 1.0, 5.0)
CALM_SECONDS = 60.0

log = logging.getLogger(__name__)


class Watch:
    """Daemons by key.  `ended` is called with the key of each that ended unasked, in a thread of its own."""

    def __init__(self, ended: Callable[[str], None]) -> None:
        self._ended = ended
        self._processes: dict[str, Process] = {}
        self._deaths: dict[str, list[float]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="volume watch", daemon=True)
        self._thread.start()

    def add(self, key: str, process: Process) -> None:
        """Watch a daemon from now on."""
        with self._lock:
            self._processes[key] = process
        self._wake()

    def forget(self, key: str) -> None:
        """Watch a daemon no more: it is about to be ended."""
        with self._lock:
            self._processes.pop(key, None)
            self._deaths.pop(key, None)
        self._wake()

    def get(self, key: str) -> Process | None:
        """Return a daemon that lives."""
        with self._lock:
            found = self._processes.get(key)
        return found if found is not None and not found.ended(0) else None

    def close(self) -> None:
        """Stop watching; the daemons go on."""
        if not self._closing.is_set():
            self._closing.set()
            self._wake()
            self._thread.join()
            os.close(self._reader)
            os.close(self._writer)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._writer, b".")

    def _run(self) -> None:
        while not self._closing.is_set():
            with self._lock:
                watched = {process.pidfd: (key, process) for key, process in self._processes.items()}
            poll = select.poll()
            poll.register(self._reader, select.POLLIN)
            for pidfd in watched:
                poll.register(pidfd, select.POLLIN)
            for fd, _ in poll.poll():
                if fd == self._reader:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._reader, 4096)
                else:
                    self._bury(*watched[fd])

    def _bury(self, key: str, process: Process) -> None:
        reap(process.pid)
        with self._lock:
            if self._processes.get(key) is not process:
                return
            del self._processes[key]
            now = time.monotonic()
            deaths = self._deaths[key] = [*(at for at in self._deaths.get(key, []) if at > now - CALM_SECONDS), now]
        pause_seconds = PAUSES_SECONDS[min(len(deaths), len(PAUSES_SECONDS)) - 1]
        log.warning("storage daemon %s of %s has ended unasked; starting it again", process.pid, key)
        threading.Thread(target=self._restart, args=(key, pause_seconds), name="volume restart", daemon=True).start()

    def _restart(self, key: str, pause_seconds: float) -> None:
        if self._closing.wait(pause_seconds):
            return
        try:
            self._ended(key)
        except Exception:
            log.exception("cannot start the storage daemon of %s again", key)
