"""The bus over RabbitMQ: wake-ups, who is there, and calls to the agents of hosts.

    exchange pileus              topic    compute.HOST, network.HOST, volume.HOST: calls to agents;  conductor: calls of agents
    the default exchange                  reply_ID: answers
    exchange conductor_fanout    fanout   to the control plane: wake-ups, presence of agents, news of guests
    exchange compute_fanout ...  fanout   to the agents of a role: who is there?
    queues                       compute, compute.HOST, compute_fanout_ID (and network, volume), conductor, conductor_fanout_ID,
                                 reply_ID

All that is here may be lost or come twice: a wake-up that is lost costs a poll, a call that is lost costs its caller
HostUnreachable after SILENCE_SECONDS, and whatever is called bears to be called again.  While a call takes its time, the agent
says so; what an agent says of itself is forgotten PRESENT_SECONDS after it was last heard.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from pileus.kernel import ids, rabbit, wire
from pileus.kernel.bus import HostUnknown
from pileus.kernel.errors import Unavailable

log = logging.getLogger(__name__)

TOPICS = {"hypervisor": "compute", "network": "network", "volume": "volume"}
CONDUCTOR = "conductor"
SILENCE_SECONDS = 15.0  # an agent that works on a call says so more often
PRESENT_SECONDS = 6.0  # an agent says that it is there more often
LOOK_SECONDS = 0.5  # how often who waits for an answer looks whether the agent is still there
WHO_SECONDS = 2.0  # how long a process that starts waits for the agents to say that they are there
FORGET_SECONDS = 1.0  # how often agents that are gone are looked for
LISTENERS = 4  # threads that take news of guests


class HostUnreachable(Unavailable):
    """The agent of a host does not answer now.  Whether it did what it was asked is not known; ask again."""


@dataclass(frozen=True)
class News:
    """What is told to every process of the control plane: that there may be work, what an agent is, or that a guest changed.

    `served`: by the name of a host (or HOST@BACKEND) and by role, the methods that its driver has.
    """

    kind: str  # "wake", "present" or "changed"
    sender: str = ""
    host: str = ""
    served: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    guest_id: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as it was last heard: its host, what it serves, and what else it says (version, address).

    `heard` is on the monotonic clock; so is `since`, from when on it was there without a break.
    """

    id: str
    host: str
    served: Mapping[str, Mapping[str, tuple[str, ...]]]
    facts: Mapping[str, str]
    heard: float
    since: float


class Agents:
    """The agents that are there: many tell of themselves all the time, and many ask where a host is.

    One thread hears, any thread asks.
    """

    def __init__(self) -> None:
        self._known: dict[str, Agent] = {}
        self._homes: dict[str, str] = {}  # the agent that serves a host (or HOST@BACKEND), by name
        self._forgot = 0.0

    def heard(self, news: News) -> None:
        """Take in what an agent says of itself."""
        now = time.monotonic()
        known = self._known.get(news.sender)
        since = known.since if known and now - known.heard <= PRESENT_SECONDS else now
        self._known[news.sender] = Agent(news.sender, news.host, news.served, news.facts, now, since)
        for name in news.served if known is None or known.served.keys() != news.served.keys() else ():
            self._homes[name] = news.sender
        if now - self._forgot > FORGET_SECONDS:
            self._forget(now)

    def _forget(self, now: float) -> None:
        self._forgot = now
        for agent in [each for each in self._known.values() if now - each.heard > PRESENT_SECONDS]:
            self._known.pop(agent.id)
            for name in agent.served:
                if self._homes.get(name) == agent.id:
                    del self._homes[name]

    def of(self, name: str) -> Agent | None:
        """Return the agent of a host, if it is there."""
        agent = self._known.get(self._homes.get(name, ""))
        if agent and time.monotonic() - agent.heard <= PRESENT_SECONDS and name in agent.served:
            return agent
        return next((each for each in self.present() if name in each.served or name == each.host), None)

    def present(self) -> list[Agent]:
        """Return those that were heard lately."""
        oldest = time.monotonic() - PRESENT_SECONDS
        return [agent for agent in tuple(self._known.values()) if agent.heard >= oldest]


