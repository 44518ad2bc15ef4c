"""Threads for what waits for a disk.

They do what an executor does, but hand a result straight to the event loop: an executor makes two futures, a condition and
four callbacks of each call, which was a tenth of what a small upload cost.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Threads:
    """A few threads, started as they are needed; they do not keep the process from ending."""

    def __init__(self, count: int, name: str) -> None:
        self._most, self._name = count, name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._started: list[threading.Thread] = []
        self._unfinished = 0
        self._closed = False
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """Do something that waits.  What is cancelled before a thread takes it up is not done.

        :raises RuntimeError: when the threads have been stopped.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the threads have been stopped")
            self._unfinished += 1
            if len(self._started) < min(self._unfinished, self._most):
                self._start()
            self._jobs.put((loop, future, work))
        return await future

    def _start(self) -> None:
        thread = threading.Thread(target=self._serve, name=f"{self._name}_{len(self._started)}", daemon=True)
        thread.start()
        self._started.append(thread)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, work = job
            if not future.cancelled():
                with suppress(RuntimeError):  # the loop is closed: nobody waits
                    loop.call_soon_threadsafe(_outcome(future, work))
            del job, future, work  # what they hold on to is not to wait for the next job
            with self._lock:
                self._unfinished -= 1

    def close(self) -> None:
        """Stop them, once all that was asked for is done."""
        with self._lock:
            self._closed = True
            for _ in self._started:
                self._jobs.put(None)
        for thread in self._started:
            thread.join()


def _outcome(future: "asyncio.Future[Any]", work: Callable[[], Any]) -> Callable[[], None]:
    """Do the work; return what tells the future how it went."""
    try:
        found = work()
    except StopIteration as bug:  # no future takes one: whoever waits would wait for ever
        return partial(_fail, future, RuntimeError(f"nothing was found where something must be: {bug!r}"))
    except BaseException as error:
        return partial(_fail, future, error)
    return partial(_succeed, future, found)


def _succeed(future: "asyncio.Future[Any]", found: Any) -> None:
    if not future.done():
        future.set_result(found)


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
