"""Content as files in a folder, one an image, under names made of ids only.

FOLDER/<image id>              content, whole
FOLDER/filling/<image id>      content, on its way to its name
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pileus.image.backend import BackendError, BackendFull, ContentMissing
from pileus.image.files import READ_BYTES, SAFE, place, safe

NO_ROOM = (28, 122)
SCHEME = "file://"


class FileBackend:
    """Fulfils `Backend` and `Collected`."""

    kind = "file"
    read_only = False

    def __init__(self, folder: Path) -> None:
        self._folder, self._filling = folder, folder / "filling"

    def url(self, image_id: str, token: str) -> str:
        return f"{SCHEME}{self._folder.absolute()}/{safe(image_id)}"

    def put(self, url: str, source: Path) -> None:
        target = self.local_path(url)
        try:
            self._filling.mkdir(parents=True, exist_ok=True, mode=0o750)
            place(source, self._filling / target.name, target)
        except OSError as error:
            kind = BackendFull if error.errno in NO_ROOM else BackendError
            raise kind(f"The content could not be written: {error.strerror or error}") from error

    def local_path(self, url: str) -> Path:
        """Return the file; its name alone counts, so that a folder may be moved."""
        return self._folder / safe(url.rpartition("/")[2])

    def read(self, url: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        try:
            with open(self.local_path(url), "rb") as file:
                file.seek(start)
                left = length
                while left != 0 and (block := file.read(READ_BYTES if left is None else min(READ_BYTES, left))):
                    left = None if left is None else left - len(block)
                    yield block
        except FileNotFoundError:
            raise ContentMissing("The content is gone.") from None
        except OSError as error:
            raise BackendError(f"The content could not be read: {error.strerror or error}") from error

    def size_bytes(self, url: str) -> int | None:
        try:
            return self.local_path(url).stat().st_size
        except FileNotFoundError:
            raise ContentMissing("The content is gone.") from None

    def remove(self, url: str) -> None:
        self.remove_all(self.local_path(url).name)

    def properties(self) -> Mapping[str, Any]:
        return {"data_dir": str(self._folder), "chunk_size": READ_BYTES, "thin_provisioning": False}

    def list_content(self) -> list[str]:
        folders = [folder for folder in (self._folder, self._filling) if folder.exists()]
        return sorted({entry.name for folder in folders for entry in os.scandir(folder) if SAFE.fullmatch(entry.name)})

    def remove_all(self, image_id: str) -> None:
        for folder in (self._folder, self._filling):
            (folder / safe(image_id)).unlink(missing_ok=True)