class Caller:
    """Calls others over the bus and takes their answers, from any thread."""

    def __init__(self, url: str) -> None:
        self.id = ids.hex_id()
        self.publisher = rabbit.Publisher(url)
        self._waiting: dict[str, queue.SimpleQueue[bytes]] = {}
        self._reply_to = f"reply_{self.id}"
        self._replies = rabbit.Consumer(url, [rabbit.reply_queue(self.id)], self._replied, lambda: None)

    def start(self) -> None:
        """Connect."""
        self._replies.start()

    def close(self) -> None:
        """Let go of the broker."""
        self._replies.stop()
        self.publisher.close()

    def call(self, queue_name: str, call: wire.Call, is_there: Callable[[], bool] = lambda: True) -> bytes:
        """Send a call to whoever serves a queue and wait for the answer, however long it is worked on.

        It is sent once the queue for answers is there, for an answer that finds none is lost.

        :param is_there: tells, now and then, whether waiting makes sense.
        :raises HostUnreachable: when nobody is heard.
        """
        id, answers = ids.hex_id(), queue.SimpleQueue[bytes]()
        self._waiting[id] = answers
        try:
            if not self._replies.wait(rabbit.ANSWER_SECONDS):
                raise rabbit.BusDown("The bus cannot be reached: an answer would not arrive.")
            message = rabbit.Message(wire.encode_call(call), self._reply_to, id)
            self.publisher.publish(rabbit.TOPIC, queue_name, message, SILENCE_SECONDS)
            while (answer := _hear(answers, is_there)) == wire.WORKING:
                pass
            return answer
        except (queue.Empty, rabbit.BusDown) as error:
            why = str(error) or f"nothing was heard of it for {SILENCE_SECONDS:.0f} s"
            raise HostUnreachable(f"{call.host} does not answer as {call.role}: {why}") from None
        finally:
            self._waiting.pop(id, None)

    def _replied(self, message: rabbit.Message) -> None:
        if waiting := self._waiting.get(message.correlation_id):
            waiting.put(message.body)


def _hear(answers: "queue.SimpleQueue[bytes]", is_there: Callable[[], bool]) -> bytes:
    """Wait for a message.  :raises queue.Empty: when none comes for SILENCE_SECONDS, or from who is gone meanwhile."""
    silent_at = time.monotonic() + SILENCE_SECONDS
    while True:
        try:
            return answers.get(timeout=max(0.0, min(LOOK_SECONDS, silent_at - time.monotonic())))
        except queue.Empty:
            if time.monotonic() >= silent_at:
                raise
            if not is_there():
                raise queue.Empty("it is not there any more") from None


