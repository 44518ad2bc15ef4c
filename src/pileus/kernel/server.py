"""The web application: every API under one base URL, or one API at the root of its classic port.

For each request: find the route, read the microversion, hand over to a thread that authenticates, reads the body, calls the
handler and encodes the answer; then count and log it.  A request that has committed nothing is handled anew after a collision.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from pileus.kernel import faults, ids, metrics, openapi
from pileus.kernel.away import insist
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Fault, MethodNotAllowed, NotFound, TooLarge, Unauthenticated
from pileus.kernel.http import Answer, Call, FileAnswer, Query, Route, Service, StreamAnswer
from pileus.kernel.microversion import Version
from pileus.kernel.router import Router
from pileus.kernel.sockets import Socket

log = logging.getLogger("pileus.api")

GLOBAL_ID = re.compile(r"req-[0-9a-f-]{36}$")
CHUNK_BYTES = 1 << 20
NO_VERSION: Version = (0, 0)  # before a route was found

Scope = Mapping[str, Any]
Receive = Callable[[], Any]
Send = Callable[[Any], Any]
Authenticate = Callable[[Cloud, str, Call], Context]
"""Turns a token and the call into the caller's context.  :raises Unauthenticated: when the token is not valid."""


@dataclass(frozen=True)
class Reply:
    """An answer, encoded."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    file: FileAnswer | None = None
    stream: AsyncIterator[bytes] | None = None


@dataclass
class _Request:
    """What is known of a request before it is a Call."""

    service: Service
    scope: Scope
    headers: dict[str, str]
    id: str
    root_url: str
    prefix: str
    path: str
    version: Version = NO_VERSION
    route: Route | None = None
    project_id: str = ""


class Api:
    """The ASGI application.

    :param services: the APIs.
    :param authenticate: turns a token into a Context.
    :param alone: serve the first service at the root, for a classic port; the others are its guests.
    """

    def __init__(self, cloud: Cloud, services: Iterable[Service], authenticate: Authenticate, alone: bool = False) -> None:
        self._cloud, self._authenticate = cloud, authenticate
        self._services = {service.name: service for service in services}
        self._alone = next(iter(self._services.values())) if alone else None
        self._claiming = [service for service in self._services.values() if service.claims and service is not self._alone]
        self._routers = {name: Router(openapi.with_document(service)) for name, service in self._services.items()}
        self._threads = ThreadPoolExecutor(cloud.settings.api_threads, thread_name_prefix="api")
        self._front = Router(_front_routes(self._services.values()))
        self._front_service = Service("", "Pileus", (), _front_form)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        if scope["type"] == "websocket":
            return await self._serve_socket(Socket(scope, receive, send), scope)
        if scope["type"] != "http":
            return None
        started = time.perf_counter()
        request = self._read_head(scope)
        try:
            reply = await self._answer(request, scope["method"], receive)
        except Fault as fault:
            reply = _encode_fault(request, fault)
        except Exception:
            log.exception("a bug shows: %s %s, request %s", scope["method"], request.path, request.id)
            reply = _encode_fault(request, Fault("The server has either erred or is incapable of performing the operation."))
        reply.headers.extend(_common_headers(request))
        await _send(scope, send, reply)
        metrics.count(request.service.name, scope["method"], request.route, reply.status, time.perf_counter() - started)
        if scope["method"] not in ("GET", "HEAD") or reply.status >= 500:
            log.info("%s %s -> %d %s", scope["method"], request.prefix + request.path, reply.status, request.id)
        return None

    async def _serve_socket(self, socket: Socket, scope: Scope) -> None:
        """Hand a WebSocket over to the service that serves its path; without a token: a handler sees to rights."""
        service, path = self._alone, scope["path"]
        if service is None:
            first, _, rest = path.lstrip("/").partition("/")
            service, path = self._services.get(first), "/" + rest
        handler = service.sockets.get(path) if service else None
        await (handler(self._cloud, socket) if handler else socket.refuse())

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _read_head(self, scope: Scope) -> _Request:
        headers: dict[str, str] = {}
        for key, value in scope["headers"]:
            name = key.decode("latin-1").lower()
            headers[name] = f"{headers[name]},{value.decode('latin-1')}" if name in headers else value.decode("latin-1")
        host = headers.get("host") or ":".join(str(part) for part in scope.get("server") or ("localhost",))
        root = f"{headers.get('x-forwarded-proto', scope.get('scheme', 'http'))}://{host}"
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
        service, prefix = self._alone, ""
        if service is None:
            first, _, rest = path.lstrip("/").partition("/")
            if service := self._services.get(first):
                prefix, path = "/" + first, "/" + rest
        for guest in self._claiming:
            if service is not guest and self._is_claimed(guest, headers, scope):
                service, path, prefix = guest, prefix + path, ""
        chosen = service or self._front_service
        id = chosen.make_id(self._cloud) if chosen.make_id else ids.request_id()
        return _Request(chosen, scope, headers, id, root, prefix, path)

    def _is_claimed(self, guest: Service, headers: Mapping[str, str], scope: Scope) -> bool:
        query, at = scope.get("query_string", b"").decode("latin-1"), self._alone.name if self._alone else ""
        return guest.claims is not None and guest.claims(self._cloud, headers, query, at)

    async def _answer(self, request: _Request, method: str, receive: Receive) -> Reply:
        service = request.service
        router: Any = self._routers[service.name] if service.name else self._front
        at = request.path
        if service.alias:
            at, request.project_id = service.alias(at)
        match = router.find("GET" if method == "HEAD" else method, at)
        if method == "HEAD" and match and "HEAD" in match.methods:
            match = router.find("HEAD", at)
        if match is None:
            raise NotFound("The resource could not be found.")
        if service.microversions:
            request.version = service.microversions.lowest
            request.version = service.microversions.read(request.headers)
        if not match.routes:
            raise MethodNotAllowed("The method is not allowed for this resource.", headers={"Allow": ", ".join(match.methods)})
        chosen = [(route, path) for route, path in match.routes if route.serves(request.version)]
        if not chosen:
            raise NotFound("The resource could not be found.")
        route, path = chosen[0]
        request.route = route
        call = self._make_call(request, route, path, method)
        call.identify = lambda token: self._authenticate(self._cloud, token, call)
        loop = asyncio.get_running_loop()
        if route.stream:
            call.chunks = lambda: _chunks(receive)
            if not route.public:
                await loop.run_in_executor(self._threads, self._admit, request, call)
            return _encode(request, call, await route.handler(call))
        raw = await _read_body(receive, request.headers, self._cloud.settings.body_bytes_max)
        return await loop.run_in_executor(self._threads, self._run, request, call, raw)

    def _make_call(self, request: _Request, route: Route, path: dict[str, str], method: str) -> Call:
        pairs = parse_qsl(request.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        base = request.root_url + request.prefix
        asked = request.headers.get("x-openstack-request-id", "")
        context = Context(self._cloud, request_id=request.id, global_request_id=asked if GLOBAL_ID.match(asked) else "")
        client = (request.scope.get("client") or ("",))[0]
        return Call(
            context, route, path, Query(pairs), request.headers, request.version, base, request.root_url,
            base + request.path, client, method, request.service.name,
        )  # fmt: skip

    def _admit(self, request: _Request, call: Call) -> None:
        """Authenticate the caller; a public route takes anyone."""
        token = call.headers.get("x-auth-token", "")
        if call.route.public:
            return
        if not token:
            raise Unauthenticated("The request you have made requires authentication.")
        found = self._authenticate(self._cloud, token, call)
        if request.project_id and found.project_id != request.project_id:
            text = f"URL's project_id '{request.project_id}' doesn't match Context's project_id '{found.project_id}'"
            raise BadRequest("Malformed request URL: " + text)
        call.ctx = replace(found, request_id=call.ctx.request_id, global_request_id=call.ctx.global_request_id)

    def _run(self, request: _Request, call: Call, raw: bytes) -> Reply:
        before = self._cloud.db.commits
        try:
            found = insist(lambda: self._handle(request, call, raw), lambda: self._cloud.db.commits == before)
            return _encode(request, call, found)
        except Fault as fault:
            return _encode_fault(request, fault)
        except StopIteration as bug:  # no future takes one: its request would wait for ever
            raise RuntimeError("nothing was found where something must be") from bug

    def _handle(self, request: _Request, call: Call, raw: bytes) -> Any:
        self._admit(request, call)
        _refuse_nul(call, raw)
        call.raw = raw
        if not call.route.raw:
            call.body = _decode_body(call.route, raw, request.service)
        return call.route.handler(call)


def _refuse_nul(call: Call, raw: bytes) -> None:
    """Refuse the one character that PostgreSQL keeps in no text.

    :raises NotFound: when it is in the path.
    :raises BadRequest: when it is in the query or the body.
    """
    if any("\0" in value for value in call.path.values()):
        raise NotFound("The resource could not be found.")
    if any("\0" in key or "\0" in value for key, value in call.query.pairs) or (b"\\u0000" in raw and not call.route.raw):
        raise BadRequest("The request contains the character NUL.")


def _decode_body(route: Route, raw: bytes, service: Service) -> Any:
    try:
        plain = msgspec.json.decode(raw) if raw else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise service.body_fault("Malformed JSON in the request body: " + str(error)) from error
    if route.body is None:
        return plain
    if plain is None:
        raise service.body_fault("The request needs a body.")
    try:
        return msgspec.convert(plain, route.body)
    except msgspec.ValidationError as error:
        raise service.body_fault(explain(error)) from error


def explain(error: msgspec.ValidationError) -> str:
    """Word why a body is not as it should be, naming the field."""
    reason, _, path = str(error).partition(" - at `$")
    return f"Invalid input for field/attribute {path.rstrip('`').strip('.') or 'body'}. {reason}."


async def _read_body(receive: Receive, headers: Mapping[str, str], most: int) -> bytes:
    if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
        return b""
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise BadRequest("The header Content-Length is not a number.")
    if int(length) > most:
        raise TooLarge(f"The request body is larger than {most} bytes.")
    parts: list[bytes] = []
    size = 0
    async for part in _chunks(receive):
        size += len(part)
        if size > most:
            raise TooLarge(f"The request body is larger than {most} bytes.")
        parts.append(part)
    return b"".join(parts)


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The client went away before the end of the body.")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


def _encode(request: _Request, call: Call, found: Any) -> Reply:
    if isinstance(found, FileAnswer):
        length = found.size_bytes - found.start if found.length is None else found.length
        headers = {"Content-Type": found.content_type, "Content-Length": str(length), **found.headers}
        return Reply(found.status, _pairs(headers), file=None if call.method == "HEAD" else found)
    if isinstance(found, StreamAnswer):
        sized = {} if found.size_bytes is None else {"Content-Length": str(found.size_bytes)}
        return Reply(found.status, _pairs({"Content-Type": found.content_type, **sized, **found.headers}), stream=found.chunks)
    answer = found if isinstance(found, Answer) else Answer(found)
    status, headers = answer.status or call.route.status, dict(answer.headers)
    if answer.body is None:
        body = b""
        if status not in (204, 304):
            headers.setdefault("Content-Length", "0")
    else:
        body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
        headers = {"Content-Type": answer.content_type, "Content-Length": str(len(body))} | headers
    return Reply(status, _pairs(headers), b"" if call.method == "HEAD" else body)


def _encode_fault(request: _Request, fault: Fault) -> Reply:
    service = request.service
    status = service.status_of(fault)
    plain = service.fault_form is faults.glance and faults.wants_json(request.headers.get("accept", ""))
    form, more = (faults.glance_json if plain else service.fault_form)(fault, status)
    body = form.encode() if isinstance(form, str) else msgspec.json.encode(form)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **fault.headers, **more}
    if status == 401:
        headers["WWW-Authenticate"] = f'Keystone uri="{request.root_url}/identity"'
    return Reply(status, _pairs(headers), b"" if request.scope["method"] == "HEAD" else body)


def _common_headers(request: _Request) -> list[tuple[bytes, bytes]]:
    headers = {"x-openstack-request-id": request.id}
    if request.service.id_header:
        headers[request.service.id_header] = request.id
    versions = request.service.microversions
    if versions and request.version != NO_VERSION:
        headers |= versions.headers(request.version)
    return _pairs(headers)


def _pairs(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(key.lower().encode("latin-1"), value.encode("utf-8")) for key, value in headers.items()]


async def _send(scope: Scope, send: Send, reply: Reply) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    if reply.stream is not None:
        await _send_stream(scope, send, reply.stream)
        return
    if reply.file is None:
        await send({"type": "http.response.body", "body": reply.body})
        return
    try:
        await _send_file(scope, send, reply.file)
    finally:
        if reply.file.close:
            await reply.file.close()


async def _send_file(scope: Scope, send: Send, file: FileAnswer) -> None:
    if file.start == 0 and file.length is None and "http.response.pathsend" in (scope.get("extensions") or {}):
        await send({"type": "http.response.pathsend", "path": file.path})
        return
    loop = asyncio.get_running_loop()
    left = file.size_bytes - file.start if file.length is None else file.length
    with open(file.path, "rb") as source:
        source.seek(file.start)
        while left > 0:
            chunk = await loop.run_in_executor(None, source.read, min(CHUNK_BYTES, left))
            if not chunk:
                break
            left -= len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_stream(scope: Scope, send: Send, chunks: AsyncIterator[bytes]) -> None:
    """Send chunks as they come; close their source whatever happens."""
    try:
        if scope["method"] != "HEAD":
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        close = getattr(chunks, "aclose", None)
        if close:
            await close()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _front_form(fault: Fault, status: int) -> tuple[Any, Mapping[str, str]]:
    return {"error": {"code": status, "message": fault.message}}, fault.headers


def _front_routes(services: Iterable[Service]) -> list[Route]:
    services = tuple(services)
    names = [service.name for service in services]

    def index(call: Call) -> Any:
        return {"name": "Pileus", "services": {name: f"{call.root_url}/{name}" for name in names}}

    return [
        Route("GET", "/", index, public=True),
        Route("GET", "/health", lambda call: {"status": "ok"}, public=True),
        Route("GET", "/metrics", lambda call: Answer(metrics.text(), content_type=metrics.CONTENT_TYPE), public=True),
        *(route for service in services for route in service.front),
    ]
