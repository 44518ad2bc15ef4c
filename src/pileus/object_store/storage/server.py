"""The object, container and account servers: ASGI apps over the devices of this process.  See `wire` for what they speak.

They trust whoever reaches them, as Swift's do: their ports belong on a network of the cluster's own.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import msgspec
import structlog

from pileus.object_store.backend import ObjectReader, Written
from pileus.object_store.places import Node
from pileus.object_store.storage.local import LocalCarrier
from pileus.object_store.storage.recon import Recon
from pileus.object_store.storage.wire import (
    ARGUMENTS,
    BODY_METHODS,
    CALL_HEADER,
    FRAME,
    FRAME_BYTES_MAX,
    READ_METHODS,
    Address,
    decode_call,
    from_header,
)

log = structlog.get_logger(__name__)
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
KINDS = ("accounts", "containers", "objects")
SERVED_AS = {"fragments": "objects"}


class Gone(Exception):
    """The sender left before the end."""


class Extra(Protocol):
    """Further calls that a server answers (the replicators')."""

    def answers(self, method: str) -> bool: ...

    async def call(self, method: str, header: str, body: AsyncIterator[bytes]) -> Any: ...


@dataclass(frozen=True)
class BackendApp:
    """An ASGI app that serves kinds of things (accounts, containers, objects) of the devices here."""

    carrier: LocalCarrier
    kinds: tuple[str, ...] = KINDS
    extra: Extra | None = None
    recon: Recon | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        path = scope["path"].strip("/")
        header = next((value.decode("latin-1") for name, value in scope["headers"] if name == CALL_HEADER.encode()), "")
        try:
            if path == "healthcheck":
                await _answer(send, HTTPStatus.OK, b"OK")
            elif path.split("/")[0] == "recon":
                found = (self.recon or Recon(self.carrier.devices)).answer(path)
                await _answer(send, HTTPStatus.NOT_FOUND if found is None else HTTPStatus.OK, found or b"no such figures")
            elif self.extra and self.extra.answers(path):
                await _answer_packed(send, await self.extra.call(path, header, body_of(receive)))
            elif path in ARGUMENTS and SERVED_AS.get(path.split("/")[0], path.split("/")[0]) in self.kinds:
                await self._call(path, header, receive, send)
            else:
                await _answer(send, HTTPStatus.NOT_FOUND, b"no such call")
        except Gone:
            return
        except ValueError as error:
            await _answer(send, HTTPStatus.BAD_REQUEST, str(error).encode())
        except Exception:
            log.exception("backend call failed", call=path)
            with suppress(Exception):
                await _answer(send, HTTPStatus.INTERNAL_SERVER_ERROR, b"")

    async def _call(self, path: str, header: str, receive: Receive, send: Send) -> None:
        call = b"".join([piece async for piece in body_of(receive)]) if path in BODY_METHODS else from_header(header)
        address, arguments = decode_call(path, call)
        if address.device not in self.carrier.devices:
            await self._no_device(path, send)
            return
        server = self._server(path.split("/", maxsplit=1)[0], address)
        if path == "objects/put":
            await _answer_packed(send, await _take(server, address.partition, arguments, receive))
        elif path in READ_METHODS:
            reader = await getattr(server, path.split("/")[1])(address.partition, *arguments)
            await _give(reader, arguments[-2], arguments[-1], send)
        else:
            await _answer_packed(send, await getattr(server, path.split("/")[1])(address.partition, *arguments))

    def _server(self, kind: str, address: Address) -> Any:
        node = Node(id=0, device=address.device)
        if kind == "objects":
            return self.carrier.objects(node, address.policy)
        if kind == "fragments":
            return self.carrier.fragments(node, address.policy)
        return self.carrier.containers(node) if kind == "containers" else self.carrier.accounts(node)

    async def _no_device(self, path: str, send: Send) -> None:
        if path.endswith(("/head", "/listing", "/find")):
            await _answer_packed(send, {"status": HTTPStatus.INSUFFICIENT_STORAGE})
        elif path in READ_METHODS:
            answer = msgspec.msgpack.encode({"status": HTTPStatus.INSUFFICIENT_STORAGE})
            await _answer(send, HTTPStatus.OK, FRAME.pack(len(answer)) + answer)
        else:
            await _answer_packed(send, Written(HTTPStatus.INSUFFICIENT_STORAGE))


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _answer_packed(send: Send, answer: Any) -> None:
    await _answer(send, HTTPStatus.OK, msgspec.msgpack.encode(answer))


async def body_of(receive: Receive) -> AsyncIterator[bytes]:
    """Read a request's body.

    :raises Gone: when the sender leaves before the end.
    """
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def frames_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Read frames out of a body; ends where the body ends.

    :raises Gone: when it ends within a frame.
    """
    data = bytearray()
    async for piece in pieces:
        data += piece
        while len(data) >= FRAME.size:
            (size,) = FRAME.unpack_from(data)
            if size > FRAME_BYTES_MAX:
                raise ValueError("a frame is too big")
            if len(data) < FRAME.size + size:
                break
            frame = bytes(data[FRAME.size : FRAME.size + size])
            del data[: FRAME.size + size]
            yield frame
    if data:
        raise Gone


async def _take(server: Any, partition: int, arguments: tuple[Any, ...], receive: Receive) -> Written:
    """Store an upload; one that ends before its footer is forgotten.

    All of it is read before it is answered: with a rest unread the connection would be closed behind the answer, which may then
    never be seen.
    """
    writer = await server.put(partition, *arguments)
    if isinstance(writer, Written):
        return writer
    finished, footer = False, b""
    try:
        async for frame in frames_of(body_of(receive)):
            if finished:
                footer = frame
            elif frame:
                await writer.write(frame)
            finished = finished or not frame
        if not footer:
            raise Gone
        written: Written = await writer.commit(msgspec.msgpack.decode(footer, type=dict[str, str]))
        return written
    except BaseException:
        await writer.abort()
        raise


async def _give(reader: ObjectReader, start: int, length: int | None, send: Send) -> None:
    """Send an object: its answer, then the bytes asked for."""
    try:
        answer = msgspec.msgpack.encode(reader.answer)
        head = FRAME.pack(len(answer)) + answer
        metadata = reader.answer.metadata
        size = 0
        if metadata:
            rest = max(metadata.size_bytes - start, 0)
            size = rest if length is None else min(length, rest)
        headers = [(b"content-length", b"%d" % (len(head) + size))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": head, "more_body": size > 0})
        if size:
            async for piece in reader.chunks(start, length):
                size -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": size > 0})
    finally:
        await reader.close()


def backend_app(
    carrier: LocalCarrier, kinds: Iterable[str] = KINDS, extra: Extra | None = None, recon: Recon | None = None
) -> BackendApp:
    """Return the app of an object, container or account server, or of several in one."""
    return BackendApp(carrier, tuple(kinds), extra, recon)