class RabbitBus:
    """The control plane's end of the bus.

    :param contracts: what may be asked of a driver, by role.
    :param own: the drivers of hosts that run in this very process, by name and role.
    :param origin: where agents find the files that calls name.
    """

    def __init__(
        self,
        url: str,
        contracts: Mapping[str, wire.Contract],
        own: Mapping[str, Mapping[str, Any]] | None = None,
        origin: str = "",
    ) -> None:
        self._contracts, self._own, self._caller, self._origin = contracts, own or {}, Caller(url), origin
        self._agents = Agents()
        self._changed = threading.Condition()
        self._woken, self._waking, self._stop = threading.Event(), threading.Event(), threading.Event()
        self._listeners: dict[str, Callable[[str], None]] = {}
        self._told = ThreadPoolExecutor(LISTENERS, thread_name_prefix="news")
        self._news = rabbit.Consumer(url, [rabbit.fanout_queue(CONDUCTOR, self._caller.id)], self._heard, self._ask_who)
        self._waker = threading.Thread(target=self._wake_others, name="bus-waker", daemon=True)

    def start(self) -> None:
        """Connect, and wait a moment for the agents that are there."""
        for part in (self._caller, self._news, self._waker):
            part.start()
        with self._changed:
            self._changed.wait_for(lambda: bool(self._agents.present()), WHO_SECONDS)

    def close(self) -> None:
        """Let go of the broker."""
        self._stop.set()
        self._waking.set()
        self._news.stop()
        self._told.shutdown(wait=False, cancel_futures=True)
        self._caller.close()

    def wake(self) -> None:
        self._woken.set()
        self._waking.set()

    def wait(self, timeout_seconds: float) -> None:
        self._woken.wait(timeout_seconds)
        self._woken.clear()

    def host(self, name: str, role: str) -> Any:
        if role in self._own.get(name, {}):
            return self._own[name][role]
        agent = self._agents.of(name)
        if agent is None or role not in agent.served.get(name, {}):
            raise HostUnknown(f"Host {name} is not there as {role}.")
        return RemoteDriver(self, self._contracts[role], name, agent.host, frozenset(agent.served[name][role]))

    def hosts(self, role: str) -> tuple[str, ...]:
        found = {name for name, roles in self._own.items() if role in roles}
        for agent in self._agents.present():
            found |= {name for name, roles in agent.served.items() if role in roles}
        return tuple(sorted(found))

    def facts(self, host: str) -> Mapping[str, str]:
        agent = self._agents.of(host)
        return agent.facts if agent else {}

    def session(self, host: str) -> str:
        agent = self._agents.of(host)
        return f"{agent.id} since {agent.since}" if agent else ""

    def call(self, host: str, call: wire.Call) -> bytes:
        """Send a call to the agent of a host and wait for its answer.  :raises HostUnreachable: when it is silent."""

        def is_there() -> bool:
            return self._agents.of(host) is not None

        return self._caller.call(f"{TOPICS[call.role]}.{host}", replace(call, origin=self._origin), is_there)

    def subscribe(self, host: str, callback: Callable[[str], None]) -> None:
        """From now on call back with the id of each guest of a host that changes."""
        self._listeners[host] = callback

    def _heard(self, message: rabbit.Message) -> None:
        news = msgspec.msgpack.decode(message.body, type=News)
        if news.kind == "wake" and news.sender != self._caller.id:
            self._woken.set()
        elif news.kind == "present":
            with self._changed:
                self._agents.heard(news)
                self._changed.notify_all()
        elif news.kind == "changed" and (callback := self._listeners.get(news.host)):
            self._told.submit(_tell, callback, news.guest_id)  # it may ask the host, and nothing is heard meanwhile

    def _ask_who(self) -> None:
        for topic in TOPICS.values():
            self._caller.publisher.publish(rabbit.fanout(topic), "", rabbit.Message(b"who"))

    def _wake_others(self) -> None:
        message = rabbit.Message(msgspec.msgpack.encode(News("wake", self._caller.id)))
        while not self._stop.is_set():
            self._waking.wait()
            self._waking.clear()
            try:
                self._caller.publisher.publish(rabbit.fanout(CONDUCTOR), "", message)
            except rabbit.BusDown:
                log.debug("nobody could be woken: the bus is away")


def _tell(callback: Callable[[str], None], guest_id: str) -> None:
    try:
        callback(guest_id)
    except Exception:
        log.exception("news of guest %s could not be taken in", guest_id)


class RemoteDriver:
    """A driver of another host: has the methods of its contract that the driver there has, and each call goes there."""

    def __init__(self, bus: RabbitBus, contract: wire.Contract, name: str, host: str, served: frozenset[str]) -> None:
        self._bus, self._contract, self._name, self._host, self._served = bus, contract, name, host, served

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in self._served:
            raise AttributeError(f"{self._name} has no {name} as {self._contract.role}.")
        return lambda *given, **named: self.ask(name, given, named)

    def ask(self, name: str, given: tuple[Any, ...], named: Mapping[str, Any], handle: str = "") -> Any:
        """Call a method there, of the driver or of what was opened.

        :raises HostUnreachable: when the agent is silent.
        :raises Exception: the errors of the contract.
        """
        method = self._contract.method(name, bool(handle))
        call = wire.Call(self._contract.role, self._name, name, wire.pack(method, given, named), handle)
        answer = wire.decode_answer(self._contract, method, self._bus.call(self._host, call))
        return RemoteContent(self, answer) if isinstance(answer, wire.Opened) else answer

    def listen(self, callback: Callable[[str], None]) -> None:
        """See pileus.compute.driver.Hypervisor.listen."""
        self._bus.subscribe(self._name, callback)

    def close(self) -> None:
        """Nothing: the driver is its agent's."""


class RemoteContent:
    """Something that a driver opened and that stays at its host."""

    def __init__(self, driver: RemoteDriver, opened: wire.Opened) -> None:
        self._driver, self._handle = driver, opened.handle
        self.size_bytes = opened.size_bytes

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *given, **named: self._driver.ask(name, given, named, self._handle)
