"""Content in an object store elsewhere that speaks Swift's API: `object_store.remote` has the URLs, with container= besides."""

import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, urlencode

from pileus.image.backend import BackendError, BackendFull, ContentMissing
from pileus.image.backends.objects import FilePart, ObjectBackend
from pileus.image.files import READ_BYTES
from pileus.object_store.remote import RemoteAccount, RemoteError

ANSWER_BYTES_MAX = 16 << 20
NO_ROOM = (413, 507)
CONTAINER = "images"


class SwiftAccount:
    """Fulfils `Account`."""

    def __init__(self, remote: RemoteAccount) -> None:
        self._remote = remote

    def put(self, container: str, name: str, body: FilePart | bytes, headers: Mapping[str, str]) -> None:
        self._ask("PUT", f"/{quote(container)}")
        self._ask("PUT", f"/{quote(container)}/{quote(name)}", body, headers)

    def read(self, container: str, name: str, start: int, length: int | None) -> Iterator[bytes]:
        last = "" if length is None else start + length - 1
        wanted = {"Range": f"bytes={start}-{last}"} if start or length is not None else {}
        with self._asked("GET", f"/{quote(container)}/{quote(name)}", headers=wanted) as answer:
            try:
                while block := answer.read(READ_BYTES):
                    yield block
            except (OSError, http.client.HTTPException) as error:
                raise BackendError(f"The object store broke off at {name}: {error}") from error
            if answer.length:
                raise BackendError(f"The object store broke off at {name}.")

    def size_bytes(self, container: str, name: str) -> int | None:
        with self._asked("HEAD", f"/{quote(container)}/{quote(name)}") as answer:
            told = answer.getheader("Content-Length")
            return int(told) if told else None

    def delete(self, container: str, name: str) -> None:
        try:
            self._ask("DELETE", f"/{quote(container)}/{quote(name)}")
        except ContentMissing:
            return

    def list(self, container: str, prefix: str) -> list[str]:
        try:
            return self._ask("GET", f"/{quote(container)}?{urlencode({'prefix': prefix})}").decode().splitlines()
        except ContentMissing:
            return []

    def _ask(
        self, method: str, path: str, body: FilePart | bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        with self._asked(method, path, body, headers) as answer:
            return answer.read(ANSWER_BYTES_MAX)

    @contextmanager
    def _asked(
        self, method: str, path: str, body: FilePart | bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        try:
            with self._remote.ask(method, path, body, headers) as answer:
                _check(answer, path)
                yield answer
        except RemoteError as error:
            raise BackendError(str(error)) from error


class SwiftBackend(ObjectBackend):
    """Fulfils `Backend`."""

    def __init__(self, url: str) -> None:
        """:raises BackendError: when the URL is none of those forms."""
        try:
            remote = RemoteAccount(url)
        except ValueError as error:
            raise BackendError(f"The URL of a swift store cannot be used: {error}") from error
        super().__init__(SwiftAccount(remote), remote.options.get("container", CONTAINER))


def _check(answer: http.client.HTTPResponse, path: str) -> None:
    if 200 <= answer.status < 300:
        return
    if answer.status == 404:
        raise ContentMissing(f"There is no {path}.")
    kind = BackendFull if answer.status in NO_ROOM else BackendError
    raise kind(f"The object store refused {path}: {answer.status} {answer.reason}")
