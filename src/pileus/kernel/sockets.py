"""WebSockets (RFC 6455): a service names the paths at which it takes them, and what serves each.

The ASGI server does the framing.  A page of another site must not use a visitor's way to the cloud: a browser says where
a page is from (Origin), and that has to be the host it asks, or one that the handler allows.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pileus.kernel.context import Cloud

REFUSED, GONE = 4403, 1000


class Socket:
    """One WebSocket, not yet accepted.  query is that of its URL, by name; headers are in lower case."""

    def __init__(self, scope: Mapping[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        self.headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        found = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        self.query = {name: values[-1] for name, values in found.items()}
        self.protocols = tuple(scope.get("subprotocols") or ())
        self._receive, self._send = receive, send

    @property
    def is_same_site(self) -> bool:
        """Whether no page of another site opened it."""
        origin = self.headers.get("origin", "")
        return not origin or urlsplit(origin).netloc == self.headers.get("host", "")

    async def accept(self) -> None:
        """Take it; of the protocols that the client offers, binary."""
        message = await self._receive()
        assert message["type"] == "websocket.connect"
        await self._send({"type": "websocket.accept", "subprotocol": "binary" if "binary" in self.protocols else None})

    async def refuse(self) -> None:
        """Let the client go away without a word."""
        await self._send({"type": "websocket.close", "code": REFUSED})

    async def receive(self) -> bytes | None:
        """Return what the client sent; None when it has gone."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            return None
        data: bytes | None = message.get("bytes")
        return data if data is not None else (message.get("text") or "").encode()

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        await self._send({"type": "websocket.send", "bytes": data})

    async def close(self) -> None:
        """End it."""
        await self._send({"type": "websocket.close", "code": GONE})


SocketHandler = Callable[[Cloud, Socket], Awaitable[None]]
