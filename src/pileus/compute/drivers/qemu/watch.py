"""One thread that holds the QMP connections of all guests and sees them change.

The end of a process is seen through its pidfd, so also when QEMU is killed and when it is not our child.  What a guest does
by itself (shut down, reset, stop) is told by QMP events.  Every two seconds lost connections are made anew and long
console logs are cut: QEMU appends to the file, so it can be emptied under it.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import socket
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any, TypeVar, cast

from qemu.qmp import ExecuteError, QMPClient, QMPError, Runstate

from pileus.compute.driver import DriverError
from pileus.compute.drivers.qemu.place import Place, Stopped
from pileus.compute.drivers.qemu.process import Process, last_words, reap

COMMAND_SECONDS = 10.0
CONNECT_SECONDS = 5.0
TICK_SECONDS = 2.0
CONSOLE_LOG_BYTES_MAX = 512 * 1024
STATUS_EVENTS = {"STOP", "RESUME", "SUSPEND", "WAKEUP", "GUEST_PANICKED", "BLOCK_IO_ERROR", "RESET"}

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(eq=False, slots=True)
class Live:
    """A guest with a process.  `asked` says why we end it, once we do.

    `volumes` are those that it had when `exchanges` was the number that stands before them.
    """

    place: Place
    process: Process
    loop: asyncio.AbstractEventLoop
    client: QMPClient | None = None
    listener: "asyncio.Task[None] | None" = None
    status: str = ""
    guest_shut_down: bool = False
    asked: str = ""
    exchanges: int = 0
    volumes: tuple[int, tuple[str, ...]] = (-1, ())
    ended: Event = field(default_factory=Event)

    def execute(
        self,
        command: str,
        arguments: Mapping[str, object] | None = None,
        *,
        fd: int | None = None,
        timeout_seconds: float = COMMAND_SECONDS,
    ) -> object:
        """Have QEMU do something and return its answer.  A file descriptor goes along for `getfd`.

        :raises DriverError: when QEMU refuses, does not answer, or ends.
        """
        try:
            return _wait(self._issue(command, arguments, fd), self.loop, timeout_seconds)
        except ExecuteError as error:
            raise DriverError(f"QEMU refused {command}: {error}") from error
        except TimeoutError as error:
            raise DriverError(f"QEMU did not answer {command} in {timeout_seconds:g} s") from error
        except (QMPError, OSError) as error:
            gone = "has ended" if self.process.ended(0) else f"cannot be reached: {error}"
            raise DriverError(f"QEMU of guest {self.place.guest_id} {gone} at {command}") from error

    async def _issue(self, command: str, arguments: Mapping[str, object] | None, fd: int | None) -> object:
        if self.client is None:
            raise ConnectionError("there is no connection to its monitor")
        if fd is not None:
            self.client.send_fd_scm(fd)
        return await self.client.execute(command, dict(arguments or {}))


class Watch:
    """All guests with a process.  `changed` is called with the id of each guest that changed, from the watch's thread."""

    def __init__(self, changed: Callable[[str], None], killed_for_memory: Callable[[str], bool]) -> None:
        self._changed = changed
        self._killed_for_memory = killed_for_memory
        self._lives: dict[str, Live] = {}
        self._lock = Lock()
        self._loop = asyncio.SelectorEventLoop()
        self._thread = Thread(target=self._run, name="qemu watch", daemon=True)
        self._thread.start()

    def get(self, guest_id: str) -> Live | None:
        with self._lock:
            return self._lives.get(guest_id)

    def adopt(self, place: Place, process: Process) -> Live:
        """Watch a guest from now on."""
        live = Live(place, process, self._loop)
        _wait(self._adopt(live), self._loop, 2 * CONNECT_SECONDS)
        return live

    def close(self) -> None:
        """Let go of all guests."""
        if self._thread.is_alive():
            _wait(self._release(), self._loop, CONNECT_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        ticking = self._loop.create_task(self._tick())
        self._loop.run_forever()
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(ticking)

    async def _adopt(self, live: Live) -> None:
        with self._lock:
            self._lives[live.place.guest_id] = live
        self._loop.add_reader(live.process.pidfd, self._end, live)
        await self._connect(live)

    async def _connect(self, live: Live) -> None:
        await _disconnect(live)
        client = QMPClient(live.place.guest_id)
        client.logger.setLevel(logging.CRITICAL)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await client.connect(await _socket(live))
                live.client = client
                await self._ask_status(live)
        except (QMPError, OSError) as error:
            if not live.process.ended(0):
                log.warning("no connection to the monitor of guest %s: %s", live.place.guest_id, error)
            return
        live.listener = self._loop.create_task(self._listen(live, client))

    async def _ask_status(self, live: Live) -> None:
        if live.client is not None:
            answer = cast(dict[str, Any], await live.client.execute("query-status"))
            live.status = str(answer["status"])

    async def _listen(self, live: Live, client: QMPClient) -> None:
        async for event in client.events:
            name = str(event["event"])
            if name == "SHUTDOWN":
                live.guest_shut_down = bool(cast(dict[str, Any], event["data"])["guest"])
            elif name == "DEVICE_DELETED":
                live.exchanges += 1
                self._changed(live.place.guest_id)
            elif name in STATUS_EVENTS:
                with contextlib.suppress(QMPError):
                    await self._ask_status(live)
                self._changed(live.place.guest_id)

    def _end(self, live: Live) -> None:
        """The guest's process has ended."""
        self._loop.remove_reader(live.process.pidfd)
        self._loop.create_task(self._note_end(live))

    async def _note_end(self, live: Live) -> None:
        await _disconnect(live, drain=True)
        status = reap(live.process.pid)
        with contextlib.suppress(OSError):
            live.place.keep_stopped(self._why(live, status))
        with self._lock:
            if self._lives.get(live.place.guest_id) is live:
                del self._lives[live.place.guest_id]
        live.ended.set()
        self._changed(live.place.guest_id)

    def _why(self, live: Live, status: int | None) -> Stopped:
        if live.asked:
            return Stopped("off", live.asked)
        if live.guest_shut_down:
            return Stopped("off", "the guest shut itself down")
        if self._killed_for_memory(live.place.guest_id):
            return Stopped("crashed", "QEMU was killed: it used more memory than the guest's limit")
        how = "ended" if status is None else f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return Stopped("crashed", f"QEMU {how}. {last_words(live.place)}".strip())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for live in list(self._lives.values()):
                _cut_console_log(live.place)
                if live.client is None or live.client.runstate != Runstate.RUNNING:
                    await self._connect(live)
                    self._changed(live.place.guest_id)

    async def _release(self) -> None:
        for live in list(self._lives.values()):
            self._loop.remove_reader(live.process.pidfd)
            await _disconnect(live)
            self._lives.clear()


async def _disconnect(live: Live, drain: bool = False) -> None:
    """Give up the connection; with `drain`, after the events that came before its end."""
    client, live.client = live.client, None
    listener, live.listener = live.listener, None
    if client is not None:
        with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):
            async with asyncio.timeout(1.0):
                while drain and client.runstate == Runstate.RUNNING:
                    await client.runstate_changed()
        with contextlib.suppress(QMPError, OSError, EOFError):
            await client.disconnect()
        while drain and not client.events.empty():
            await asyncio.sleep(0)
    if listener is not None:
        listener.cancel()
        with contextlib.suppress(asyncio.CancelledError, QMPError):
            await listener


