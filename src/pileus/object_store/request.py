"""A request to the object store and its answer, apart from HTTP: what the use cases take and give.

Swift's API lives in headers, so they stay what they are: names in lower case, values as text.  A body is read in chunks by
whoever wants it; an answer's body is bytes, or an iterator that is pulled while it is sent.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import Fault
from pileus.object_store.timestamps import ZERO, Timestamp

if TYPE_CHECKING:
    from pileus.object_store.caller import Caller
    from pileus.object_store.state import ObjectStore

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=UTF-8"
JSON = "application/json; charset=utf-8"
XML = "application/xml; charset=utf-8"


class Refused(Fault):
    """A refusal with the status that Swift gives it."""

    def __init__(self, status: int, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, headers=headers)
        self.status = status


class Body(Protocol):
    """The body of a request."""

    @property
    def length(self) -> int | None:
        """How many bytes it declares; None: not known."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body, once.  :raises Refused: when the client goes away (499) or is silent for too long (408)."""
        ...


@dataclass
class Bytes:
    """A body that is there already."""

    content: bytes = b""

    @property
    def length(self) -> int | None:
        """Its length."""
        return len(self.content)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield it."""
        if self.content:
            yield self.content


@dataclass
class Stream:
    """A body that comes out of an iterator, such as another object."""

    source: AsyncIterator[bytes]
    length: int | None = None

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield it."""
        return self.source


@dataclass(frozen=True)
class FileSlice:
    """Bytes of a file: length of them from start."""

    path: str
    size_bytes: int
    start: int
    length: int

    @property
    def whole_and_lasting(self) -> bool:
        """Whether it is all of a file that can be opened later, too: not by a descriptor, which is closed by then."""
        return self.length == self.size_bytes and not self.path.startswith("/proc/")


@dataclass
class Response:
    """An answer.

    :param headers: in the spelling in which they are sent; Content-Type among them.
    :param body: bytes, or an iterator of chunks with length bytes in all (None: not known before), or a part of a file.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] | FileSlice = b""
    length: int | None = None
    close: Callable[[], Awaitable[None]] | None = None


@dataclass
class Request:
    """One request: where, what, by whom.

    :param at: its timestamp; later than that of every request before it in this process.
    :param mount: the path that the API is mounted at, such as "/object-store", or "".
    :param vouched: where a temporary URL or form lets it go without a token: "account" or "account/container".
    :param facts: what was found out on the way (infos of accounts and containers), so that nothing is asked twice.
    """

    cloud: Cloud
    store: "ObjectStore"
    method: str
    account: str = ""
    container: str = ""
    name: str = ""
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=Bytes)
    at: Timestamp = ZERO
    caller: "Caller | None" = None
    client: str = ""
    root_url: str = ""
    mount: str = ""
    trans_id: str = ""
    identify: Callable[[str], Context] | None = None
    vouched: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path of what is meant, not quoted: /v1/account/container/object."""
        return "/v1/" + "/".join(part for part in (self.account, self.container, self.name) if part)

    def flag(self, name: str) -> bool:
        """Tell whether a query parameter says yes."""
        return is_true(self.query.get(name, ""))

    def derived(self, **changes: Any) -> "Request":
        """Return a request like this one that asks for something else, on behalf of the same caller."""
        return replace(self, **{"headers": dict(self.headers), "query": {}, "body": Bytes(), **changes})


def is_true(text: str) -> bool:
    """Tell whether a text means yes, in Swift's way."""
    return text.strip().lower() in ("true", "1", "yes", "on", "t", "y")
