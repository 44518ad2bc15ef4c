"""From HTTP to a plain function call and back: routes as data, calls and answers.

A handler takes a Call and returns what is to be sent: a JSON-able value (a dict, a msgspec.Struct, None) or an Answer.  It
runs in a thread.  A handler of a stream route is a coroutine that reads the body in chunks.  `kernel.server` does the
serving; nothing here knows a socket.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Fault
from pileus.kernel.microversion import Microversions, Version
from pileus.kernel.microversion import parse as parse_version
from pileus.kernel.sockets import SocketHandler


@dataclass(frozen=True)
class Answer:
    """An answer with more to it than a JSON body and the route's status."""

    body: Any = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True)
class FileAnswer:
    """A file, or length bytes of it from start, sent without passing through Python where the server can.

    close is called when it has been sent, or cannot be.
    """

    path: str
    size_bytes: int
    start: int = 0
    length: int | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/octet-stream"
    close: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True)
class StreamAnswer:
    """A body that is made while it is sent; size_bytes None: its length is not known before (chunked)."""

    chunks: AsyncIterator[bytes]
    size_bytes: int | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/octet-stream"


class Query:
    """The query of a URL: every value of every name, in order."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the last value of a name."""
        found = default
        for key, value in self.pairs:
            if key == name:
                found = value
        return found

    def all(self, name: str) -> list[str]:
        """Return every value of a name."""
        return [value for key, value in self.pairs if key == name]

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.pairs)

    def names(self) -> set[str]:
        """Return the names that are there."""
        return {key for key, _ in self.pairs}


@dataclass
class Call:
    """One request, read and authenticated.

    path_url is the URL without the query; base_url the one the service is mounted at (no slash at the end).  body is the
    validated body (of the route's body type, else plain JSON, None when empty), raw its bytes.  chunks reads the body of a
    stream route.  identify turns any token into its holder's context, for public routes that know tokens in other places.
    """

    ctx: Context
    route: "Route"
    path: dict[str, str]
    query: Query
    headers: Mapping[str, str]
    version: Version
    base_url: str
    root_url: str
    path_url: str
    client: str = ""
    method: str = "GET"
    service_name: str = ""
    body: Any = None
    raw: bytes = b""
    chunks: Callable[[], AsyncIterator[bytes]] | None = None
    identify: Callable[[str], Context] | None = None

    @property
    def cloud(self) -> Cloud:
        """The cloud that is asked."""
        return self.ctx.cloud

    def since(self, version: str) -> bool:
        """Tell whether the microversion in use is at least this one."""
        return self.version >= parse_version(version)

    def require_one(self, items: Mapping[str, Any]) -> None:
        """Check that a body has one item, that of the path's key.  :raises BadRequest: when it has not."""
        if self.path["key"] not in items:
            raise BadRequest("Request body and URI mismatch")
        if len(items) > 1:
            raise BadRequest("Request body contains too many items")


Handler = Callable[[Call], Any]
StreamHandler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Route:
    """One API call.

    :param method: GET, POST, ...; a GET route also answers HEAD.
    :param path: under the service's root, such as "/v2.1/servers/{server_id}".
    :param handler: a function of a Call; a coroutine function when stream is set.
    :param body: the type (msgspec) that the body must be of; None: not read for validation.
    :param answer: the type of the answer, for the OpenAPI document.
    :param query: a msgspec.Struct whose fields are the query's parameters, for checking and for the OpenAPI document.
    :param status: of the answer when all went well.
    :param rule: the policy rule that guards it, for the documentation.
    :param since: the first microversion that has it, and until the last.
    :param public: answered without a token.
    :param raw: the body is not JSON (it is handed over as bytes).
    :param errors: statuses of failures, for the OpenAPI document.
    """

    method: str
    path: str
    handler: Handler | StreamHandler
    body: Any = None
    answer: Any = None
    query: Any = None
    status: int = 200
    rule: str = ""
    since: str = ""
    until: str = ""
    public: bool = False
    stream: bool = False
    raw: bool = False
    errors: tuple[int, ...] = (400, 401, 403, 404)
    summary: str = ""

    def serves(self, version: Version) -> bool:
        """Tell whether the route exists in a microversion."""
        return (not self.since or version >= parse_version(self.since)) and (
            not self.until or version <= parse_version(self.until)
        )


FaultForm = Callable[[Fault, int], tuple[Any, Mapping[str, str]]]
"""Turns a fault and its status into an error body (JSON-able) and headers."""


@dataclass(frozen=True)
class Service:
    """One API: its name, its place, its routes and its ways.

    :param name: the first segment of its URLs under the one base URL: "compute".
    :param fault_form: how it words errors.
    :param statuses: statuses that differ here from the tree's own, by type of fault.
    :param classic_ports: where it is served at the root when the classic ports are open.
    :param id_header: a further header that carries the request id, such as "x-compute-request-id".
    :param body_fault: turns the reason why a body is not of the route's type into a fault.
    :param make_id: makes the ids of its requests; None: the kernel's own.
    :param alias: turns a path of an older form into one of the routes' and the project that it names ("": none), which
        must be that of the token.
    :param sockets: what serves WebSockets, by path under the service's root.
    :param front: routes that clients look for at the root of the one base URL, whatever service serves them.
    :param claims: tells whether a request is this service's though neither its path nor its port says so; asked with the
        headers, the query as it came, and the service that the port is for ("": the one base URL).
    :param guest_of: the service at whose classic ports it is served, too, to requests that it claims.
    """

    name: str
    title: str
    routes: tuple[Route, ...]
    fault_form: FaultForm
    microversions: Microversions | None = None
    statuses: Mapping[type[Fault], int] = field(default_factory=dict)
    classic_ports: tuple[int, ...] = ()
    id_header: str = ""
    body_fault: Callable[[str], Fault] = BadRequest
    anonymous_status: int = 401
    make_id: Callable[[Cloud], str] | None = None
    alias: Callable[[str], tuple[str, str]] | None = None
    front: tuple[Route, ...] = ()
    sockets: Mapping[str, SocketHandler] = field(default_factory=dict)
    claims: Callable[[Cloud, Mapping[str, str], str, str], bool] | None = None
    guest_of: str = ""

    def status_of(self, fault: Fault) -> int:
        """Return the status that this API gives a fault."""
        for kind in type(fault).__mro__:
            if kind in self.statuses:
                return self.statuses[kind]
        return fault.status
