"""Where the content of images is kept: the contract of a back end.  A store is a back end under a name that users choose by.

A URL names one content in one back end.  Content appears under its URL whole or not at all, and every call may be repeated and
made from many threads.  Nothing here knows images' records.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol


class BackendError(Exception):
    """The back end could not do it.  The message says what it told, and holds no secret."""


class ContentMissing(BackendError):
    """There is no content at a URL."""


class BackendFull(BackendError):
    """There is no room left."""


class Backend(Protocol):
    """One back end."""

    @property
    def kind(self) -> str:
        """The name of its kind: file, swift, s3 or http."""

    @property
    def read_only(self) -> bool:
        """Whether it only reads what others put there."""

    def url(self, image_id: str, token: str) -> str:
        """Return the URL of an image's content that is about to be put.

        :param token: tells this putting from others, so that what takes one away can never hit another.
        """

    def put(self, url: str, source: Path) -> None:
        """Store a file's content.  The file may be linked to: it must not be written to any more.

        :raises BackendFull: when there is no room.
        :raises BackendError: when the back end cannot.
        """

    def local_path(self, url: str) -> Path | None:
        """Return the file that is the content, where it is one on this machine; it may be gone."""

    def read(self, url: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield length bytes from start (None: all that follow).

        :raises ContentMissing: when there is none.
        :raises BackendError: when the back end cannot, or breaks off.
        """

    def size_bytes(self, url: str) -> int | None:
        """Return the size of the content; None: not told.

        :raises ContentMissing: when there is none.
        :raises BackendError: when the back end cannot.
        """

    def remove(self, url: str) -> None:
        """Remove content; nothing happens when there is none.  :raises BackendError: when the back end cannot."""

    def properties(self) -> Mapping[str, Any]:
        """Return what operators are shown of it; no secrets."""


class Collected(Protocol):
    """A back end whose content can be counted through, so that what belongs to no image is found."""

    def list_content(self) -> list[str]:
        """Return the ids of the images that have content in it, or that were on their way into it."""

    def remove_all(self, image_id: str) -> None:
        """Remove whatever there is of an image."""
