"""The stores of this cloud: back ends under the names that users choose by.

    image_stores = "file, fast=file:/srv/fast, far=swift, other=s3:https://KEY:SECRET@s3.example.org/images, web=http"

Each is NAME, NAME=KIND or NAME=KIND:WHERE; where no kind is named, the name is one.  The first that can be written to is the
default.  Their order is that in which an image's locations are tried, local files first.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pileus.image.backend import Backend, Collected
from pileus.image.backends.file import FileBackend
from pileus.image.backends.http import HttpBackend
from pileus.image.backends.own import OwnBackend
from pileus.image.backends.s3 import S3Backend
from pileus.image.backends.swift import SwiftBackend
from pileus.image.files import Workspace
from pileus.kernel.context import Cloud
from pileus.kernel.errors import Unavailable
from pileus.kernel.settings import Settings, SettingsError

KINDS = ("file", "swift", "s3", "http")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")
FIRST = "file"
"""The store whose files lie in the folder that images have always lain in."""


@dataclass(frozen=True)
class Store:
    """One store."""

    id: str
    kind: str
    where: str
    backend: Backend

    @property
    def is_local(self) -> bool:
        """Whether its content are files on this machine."""
        return isinstance(self.backend, FileBackend)

    @property
    def description(self) -> str:
        """What people are told of it."""
        return {"file": "Files on this machine", "http": "Content that others serve on the web"}.get(
            self.kind, "Objects in this cloud's own store" if not self.where else "Objects in a store elsewhere"
        )


class Stores:
    """The stores of this process, built at their first use.  `Cloud.parts` holds it.

    :raises SettingsError: when the setting cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._wanted = parse(settings.image_stores)
        self._built: tuple[Store, ...] = ()

    def all(self, cloud: Cloud) -> tuple[Store, ...]:
        """Return every store in its order."""
        if not self._built:
            self._built = tuple(Store(name, kind, where, _build(cloud, name, kind, where)) for name, kind, where in self._wanted)
        return self._built

    def put(self, stores: Sequence[Store]) -> None:
        """Use other stores from now on."""
        self._built = tuple(stores)


def parse(text: str) -> list[tuple[str, str, str]]:
    """Read the setting: name, kind and where of each store.

    :raises SettingsError: when it cannot be read.
    """
    found: list[tuple[str, str, str]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, rest = part.partition("=")
        kind, _, where = (rest or name).partition(":")
        name = name.partition(":")[0].strip()
        if kind.strip() not in KINDS:
            raise SettingsError(f"Setting image_stores: {kind!r} is no kind of store; there are {', '.join(KINDS)}.")
        if not NAME.match(name) or name.startswith("os_glance") or name in [known for known, *_ in found]:
            raise SettingsError(f"Setting image_stores: {name!r} cannot be the name of a store, or is one twice.")
        if kind.strip() == "s3" and not where:
            raise SettingsError(f"Setting image_stores: {name} needs a URL, such as s3:https://KEY:SECRET@HOST/BUCKET.")
        found.append((name, kind.strip(), where.strip()))
    if all(kind == "http" for _, kind, _ in found):
        raise SettingsError("Setting image_stores: there is no store that can be written to.")
    return found


def _build(cloud: Cloud, name: str, kind: str, where: str) -> Backend:
    if kind == "http":
        return HttpBackend(cloud.settings.image_import_hosts)
    if kind == "s3":
        return S3Backend(where)
    if kind == "swift":
        return SwiftBackend(where) if where else OwnBackend(cloud, name)
    root = cloud.part(Workspace).folder
    return FileBackend(Path(where) if where else root if name == FIRST else root / "stores" / name)


def all_of(cloud: Cloud) -> tuple[Store, ...]:
    """Return every store in its order."""
    return cloud.part(Stores).all(cloud)


def writable(cloud: Cloud) -> tuple[Store, ...]:
    """Return the stores that content can be put into, the default first."""
    return tuple(store for store in all_of(cloud) if not store.backend.read_only)


def default(cloud: Cloud) -> Store:
    """Return the store for content of which nobody says where it goes."""
    return writable(cloud)[0]


def find(cloud: Cloud, store_id: str) -> Store | None:
    """Return a store by its name, or None."""
    return next((store for store in all_of(cloud) if store.id == store_id), None)


def backend_of(cloud: Cloud, store_id: str) -> Backend:
    """Return the back end of a store that content is in.

    :raises Unavailable: when the settings name no such store (any more).
    """
    store = find(cloud, store_id)
    if store is None:
        raise Unavailable(f"The store {store_id} is not configured.")
    return store.backend


def web(cloud: Cloud) -> Store | None:
    """Return the store for content that others serve, or None."""
    return next((store for store in all_of(cloud) if store.kind == "http"), None)


def collected(cloud: Cloud) -> list[Collected]:
    """Return the back ends whose content can be counted through."""
    return [cast(Collected, store.backend) for store in all_of(cloud) if store.is_local]
