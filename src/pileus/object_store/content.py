"""The content of an object, opened: plain, or put together out of segments; what answers, copies and checks read from."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pileus.object_store.backend import ObjectMetadata


class Source(Protocol):
    """Where the bytes come from."""

    @property
    def inline(self) -> bytes | None:
        """The whole body, when it is at hand."""
        ...

    @property
    def path(self) -> str | None:
        """A file that holds the whole body."""
        ...

    def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read bytes."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


@dataclass
class Nothing:
    """No bytes: what a HEAD opens."""

    inline: bytes | None = b""
    path: str | None = None

    async def chunks(self, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read nothing."""
        return
        yield b""

    async def close(self) -> None:
        """Nothing to let go of."""


@dataclass
class Content:
    """An object as it is read.

    :param headers: those that callers see beside the standard ones.
    :param etag: as shown: of large objects in quotes.
    :param tags: what conditions may name.
    :param location: the path of the object that was read, when a link led to it.
    :param parts: the lengths of what it is put together of, where those may be asked for by number.
    :param one_range: several ranges of it cannot be asked for.
    """

    metadata: ObjectMetadata
    size_bytes: int
    etag: str
    tags: set[str]
    content_type: str
    headers: dict[str, str]
    source: Source = field(default_factory=Nothing)
    location: str = ""
    parts: Sequence[int] | None = None
    one_range: bool = False

    @property
    def sysmeta(self) -> Mapping[str, str]:
        """All stored headers."""
        return self.metadata.headers


def visible(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the stored headers of an object that callers see."""
    return {key: value for key, value in headers.items() if "-Sysmeta-" not in key}


def plain(metadata: ObjectMetadata, source: Source | None = None) -> Content:
    """Return the content of an object that is stored in one piece."""
    return Content(
        metadata, metadata.size_bytes, metadata.etag, {metadata.etag}, metadata.content_type,
        visible(metadata.headers), source or Nothing(),
    )  # fmt: skip
