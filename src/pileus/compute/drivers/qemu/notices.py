"""Tells listeners which guests have changed, one at a time, in a thread of its own."""

import logging
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread

log = logging.getLogger(__name__)
Callback = Callable[[str], None]


class Notices:
    """A queue of ids of guests; whoever puts one in does not wait for the listeners."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[tuple[Callback, ...], str] | None] = SimpleQueue()
        self._callbacks: tuple[Callback, ...] = ()
        self._lock = Lock()
        self._thread = Thread(target=self._run, name="qemu notices", daemon=True)
        self._thread.start()

    def put(self, guest_id: str) -> None:
        self._queue.put((self._callbacks, guest_id))

    def listen(self, callback: Callback, known: tuple[str, ...]) -> None:
        """Call back for each guest known now, and from now on for each that changes."""
        with self._lock:
            self._callbacks = (*self._callbacks, callback)
        for guest_id in known:
            self._queue.put(((callback,), guest_id))

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            callbacks, guest_id = item
            for callback in callbacks:
                try:
                    callback(guest_id)
                except Exception:
                    log.exception("a listener failed for guest %s", guest_id)
