"""Backups in an object store elsewhere that speaks Swift's API, such as another cloud's: `object_store.remote` has the URLs."""

import http.client
from collections.abc import Iterator
from urllib.parse import quote, urlencode

from pileus.object_store.remote import RemoteAccount, RemoteError
from pileus.volume.backup_target import ObjectMissing, TargetError, TargetFull, check_name

SERVICE = "cinder.backup.drivers.pileus.swift"
ANSWER_BYTES_MAX = 64 * 1024 * 1024
NO_ROOM = (413, 507)


class SwiftTarget:
    """Fulfils `BackupTarget`."""

    service = SERVICE

    def __init__(self, url: str) -> None:
        """:raises TargetError: when the URL is none of those forms."""
        try:
            self._account = RemoteAccount(url)
        except ValueError as error:
            raise TargetError(f"The URL for backups cannot be used: {error}") from error

    def put(self, container: str, name: str, data: bytes) -> None:
        where = _path(container)
        try:
            self._ask("PUT", f"{where}/{quote(check_name(name))}", data)
        except ObjectMissing:
            self._ask("PUT", where, b"")
            self._ask("PUT", f"{where}/{quote(name)}", data)

    def get(self, container: str, name: str) -> bytes:
        return self._ask("GET", f"{_path(container)}/{quote(check_name(name))}")

    def delete(self, container: str, name: str) -> None:
        try:
            self._ask("DELETE", f"{_path(container)}/{quote(check_name(name))}")
        except ObjectMissing:
            return

    def list(self, container: str, prefix: str) -> Iterator[str]:
        marker = ""
        while True:
            query = urlencode({"prefix": check_name(prefix) + "/", "marker": marker})
            try:
                names = self._ask("GET", f"{_path(container)}?{query}").decode().splitlines()
            except ObjectMissing:
                return
            if not names:
                return
            yield from names
            marker = names[-1]

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        try:
            with self._account.ask(method, path, body) as answer:
                found = answer.read(ANSWER_BYTES_MAX)
        except (RemoteError, OSError, http.client.HTTPException) as error:
            raise TargetError(f"The object store for backups: {error}") from error
        if 200 <= answer.status < 300:
            return found
        if answer.status == 404:
            raise ObjectMissing(f"There is no {path}.")
        kind = TargetFull if answer.status in NO_ROOM else TargetError
        raise kind(f"The object store refused {path}: {answer.status} {found[:200].decode(errors='replace')}")


def _path(container: str) -> str:
    return f"/{quote(container, safe='')}"
