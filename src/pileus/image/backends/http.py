"""Content that others serve on the web: read, never written.  Only what `web` lets through is asked."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pileus.image import web
from pileus.image.backend import BackendError


class HttpBackend:
    """Fulfils `Backend`.

    :param listed: hosts, addresses and networks that may be asked although they are not public, with commas.
    """

    kind = "http"
    read_only = True

    def __init__(self, listed: str) -> None:
        self._listed = listed

    def url(self, image_id: str, token: str) -> str:
        raise BackendError("The web is not written to.")

    def put(self, url: str, source: Path) -> None:
        raise BackendError("The web is not written to.")

    def local_path(self, url: str) -> Path | None:
        return None

    def read(self, url: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        left = length
        skip = start
        for block in self._blocks(url):
            rest = block[skip:]
            skip -= len(block) - len(rest)
            part = rest if left is None else rest[:left]
            if part:
                yield part
            left = None if left is None else left - len(part)
            if left == 0:
                return

    def _blocks(self, url: str) -> Iterator[bytes]:
        try:
            with web.opened(url, self._listed) as answer:
                yield from answer.blocks()
        except web.NotFetched as error:
            raise BackendError(str(error)) from error

    def size_bytes(self, url: str) -> int | None:
        try:
            with web.opened(url, self._listed, method="HEAD") as answer:
                return answer.size_bytes
        except web.NotFetched as error:
            raise BackendError(str(error)) from error

    def remove(self, url: str) -> None:
        return

    def properties(self) -> Mapping[str, Any]:
        return {}
