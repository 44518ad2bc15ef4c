"""From a call to a request of the object store, and from its answer to HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Unauthenticated
from pileus.kernel.http import Answer, Call, FileAnswer, StreamAnswer
from pileus.object_store.backend import Unreachable
from pileus.object_store.caller import Caller
from pileus.object_store.domains import Place, is_below, place_of
from pileus.object_store.listing import is_utf8
from pileus.object_store.request import Bytes, FileSlice, Refused, Request, Response
from pileus.object_store.state import ObjectStore


@dataclass
class Upload:
    """The body of a request, read from the client as it is wanted; ended: all of it was; broken: no more will come."""

    call: Call
    length: int | None
    timeout_seconds: float
    ended: bool = False
    broken: bool = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body.  :raises Refused: 408 when the client is silent, 499 when it goes away."""
        assert self.call.chunks is not None
        source, size = self.call.chunks(), 0
        while self.length is None or size < self.length:
            try:
                async with asyncio.timeout(self.timeout_seconds):
                    chunk = await anext(source, None)
            except TimeoutError:
                self.broken = True
                raise Refused(408) from None
            except BadRequest:
                self.broken = True
                raise Refused(499, "Client Disconnect") from None
            if chunk is None:
                break
            size += len(chunk)
            yield chunk
        self.ended = True
        if self.length is not None and size < self.length:
            raise Refused(499, "Client Disconnect")


def make_trans_id(cloud: Cloud) -> str:
    """Return a new transaction id: tx, 21 hexadecimal digits, a dash, and the time."""
    return f"tx{ids.hex_secret(11)[:21]}-{int(cloud.clock.now()):010x}"


def split_path(call: Call) -> tuple[str, str, str, str]:
    """Return version, account, container and object of a path; what is not there is "".

    :raises Refused: 412 when it is not valid UTF-8.
    """
    raw = call.path_url[len(call.base_url) :]
    if place := _remapped(call):
        raw = place.path(raw)
    text = unquote(raw, errors="surrogateescape")
    if not is_utf8(text):
        raise Refused(412, "Invalid UTF8 or contains NULL")
    version, account, container, name = (*text[1:].split("/", 3), "", "", "")[:4]
    if (name and not container) or (container and not account):
        raise Refused(404)
    return version, account, container, name


def claims(cloud: Cloud, headers: Mapping[str, str], query: str, at: str) -> bool:
    """Tell whether a request is for the object store by the name of its host (domain remap)."""
    del query, at
    domains = cloud.part(ObjectStore).domains
    return bool(domains) and is_below(headers.get("host", ""), domains)


def _remapped(call: Call) -> Place | None:
    """Return the account, and perhaps the container, that the host's name stands for.  :raises Refused: 400."""
    domains = call.cloud.part(ObjectStore).domains
    if not domains:
        return None
    try:
        return place_of(call.headers.get("host", ""), domains)
    except ValueError as error:
        raise Refused(400, str(error), {"Content-Type": "text/plain"}) from None


def headers_of(call: Call) -> dict[str, str]:
    """Return the headers as text (they are UTF-8)."""
    return {
        key: value if value.isascii() else value.encode("latin-1").decode("utf-8", "surrogateescape")
        for key, value in call.headers.items()
    }


async def read_request(call: Call) -> Request:
    """Return the request that a call makes; its caller is not known yet.  :raises Refused: 400, 404, 412."""
    version, account, container, name = split_path(call)
    if version not in ("v1", "v1.0") or not account:
        raise Refused(412, "Bad URL")
    store = call.cloud.part(ObjectStore)
    return Request(
        cloud=call.cloud,
        store=store,
        method=call.method,
        account=account,
        container=container,
        name=name,
        query=dict(call.query.pairs),
        headers=headers_of(call),
        body=_body(call, store),
        at=store.next_timestamp(call.cloud.clock),
        client=call.client,
        root_url=call.root_url,
        mount=call.base_url[len(call.root_url) :],
        trans_id=call.ctx.request_id,
        identify=call.identify,
        facts={
            "raw_path": unquote(call.path_url[len(call.base_url) :], errors="surrogateescape"),
            "sent_path": call.path_url[len(call.root_url) :],
        },
    )


def _body(call: Call, store: ObjectStore) -> Bytes | Upload:
    text = call.headers.get("content-length")
    if call.headers.get("transfer-encoding", "").lower() == "chunked":
        return Upload(call, None, store.limits.client_timeout_seconds)
    if text is None:
        return Upload(call, None, store.limits.client_timeout_seconds) if call.method == "PUT" else Bytes()
    if not (text.isascii() and text.isdecimal()):
        raise Refused(400, f"Invalid Content-Length header value {text!r}")
    return Upload(call, int(text), store.limits.client_timeout_seconds) if int(text) else Bytes()


async def identify(call: Call, store: ObjectStore) -> Caller:
    """Find out who calls.  A token that is not valid is as good as none: public containers are for anyone."""
    token = call.headers.get("x-auth-token") or call.headers.get("x-storage-token") or ""
    if not token or call.identify is None:
        return Caller()
    if store.tempauth is not None and token.startswith("AUTH_tk"):
        return Caller(user=store.tempauth.holder(token, call.cloud.clock.now()))
    vouching = call.headers.get("x-service-token", "")
    ctx = await _holder(call, token)
    return Caller(ctx=ctx, service=await _holder(call, vouching) if vouching else None)


async def _holder(call: Call, token: str) -> Context | None:
    """Return the context of a token's holder.  SQLite answers sooner than a thread is woken; what is far must not block.

    :raises Unavailable: when identity is elsewhere and does not answer.
    """
    assert call.identify is not None
    elsewhere = call.cloud.part(ObjectStore).identity
    if elsewhere.remembers(token, call.cloud.clock.now()) if elsewhere else call.cloud.db.is_sqlite:
        return _context(call.identify, token)
    return await asyncio.to_thread(_context, call.identify, token)


def _context(identify: Callable[[str], Context], token: str) -> Context | None:
    try:
        return identify(token)
    except Unauthenticated:
        return None


async def reply(call: Call, work: Awaitable[Response]) -> Answer | FileAnswer | StreamAnswer:
    """Wait for an answer and put it into the form that the server sends.  :raises Refused: 503 when the devices are away."""
    try:
        found = await work
    except Unreachable as error:
        raise Refused(503) from error
    return await send(call, found)


async def send(call: Call, found: Response) -> Answer | FileAnswer | StreamAnswer:
    """Put an answer into the form that the server sends."""
    headers = dict(found.headers)
    content_type = headers.pop("Content-Type", "text/html; charset=UTF-8")
    body = found.body
    if isinstance(body, bytes) or call.method == "HEAD":
        if found.close:
            await found.close()
        if call.method == "HEAD" or not body:
            return Answer(None, found.status, {"Content-Type": content_type, **headers})
        assert isinstance(body, bytes)
        return Answer(body, found.status, headers, content_type)
    if isinstance(body, FileSlice):
        # with a length the kernel opens the path itself, before close; without one the server opens it later, and sends it all
        length = None if body.whole_and_lasting else body.length
        return FileAnswer(body.path, body.size_bytes, body.start, length, found.status, headers, content_type, found.close)
    return StreamAnswer(_closing(body, found), found.length, found.status, headers, content_type)


async def _closing(chunks: AsyncIterator[bytes], found: Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        if found.close:
            await found.close()
