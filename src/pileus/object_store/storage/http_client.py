"""A small HTTP/1.1 client over asyncio streams, for talking to backend servers: keeps connections, streams both ways."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from pileus.object_store.backend import NO_HEADERS, Unreachable

CHUNK_BYTES = 1_048_576
IDLE_MAX = 32
LINE_BYTES_MAX = 65_536
BROKEN = (OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError)


@dataclass
class Connection:
    """One connection to a server."""

    host: str
    port: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False

    def close(self) -> None:
        """Drop it."""
        self.writer.close()


@dataclass
class Reply:
    """An answer whose body is still to be read."""

    client: "HttpClient"
    connection: Connection
    status: int
    headers: Mapping[str, str]
    left: int | None = None
    done: bool = False
    timeout_seconds: float = 60.0
    released: bool = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read the body.

        :raises Unreachable: when it is cut short.
        """
        reader = self.connection.reader
        try:
            async with asyncio.timeout(self.timeout_seconds) as limit:
                while not self.done:
                    if self.left == 0 and self.headers.get("transfer-encoding") == "chunked":
                        self.left = int((await reader.readline()).split(b";")[0], 16)
                        if self.left == 0:
                            while (await reader.readline()).strip():
                                continue
                            self.done = True
                            break
                    elif self.left == 0:
                        self.done = True
                        break
                    data = await reader.read(min(CHUNK_BYTES, self.left or CHUNK_BYTES))
                    if not data:
                        raise EOFError("cut short")
                    self.left = (self.left or 0) - len(data)
                    if self.left == 0 and self.headers.get("transfer-encoding") == "chunked":
                        await reader.readexactly(2)
                    limit.reschedule(asyncio.get_running_loop().time() + self.timeout_seconds)
                    yield data
        except (*BROKEN, TimeoutError) as error:
            self.connection.close()
            raise Unreachable(str(error)) from error

    async def body(self) -> bytes:
        """Read the whole body, and give the connection back."""
        data = b"".join([piece async for piece in self.chunks()])
        self.release()
        return data

    def release(self) -> None:
        """Give the connection back when all was read, else drop it; once, or two requests would share it."""
        if self.released:
            return
        self.released = True
        if self.done or (self.left == 0 and "transfer-encoding" not in self.headers):
            self.client.give_back(self.connection)
        else:
            self.connection.close()


@dataclass
class HttpClient:
    """Connections to many servers."""

    connect_seconds: float = 2.0
    answer_seconds: float = 30.0
    idle: dict[tuple[str, int], list[Connection]] = field(default_factory=lambda: defaultdict(list))

    async def connect(self, host: str, port: int, fresh: bool = False) -> Connection:
        """Return a connection.

        :raises Unreachable: when there is none to be had.
        """
        waiting = self.idle[host, port]
        while waiting and not fresh:
            connection = waiting.pop()
            if not connection.reader.at_eof() and not connection.writer.is_closing():
                return connection
            connection.close()
        try:
            async with asyncio.timeout(self.connect_seconds):
                reader, writer = await asyncio.open_connection(host, port, limit=LINE_BYTES_MAX * 4)
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"{host}:{port}: {error}") from error
        return Connection(host, port, reader, writer)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        waiting = self.idle[connection.host, connection.port]
        connection.used = True
        if len(waiting) < IDLE_MAX and not connection.writer.is_closing():
            waiting.append(connection)
        else:
            connection.close()

    async def request(self, host: str, port: int, path: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Send a request and read the head of the answer.

        A connection that was kept may have been closed by the server meanwhile; then a fresh one is tried.

        :raises Unreachable: when there is no answer.
        """
        for fresh in (False, True):
            connection = await self.connect(host, port, fresh)
            try:
                head = {"content-length": str(len(body)), **headers}
                connection.writer.write(_request_head(host, port, path, head) + body)
                return await self.read_head(connection)
            except Unreachable:
                if fresh or not connection.used:
                    raise
        raise Unreachable(f"{host}:{port}")

    async def start_upload(self, host: str, port: int, path: str, headers: Mapping[str, str]) -> "Upload | Reply":
        """Send the head of a request with a body to follow; return the answer when the server answers at once."""
        for fresh in (False, True):
            connection = await self.connect(host, port, fresh)
            try:
                head = {"transfer-encoding": "chunked", "expect": "100-continue", **headers}
                connection.writer.write(_request_head(host, port, path, head))
                reply = await self.read_head(connection, interim=True)
            except Unreachable:
                if fresh or not connection.used:
                    raise
                continue
            return Upload(self, connection) if reply.status == 100 else reply
        raise Unreachable(f"{host}:{port}")

    async def read_head(self, connection: Connection, interim: bool = False) -> Reply:
        """Read the head of an answer.

        :raises Unreachable: when there is none in time.
        """
        try:
            async with asyncio.timeout(self.answer_seconds):
                while True:
                    raw = await connection.reader.readuntil(b"\r\n\r\n")
                    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
                    status = int(first.split(" ", 2)[1])
                    if status >= 200 or interim:
                        break
            headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            left = 0 if "transfer-encoding" in headers or status == 100 else int(headers.get("content-length", "0"))
        except (*BROKEN, TimeoutError, IndexError) as error:
            connection.close()
            raise Unreachable(f"{connection.host}:{connection.port}: {error!r}") from error
        return Reply(self, connection, status, headers, left, timeout_seconds=self.answer_seconds)

    def close(self) -> None:
        """Drop all kept connections."""
        for waiting in self.idle.values():
            for connection in waiting:
                connection.close()
        self.idle.clear()


@dataclass
class Upload:
    """A request whose body is on its way."""

    client: HttpClient
    connection: Connection

    async def write(self, data: bytes) -> None:
        """Send a piece.

        :raises Unreachable: when the connection is lost or stands still.
        """
        writer = self.connection.writer
        try:
            writer.write(b"%x\r\n" % len(data))
            writer.write(data)
            writer.write(b"\r\n")
            async with asyncio.timeout(self.client.answer_seconds):
                await writer.drain()
        except (*BROKEN, TimeoutError) as error:
            self.connection.close()
            raise Unreachable(str(error)) from error

    async def finish(self) -> Reply:
        """End the body and read the head of the answer.

        :raises Unreachable: when there is none.
        """
        self.connection.writer.write(b"0\r\n\r\n")
        return await self.client.read_head(self.connection)

    def abort(self) -> None:
        """Break the connection, so that the server forgets the body."""
        self.connection.writer.transport.abort()


def _request_head(host: str, port: int, path: str, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"host: {host}:{port}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
