"""The other end of the bus: takes calls that arrive in queues and has drivers do them, in threads.

A call that takes longer is said to be worked on every WORKING_SECONDS.  What a driver opened (the content of a volume) stays here
under a handle until it is closed, or until nobody asked for it for HANDLE_SECONDS.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pileus.kernel import ids, rabbit, wire

log = logging.getLogger(__name__)

WORKING_SECONDS = 3.0
HANDLE_SECONDS = 600.0
THREADS = 32
READY_SECONDS = 10.0

Do = Callable[[dict[str, Any]], Any]
Around = Callable[[wire.Call, dict[str, Any], Do], Any]
"""Stands around every call: is given it, its arguments and what does it, and returns the result."""


def as_it_is(_call: wire.Call, arguments: dict[str, Any], do: Do) -> Any:
    """Do a call as it came."""
    return do(arguments)


@dataclass
class _Handle:
    thing: Any
    used: float


class Answering:
    """Takes the calls that arrive in some queues, and answers them.

    :param roles: who does what is asked, by name and role.
    """

    def __init__(
        self,
        url: str,
        queues: Iterable[str],
        roles: Mapping[str, Mapping[str, Any]],
        contracts: Mapping[str, wire.Contract],
        around: Around = as_it_is,
    ) -> None:
        self._roles, self._contracts, self._around = roles, contracts, around
        self._handles: dict[str, _Handle] = {}
        self._working: dict[str, rabbit.Message] = {}
        self._stop = threading.Event()
        self._publisher = rabbit.Publisher(url)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="call")
        self._consumer = rabbit.Consumer(url, [rabbit.shared_queue(name) for name in queues], self._called, lambda: None)
        self._teller = threading.Thread(target=self._tell, name="working", daemon=True)

    def start(self) -> None:
        """Begin to serve: wait a while until calls arrive, so that nobody is told of who cannot be called yet."""
        self._consumer.start()
        self._teller.start()
        self._consumer.wait(READY_SECONDS)

    def close(self) -> None:
        """Take no more calls, and wait for those that are worked on."""
        self._stop.set()
        self._consumer.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._publisher.close()

    def _called(self, message: rabbit.Message) -> None:
        self._working[message.correlation_id] = message
        self._pool.submit(self._serve, message)

    def _serve(self, message: rabbit.Message) -> None:
        answer = self._answer(message.body)
        self._working.pop(message.correlation_id, None)
        self._reply(message, answer)

    def _answer(self, body: bytes) -> bytes:
        contract = None
        try:
            call = wire.decode_call(body)
            driver = self._roles.get(call.host, {}).get(call.role)
            contract = self._contracts.get(call.role)
            if driver is None or contract is None:
                raise wire.WireError(f"{call.host} is not here as {call.role}.")
            method = contract.method(call.method, bool(call.handle))
            do = getattr(self._opened(call.handle) if call.handle else driver, call.method)
            found = self._around(call, wire.arguments(method, call), lambda arguments: do(**arguments))
            if call.handle and call.method == "close":
                self._handles.pop(call.handle, None)
            return self._keep(found) if contract.opened in (method.result,) else wire.encode_result(found)
        except Exception as error:
            log.info("a call failed: %r", error)
            return wire.encode_error(contract, error)

    def _keep(self, opened: Any) -> bytes:
        handle = ids.hex_id()
        self._handles[handle] = _Handle(opened, time.monotonic())
        return wire.encode_opened(handle, opened.size_bytes)

    def _opened(self, id: str) -> Any:
        handle = self._handles.get(id)
        if handle is None:
            raise wire.WireError("It is no longer open here.")
        handle.used = time.monotonic()
        return handle.thing

    def _reply(self, message: rabbit.Message, body: bytes) -> None:
        try:
            self._publisher.publish(None, message.reply_to, rabbit.Message(body, "", message.correlation_id))
        except rabbit.BusDown as error:
            log.warning("an answer is lost: %s", error)

    def _tell(self) -> None:
        while not self._stop.wait(WORKING_SECONDS):
            for message in tuple(self._working.values()):
                self._reply(message, wire.WORKING)
            now = time.monotonic()
            for id, handle in tuple(self._handles.items()):
                if now - handle.used > HANDLE_SECONDS:
                    self._handles.pop(id, None)
                    with contextlib.suppress(Exception):
                        handle.thing.close()
