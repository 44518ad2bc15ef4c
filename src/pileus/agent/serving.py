"""The host's end of the bus: takes calls, has its drivers do them in threads, and tells the control plane that it is here.

A call that takes longer is said to be worked on every WORKING_SECONDS.  What a driver opened (the content of a volume) stays here
under a handle until it is closed, or until nobody asked for it for HANDLE_SECONDS.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from pileus.kernel import ids, rabbit, wire
from pileus.kernel.bus_rabbit import CONDUCTOR, TOPICS, News

log = logging.getLogger(__name__)

WORKING_SECONDS = 3.0
PRESENCE_SECONDS = 2.0
HANDLE_SECONDS = 600.0
THREADS = 32


@dataclass
class _Handle:
    thing: Any
    used: float


class Serving:
    """Serves the drivers of a host.

    :param host: the host's name, to which calls are addressed.
    :param roles: the drivers, by name (the host's, or HOST@BACKEND) and role.
    :param facts: what else the control plane is told (version, address).
    """

    def __init__(
        self,
        url: str,
        host: str,
        roles: Mapping[str, Mapping[str, Any]],
        contracts: Mapping[str, wire.Contract],
        facts: Mapping[str, str],
    ) -> None:
        self._host, self._roles, self._contracts, self._facts, self._id = host, roles, contracts, facts, ids.hex_id()
        self._handles: dict[str, _Handle] = {}
        self._working: dict[str, rabbit.Message] = {}
        self._stop = threading.Event()
        self._publisher = rabbit.Publisher(url)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="call")
        topics = sorted({TOPICS[role] for drivers in roles.values() for role in drivers})
        calls = [rabbit.shared_queue(f"{topic}.{host}") for topic in topics] + [rabbit.shared_queue(topic) for topic in topics]
        asked = [rabbit.fanout_queue(topic, self._id) for topic in topics]
        self._consumers = (
            rabbit.Consumer(url, calls, self._called, lambda: None),
            rabbit.Consumer(url, asked, lambda _: self._say_present(), self._say_present),
        )
        self._teller = threading.Thread(target=self._tell, name="presence", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        for name, drivers in self._roles.items():
            if "hypervisor" in drivers:
                drivers["hypervisor"].listen(partial(self._say_changed, name))
        for consumer in self._consumers:
            consumer.start()
        self._teller.start()

    def close(self) -> None:
        """Take no more calls, and wait for those that are worked on."""
        self._stop.set()
        for consumer in self._consumers:
            consumer.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._publisher.close()

    def _called(self, message: rabbit.Message) -> None:
        self._working[message.correlation_id] = message
        self._pool.submit(self._serve, message)

    def _serve(self, message: rabbit.Message) -> None:
        try:
            answer = self._answer(message.body)
        except Exception:
            log.exception("a call broke off")
            raise
        finally:
            self._working.pop(message.correlation_id, None)
        self._reply(message, answer)

    def _answer(self, body: bytes) -> bytes:
        contract = None
        try:
            call = wire.decode_call(body)
            driver = self._roles.get(call.host, {}).get(call.role)
            contract = self._contracts.get(call.role)
            if driver is None or contract is None:
                raise wire.WireError(f"Host {call.host} is not here as {call.role}.")
            method = contract.method(call.method, bool(call.handle))
            found = getattr(self._thing(call.handle) if call.handle else driver, call.method)(**wire.arguments(method, call))
            if call.handle and call.method == "close":
                self._handles.pop(call.handle, None)
            if method.result is contract.opened and contract.opened is not None:
                handle = ids.hex_id()
                self._handles[handle] = _Handle(found, time.monotonic())
                return wire.encode_opened(handle, found.size_bytes)
            return wire.encode_result(found)
        except Exception as error:
            log.info("a call failed: %r", error)
            return wire.encode_error(contract, error)

    def _thing(self, id: str) -> Any:
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

    def _say(self, news: News) -> None:
        with contextlib.suppress(rabbit.BusDown):
            self._publisher.publish(rabbit.fanout(CONDUCTOR), "", rabbit.Message(msgspec.msgpack.encode(news)))

    def _say_changed(self, host: str, guest_id: str) -> None:
        self._say(News("changed", self._id, host, guest_id=guest_id))

    def _say_present(self) -> None:
        served = {
            name: {role: tuple(sorted(self._contracts[role].served_by(driver))) for role, driver in drivers.items()}
            for name, drivers in self._roles.items()
        }
        self._say(News("present", self._id, self._host, served, self._facts))

    def _tell(self) -> None:
        said = 0.0
        while not self._stop.wait(WORKING_SECONDS / 3):
            now = time.monotonic()
            if now - said >= PRESENCE_SECONDS:
                self._say_present()
                said = now
            for message in tuple(self._working.values()):
                self._reply(message, wire.WORKING)
            for id, handle in tuple(self._handles.items()):
                if now - handle.used > HANDLE_SECONDS:
                    self._handles.pop(id, None)
                    with contextlib.suppress(Exception):
                        handle.thing.close()
