"""Metadata requests of guests: listening sockets inside the namespaces, and one thread of this process that answers them all.

`Endpoints` opens a socket at 169.254.169.254 (and fe80::a9fe:a9fe) where the driver says and hands it to a sink; a socket stays
in the namespace it was made in, so no proxy process is needed. `MetadataListener` is such a sink: a small HTTP/1.1 server that
tells its handler at which network or router a request came in and from which address, which together name the port.
"""

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from pileus.network.driver import MetadataEndpoint, MetadataSink, NetworkDriverError
from pileus.network.drivers.linux.netns import Namespace

PORT = 80
HEAD_BYTES = 16384
BODY_BYTES = 65536
REQUEST_SECONDS = 15
IDLE_SECONDS = 60
CONNECTIONS = 512


@dataclass(frozen=True)
class MetadataSource:
    """Who asks: an address in a network, or behind a router."""

    network_id: str | None
    router_id: str | None
    remote_ip: str


Answer = tuple[int, Mapping[str, str], bytes]
Handler = Callable[[MetadataSource, str, str, Mapping[str, str], bytes], Answer]
"""Called in a worker thread with source, method, path, headers (names in small letters) and body."""


class Endpoints:
    """The metadata sockets that are open; without a sink, none."""

    def __init__(self) -> None:
        self._sink: MetadataSink | None = None
        self._open: set[MetadataEndpoint] = set()
        self._lock = threading.Lock()

    def serve(self, sink: MetadataSink | None) -> None:
        """Give the sockets to another sink from now on; the old one is told that all are gone."""
        with self._lock:
            if self._sink:
                for endpoint in self._open:
                    self._sink(endpoint, None)
            self._open.clear()
            self._sink = sink

    def open(self, endpoint: MetadataEndpoint, namespace: Namespace, address: str, device: str | None = None) -> None:
        """Listen at an address in a namespace, unless that is done already."""
        with self._lock:
            if self._sink is None or endpoint in self._open:
                return
            with namespace.entered():
                self._sink(endpoint, _listen(address, device))
            self._open.add(endpoint)

    def close(self, endpoint: MetadataEndpoint) -> None:
        """Listen there no longer."""
        with self._lock:
            if self._sink and endpoint in self._open:
                self._sink(endpoint, None)
                self._open.discard(endpoint)


class MetadataListener:
    """Serves HTTP on every socket it is given, in one thread; use it as the sink of `serve_metadata`."""

    def __init__(self, handler: Handler, workers: int = 4) -> None:
        self._handler = handler
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="metadata")
        self._servers: dict[MetadataEndpoint, asyncio.Server] = {}
        self._connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="metadata-listener", daemon=True)
        self._thread.start()

    def __call__(self, endpoint: MetadataEndpoint, listening: socket.socket | None) -> None:
        """Take a socket, or close one."""
        asyncio.run_coroutine_threadsafe(self._switch(endpoint, listening), self._loop).result(REQUEST_SECONDS)

    def close(self) -> None:
        """Stop serving."""
        for endpoint in list(self._servers):
            self(endpoint, None)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def _switch(self, endpoint: MetadataEndpoint, listening: socket.socket | None) -> None:
        if old := self._servers.pop(endpoint, None):
            old.close()
        if listening is not None:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._serve(endpoint, reader, writer)

            self._servers[endpoint] = await asyncio.start_server(serve, sock=listening, limit=HEAD_BYTES)

    async def _serve(self, endpoint: MetadataEndpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections > CONNECTIONS:
                return
            remote = str(writer.get_extra_info("peername")[0]).partition("%")[0]
            source = MetadataSource(endpoint.network_id, endpoint.router_id, remote)
            while await self._one_request(source, reader, writer):
                pass
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the guest went away, or is too slow
        finally:
            self._connections -= 1
            writer.close()

    async def _one_request(self, source: MetadataSource, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. Returns whether the connection stays open for another."""
        async with asyncio.timeout(IDLE_SECONDS):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.LimitOverrunError:
                await _send(writer, (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, {}, b""), "GET", keep=False)
                return False
        async with asyncio.timeout(REQUEST_SECONDS):
            parsed = _parse(head)
            if parsed is None:
                await _send(writer, (HTTPStatus.BAD_REQUEST, {}, b""), "GET", keep=False)
                return False
            method, path, version, headers = parsed
            length = headers.get("content-length", "0")
            if not length.isdecimal() or int(length) > BODY_BYTES or "transfer-encoding" in headers:
                await _send(writer, (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {}, b""), method, keep=False)
                return False
            body = await reader.readexactly(int(length))
            asked = (method, path, headers, body)
            answer = await self._loop.run_in_executor(self._workers, self._answer, source, asked)
            keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
            await _send(writer, answer, method, keep)
            return keep

    def _answer(self, source: MetadataSource, asked: tuple[str, str, Mapping[str, str], bytes]) -> Answer:
        try:
            return self._handler(source, *asked)
        except Exception:  # the boundary to a guest: whatever the handler did, it gets an answer
            import structlog  # noqa: PLC0415 - only when something went wrong

            structlog.get_logger(__name__).exception("metadata handler failed", path=asked[1], remote_ip=source.remote_ip)
            return HTTPStatus.INTERNAL_SERVER_ERROR, {}, b""


def _listen(address: str, device: str | None) -> socket.socket:
    """A listening socket in the namespace that the thread is in; two processes may have one, so that one can follow the other."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((address, PORT, 0, socket.if_nametoindex(device)) if device else (address, PORT))
        listening.listen(128)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise NetworkDriverError(f"cannot listen at {address}: {errno.errorcode.get(error.errno or 0)}") from error
    return listening


def _parse(head: bytes) -> tuple[str, str, str, dict[str, str]] | None:
    with suppress(ValueError):
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, version = first.split(" ")
        pairs = (line.split(":", 1) for line in lines)
        if version in ("HTTP/1.0", "HTTP/1.1") and path.startswith("/"):
            return method, path, version, {name.strip().lower(): value.strip() for name, value in pairs}
    return None


async def _send(writer: asyncio.StreamWriter, answer: Answer, method: str, keep: bool) -> None:
    status, headers, body = answer
    lines = [f"HTTP/1.1 {int(status)} {HTTPStatus(status).phrase}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in ("content-length", "connection")]
    lines.append(f"Connection: {'keep-alive' if keep else 'close'}")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if method == "HEAD" else body))
    await writer.drain()