def _wait(coroutine: Coroutine[object, object, Result], loop: asyncio.AbstractEventLoop, timeout_seconds: float) -> Result:
    """Run a coroutine in the watch's thread and wait for it here."""
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result(timeout_seconds)
    except TimeoutError:
        future.cancel()
        raise


async def _socket(live: Live) -> socket.socket:
    """Connect to a monitor, which may be about to listen."""
    while True:
        try:
            return _connected(live.place)
        except (ConnectionRefusedError, FileNotFoundError, BlockingIOError):
            if live.process.ended(0):
                raise
            await asyncio.sleep(0.003)


def _connected(place: Place) -> socket.socket:
    """Connect to a monitor whose path may be longer than the 107 bytes that a socket's address may have."""
    directory = os.open(place.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.connect(f"/proc/self/fd/{directory}/{place.qmp.name}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(directory)
    return connection


def _cut_console_log(place: Place) -> None:
    with contextlib.suppress(OSError):
        if place.console_log.stat().st_size > CONSOLE_LOG_BYTES_MAX:
            new = place.path / "console.log.new"
            with place.console_log.open("rb") as whole, new.open("wb") as kept:
                whole.seek(-CONSOLE_LOG_BYTES_MAX, os.SEEK_END)
                shutil.copyfileobj(whole, kept)
            os.rename(new, place.console_log_before)
            os.truncate(place.console_log, 0)
