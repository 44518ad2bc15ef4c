"""Content in an object store elsewhere that speaks Swift's API.  One URL says where and as whom:

https://USER:KEY@HOST/auth/v1.0                                  Swift's own authentication
https://USER:PASSWORD@HOST/identity/v3?project=NAME              Keystone; also domain= (an id), region= and container=
"""

import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlencode, urlsplit

from pileus.image.backend import BackendError, BackendFull, ContentMissing
from pileus.image.backends.objects import FilePart, ObjectBackend
from pileus.image.files import READ_BYTES

TIMEOUT_SECONDS = 60.0
ANSWER_BYTES_MAX = 16 << 20
NO_ROOM = (413, 507)
CONTAINER = "images"


@dataclass(frozen=True)
class Session:
    """Where the account is, and the token for it."""

    url: str
    token: str


class SwiftAccount:
    """Fulfils `Account`."""

    def __init__(self, parts: SplitResult, asked: Mapping[str, str]) -> None:
        self._parts, self._asked = parts, asked
        self._user, self._key = unquote(parts.username or ""), unquote(parts.password or "")
        self._session: Session | None = None
        self._lock = threading.Lock()

    def put(self, container: str, name: str, body: FilePart | bytes, headers: Mapping[str, str]) -> None:
        self._ask("PUT", f"/{quote(container)}")
        self._ask("PUT", f"/{quote(container)}/{quote(name)}", body, headers)

    def read(self, container: str, name: str, start: int, length: int | None) -> Iterator[bytes]:
        wanted = (
            {} if not start and length is None else {"Range": f"bytes={start}-{'' if length is None else start + length - 1}"}
        )
        with self._asked_for("GET", f"/{quote(container)}/{quote(name)}", headers=wanted) as answer:
            try:
                while block := answer.read(READ_BYTES):
                    yield block
            except (OSError, http.client.HTTPException) as error:
                raise BackendError(f"The object store broke off at {name}: {error}") from error
            if answer.length:
                raise BackendError(f"The object store broke off at {name}.")

    def size_bytes(self, container: str, name: str) -> int | None:
        with self._asked_for("HEAD", f"/{quote(container)}/{quote(name)}") as answer:
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
        with self._asked_for(method, path, body, headers) as answer:
            return answer.read(ANSWER_BYTES_MAX)

    @contextmanager
    def _asked_for(
        self, method: str, path: str, body: FilePart | bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Ask the account; a token that is no longer taken is replaced first, since a body cannot be sent twice."""
        session = self._authenticated(None)
        if isinstance(body, FilePart):
            with _sent("HEAD", urlsplit(session.url), {"X-Auth-Token": session.token}) as answer:
                refused = answer.status == 401
            session = self._authenticated(session) if refused else session
        for again in (not isinstance(body, FilePart), False):
            given = {"X-Auth-Token": session.token, "Accept": "text/plain, */*", **(headers or {})}
            with _sent(method, urlsplit(session.url + path), given, body) as answer:
                if answer.status != 401 or not again:
                    _check(answer, path)
                    yield answer
                    return
            session = self._authenticated(session)

    def _authenticated(self, refused: Session | None) -> Session:
        with self._lock:
            if self._session is None or self._session == refused:
                self._session = self._by_keystone() if "/v3" in self._parts.path else self._by_swift()
            return self._session

    def _by_swift(self) -> Session:
        with _sent("GET", self._parts._replace(query=""), {"X-Auth-User": self._user, "X-Auth-Key": self._key}) as answer:
            url = answer.getheader("X-Storage-Url")
            if answer.status not in (200, 204) or not url:
                raise BackendError(f"The object store does not let {self._user} in: {answer.status}.")
            return Session(url.rstrip("/"), answer.getheader("X-Auth-Token", ""))

    def _by_keystone(self) -> Session:
        domain = {"id": self._asked.get("domain", "default")}
        user = {"name": self._user, "password": self._key, "domain": domain}
        scope = {"project": {"name": self._asked.get("project", self._user), "domain": domain}}
        auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        where = self._parts._replace(path=self._parts.path.rstrip("/") + "/auth/tokens", query="")
        with _sent("POST", where, {"Content-Type": "application/json"}, json.dumps(auth).encode()) as answer:
            if answer.status != 201:
                raise BackendError(f"Keystone does not let {self._user} in: {answer.status}.")
            catalog = json.loads(answer.read(ANSWER_BYTES_MAX))["token"].get("catalog", [])
            return Session(_endpoint(catalog, self._asked.get("region")), answer.getheader("X-Subject-Token", ""))


class SwiftBackend(ObjectBackend):
    """Fulfils `Backend`."""

    def __init__(self, url: str) -> None:
        """:raises BackendError: when the URL is none of those forms."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is None or parts.password is None:
            raise BackendError(
                "The URL of a swift store is not of the form https://USER:KEY@HOST/auth/v1.0 or .../identity/v3?project=P."
            )
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        super().__init__(SwiftAccount(parts, asked), asked.get("container", CONTAINER))


def _endpoint(catalog: list[dict[str, Any]], region: str | None) -> str:
    for service in catalog:
        for endpoint in service["endpoints"] if service["type"] == "object-store" else ():
            if endpoint["interface"] == "public" and region in (None, endpoint["region"]):
                return str(endpoint["url"]).rstrip("/")
    raise BackendError("There is no object store in Keystone's catalog.")


def _check(answer: http.client.HTTPResponse, path: str) -> None:
    if 200 <= answer.status < 300:
        return
    if answer.status == 404:
        raise ContentMissing(f"There is no {path}.")
    kind = BackendFull if answer.status in NO_ROOM else BackendError
    raise kind(f"The object store refused {path}: {answer.status} {answer.reason}")


@contextmanager
def _sent(
    method: str, url: SplitResult, headers: Mapping[str, str], body: FilePart | bytes | None = None
) -> Iterator[http.client.HTTPResponse]:
    """Send one request.  :raises BackendError: when there is no answer."""
    host = url.hostname or ""
    if url.scheme == "https":
        link: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, url.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    else:
        link = http.client.HTTPConnection(host, url.port, timeout=TIMEOUT_SECONDS)
    link.blocksize = READ_BYTES
    try:
        given = dict(headers) | ({"Content-Length": str(body.length)} if isinstance(body, FilePart) else {})
        try:
            link.request(method, (url.path or "/") + (f"?{url.query}" if url.query else ""), body, given)
            answer = link.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(f"The object store at {host} does not answer: {error}") from error
        yield answer
    finally:
        link.close()
