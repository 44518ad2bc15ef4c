"""Content as objects of a container: one object, or a manifest and its parts where it is larger than an object may be.

    CONTAINER/IMAGE.TOKEN                 the content, or a manifest of what follows
    CONTAINER/IMAGE.TOKEN/00000001 ...    the parts of a large one

The manifest is Swift's dynamic large object, so whoever reads the object reads the whole.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from pileus.image.backend import BackendError, BackendFull
from pileus.image.files import READ_BYTES, safe

PART_BYTES = 2 << 30
NO_ROOM = (28, 122)
SCHEME = "swift://"


class Account(Protocol):
    """What is asked of an account of an object store.  Names are of characters that need no quoting but the slash."""

    def put(self, container: str, name: str, body: "FilePart | bytes", headers: Mapping[str, str]) -> None:
        """Store an object, in place of one that is there; makes the container when it is missing."""

    def read(self, container: str, name: str, start: int, length: int | None) -> Iterator[bytes]:
        """Yield an object.  :raises ContentMissing: when there is none."""

    def size_bytes(self, container: str, name: str) -> int | None:
        """Return an object's size.  :raises ContentMissing: when there is none."""

    def delete(self, container: str, name: str) -> None:
        """Delete an object; nothing happens when there is none."""

    def list(self, container: str, prefix: str) -> list[str]:
        """Return the names that begin with a prefix."""


class FilePart:
    """Bytes of a file, from one place on; read once, from the start on.  A file to http.client."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        self.length, self._left = length, length
        self._file = open(path, "rb")  # noqa: SIM115  (closed by close)
        self._file.seek(start)

    def read(self, most_bytes: int = READ_BYTES) -> bytes:
        """Return the next bytes, none at the end."""
        block = self._file.read(min(most_bytes if most_bytes > 0 else READ_BYTES, self._left))
        self._left -= len(block)
        return block

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ObjectBackend:
    """Fulfils `Backend`.

    :param part_bytes: how large one object becomes at most.
    """

    kind = "swift"
    read_only = False

    def __init__(self, account: Account, container: str, part_bytes: int = PART_BYTES) -> None:
        self._account, self._container, self._part_bytes = account, container, part_bytes

    def url(self, image_id: str, token: str) -> str:
        return f"{SCHEME}{self._container}/{safe(image_id)}.{safe(token)}"

    def put(self, url: str, source: Path) -> None:
        container, name = _place(url)
        try:
            total = source.stat().st_size
            if total <= self._part_bytes:
                self._put_part(container, name, source, 0, total)
                return
            for number, start in enumerate(range(0, total, self._part_bytes), 1):
                self._put_part(container, f"{name}/{number:08}", source, start, min(self._part_bytes, total - start))
        except OSError as error:
            kind = BackendFull if error.errno in NO_ROOM else BackendError
            raise kind(f"The content could not be sent: {error.strerror or error}") from error
        self._account.put(container, name, b"", {"x-object-manifest": f"{container}/{name}/"})

    def _put_part(self, container: str, name: str, source: Path, start: int, length: int) -> None:
        part = FilePart(source, start, length)
        try:
            self._account.put(container, name, part, {"content-type": "application/octet-stream"})
        finally:
            part.close()

    def local_path(self, url: str) -> Path | None:
        return None

    def read(self, url: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        container, name = _place(url)
        if length == 0:
            return iter(())
        return self._account.read(container, name, start, length)

    def size_bytes(self, url: str) -> int | None:
        return self._account.size_bytes(*_place(url))

    def remove(self, url: str) -> None:
        container, name = _place(url)
        self._account.delete(container, name)
        for part in self._account.list(container, f"{name}/"):
            self._account.delete(container, part)

    def properties(self) -> Mapping[str, Any]:
        mib = self._part_bytes >> 20
        return {"container": self._container, "large_object_size": mib, "large_object_chunk_size": mib}


def byte_range(name: str, start: int, length: int | None) -> dict[str, str]:
    """Return the header, under the name it is to have, that asks for length bytes from start; none when all is wanted."""
    if not start and length is None:
        return {}
    return {name: f"bytes={start}-{'' if length is None else start + length - 1}"}


def _place(url: str) -> tuple[str, str]:
    container, _, name = url.removeprefix(SCHEME).partition("/")
    return container, name
