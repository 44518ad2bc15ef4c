"""Connections to RabbitMQ that come back by themselves: one thread that consumes, and a publisher for all threads.

The URL is amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://... for TLS, where the broker must show a certificate of a known
authority: one of the machine's, or that of ?cafile=PATH.

Messages are bytes.  Nothing is acknowledged and nothing is kept on the broker's disk: whoever needs an answer asks again.
"""

import contextlib
import logging
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from socket import SHUT_RDWR
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kombu import Connection, Exchange, Queue

log = logging.getLogger(__name__)

TOPIC = Exchange("pileus", type="topic", durable=True)
HEARTBEAT_SECONDS = 10
CONNECT_SECONDS = 5
ANSWER_SECONDS = 10.0  # how long a broker is given for anything that is asked of it: one that has just started may never answer
AGAIN_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)  # how long to wait before each further try to connect
QUEUE_EXPIRES_SECONDS = 3600.0  # a queue that nobody consumes is forgotten


class BusDown(Exception):
    """The broker cannot be reached now."""


@dataclass(frozen=True)
class Message:
    """What arrived, and where an answer goes."""

    body: bytes
    reply_to: str = ""
    correlation_id: str = ""


def fanout(topic: str) -> Exchange:
    """Return the exchange that reaches every process of a topic."""
    return Exchange(f"{topic}_fanout", type="fanout", durable=False, auto_delete=True)


def shared_queue(name: str) -> Queue:
    """Return the queue of a topic, or of a topic at a host: whoever consumes it takes each message once."""
    arguments = {"x-queue-type": "quorum"}
    return Queue(name, TOPIC, routing_key=name, durable=True, expires=QUEUE_EXPIRES_SECONDS, queue_arguments=arguments)


def fanout_queue(topic: str, id: str) -> Queue:
    """Return a process's own queue for what all processes of a topic are told."""
    return Queue(f"{topic}_fanout_{id}", fanout(topic), exclusive=True, auto_delete=True, durable=False)


def reply_queue(id: str) -> Queue:
    """Return a process's own queue for answers."""
    return Queue(f"reply_{id}", exclusive=True, auto_delete=True, durable=False)


def connection(url: str, **options: Any) -> Connection:
    """Return a connection to a broker, not made yet."""
    plain, _, query = url.partition("?")
    if not plain.startswith("amqps://"):
        return Connection(url, **options)
    authority = parse_qs(query).get("cafile", [None])[0]
    terms = {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": authority, "server_hostname": urlsplit(plain).hostname}
    return Connection(plain, ssl=terms, **options)


def _connect(made: Connection) -> None:
    """Connect, and from then on wait no longer than ANSWER_SECONDS for what is asked."""
    made.ensure_connection(max_retries=1, timeout=CONNECT_SECONDS)
    if socket := _socket(made):
        socket.settimeout(ANSWER_SECONDS)


@contextlib.contextmanager
def _no_longer_than(seconds: float, made: Connection) -> Iterator[None]:
    """Break a connection off unless a block has ended in time: heartbeats alone would keep it waiting for ever."""
    done = threading.Timer(seconds, _break_off, (made,))
    done.daemon = True
    done.start()
    try:
        yield
    finally:
        done.cancel()


def _break_off(made: Connection) -> None:
    log.warning("the broker does not answer")
    if socket := _socket(made):
        with contextlib.suppress(OSError):
            socket.shutdown(SHUT_RDWR)


def _socket(made: Connection) -> Any:
    """Return the socket of a connection; None: kombu's broker in memory has none."""
    return getattr(getattr(made.connection, "transport", None), "sock", None)


class Consumer:
    """A thread that hands each message of some queues to a function, which must be quick; after a loss it connects again."""

    def __init__(
        self, url: str, queues: Iterable[Queue], handle: Callable[[Message], None], connected: Callable[[], None]
    ) -> None:
        self._url, self._queues, self._handle, self._connected = url, tuple(queues), handle, connected
        self._stop, self._ready = threading.Event(), threading.Event()
        self._failures = 0  # to connect, one after the other
        self._stuck = False
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)

    def start(self) -> None:
        """Begin; `connected` is called after each time that the queues are there."""
        self._thread.start()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until the queues are there, for the first time or again after a loss; tells whether they are."""
        return self._ready.wait(timeout_seconds)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Consume nothing more."""
        self._stop.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with connection(self._url, heartbeat=HEARTBEAT_SECONDS, connect_timeout=CONNECT_SECONDS) as made:
                    _connect(made)
                    self._consume(made)
            except Exception as error:  # whatever a broken connection raises
                log.warning("the bus is lost (%r); connecting again", error)
            finally:
                self._ready.clear()
            self._stop.wait(AGAIN_SECONDS[min(self._failures, len(AGAIN_SECONDS) - 1)])
            self._failures += 1

    def _consume(self, connection: Any) -> None:
        with contextlib.ExitStack() as stack:
            with _no_longer_than(ANSWER_SECONDS, connection):
                stack.enter_context(self._consumer(connection))
            self._stuck, self._failures = False, 0
            self._ready.set()
            self._connected()
            while not self._stop.is_set():
                if connection.supports_heartbeats:
                    connection.heartbeat_check()
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=0.5)

    def _consumer(self, connection: Any) -> Any:
        """Make the queues; anew where that got stuck the last time, as it does when a broker lost half of what it knew of one."""
        if self._stuck:
            for queue in self._queues:
                queue(connection.channel()).delete()
        self._stuck = True
        return connection.Consumer(self._queues, on_message=self._arrived, no_ack=True)

    def _arrived(self, message: Any) -> None:
        properties, body = message.properties, message.body
        raw = body if isinstance(body, bytes) else bytes(body)
        found = Message(raw, properties.get("reply_to") or "", properties.get("correlation_id") or "")
        try:
            self._handle(found)
        except Exception:
            log.exception("a message could not be handled")


class Publisher:
    """One connection that all threads publish over, in turns."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._connection: Any = None
        self._producer: Any = None

    def publish(self, exchange: Exchange | None, key: str, message: Message, expires_seconds: float | None = None) -> None:
        """Send a message; without an exchange the key is the name of a queue.

        :raises BusDown: when the broker cannot be reached.
        """
        options: dict[str, Any] = {"exchange": exchange, "declare": [exchange]} if exchange is not None else {"exchange": ""}
        with self._lock:
            for last in (False, True):
                try:
                    self._ready().publish(
                        message.body, routing_key=key, delivery_mode=1, expiration=expires_seconds, reply_to=message.reply_to,
                        correlation_id=message.correlation_id, content_type="application/x-msgpack", content_encoding="binary",
                        **options,
                    )  # fmt: skip
                    return
                except Exception as error:  # whatever a broken connection raises
                    self._drop()
                    if last:
                        raise BusDown(f"The bus cannot be reached: {error}.") from error

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._drop()

    def _ready(self) -> Any:
        if self._producer is None:
            self._connection = connection(self._url, connect_timeout=CONNECT_SECONDS)
            _connect(self._connection)
            self._producer = self._connection.Producer(auto_declare=False)
        return self._producer

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(Exception):
                self._connection.close()
        self._connection = self._producer = None
