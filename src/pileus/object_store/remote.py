"""An account of an object store elsewhere that speaks Swift's API, such as another cloud's.  One URL says where and as whom:

https://USER:KEY@HOST/auth/v1.0                                  Swift's own authentication
https://USER:PASSWORD@HOST/identity/v3?project=NAME              Keystone; also domain= (an id) and region=
"""

import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

TIMEOUT_SECONDS = 60.0
LOGIN_BYTES_MAX = 16 << 20
BLOCK_BYTES = 1 << 20


class RemoteError(Exception):
    """The object store does not answer, or lets nobody in."""


class Part(Protocol):
    """A body that is read as it is sent, once."""

    length: int

    def read(self, most_bytes: int = ..., /) -> bytes:
        """Return the next bytes, none at the end."""


@dataclass(frozen=True)
class Session:
    """Where the account is, and the token for it."""

    url: str
    token: str


class RemoteAccount:
    """Asks an account.

    :param url: of one of the two forms.
    :raises ValueError: when it is of neither.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is None or parts.password is None:
            raise ValueError(
                "it is not of the form https://USER:KEY@HOST/auth/v1.0 or https://USER:KEY@HOST/identity/v3?project=P."
            )
        self.options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._parts = parts._replace(query="")
        self._user, self._key = unquote(parts.username), unquote(parts.password)
        self._session: Session | None = None
        self._lock = threading.Lock()

    @contextmanager
    def ask(
        self, method: str, path: str, body: Part | bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Ask for something of the account, whatever the answer is.

        A token that is no longer taken is replaced: once there is such an answer, but first where the body cannot be sent twice.

        :param path: quoted, from the container on, with its query.
        :raises RemoteError: when there is no answer, or nobody is let in.
        """
        session, once = self._logged_in(None), body is not None and not isinstance(body, bytes)
        if once:
            with _sent("HEAD", urlsplit(session.url), {"X-Auth-Token": session.token}) as answer:
                refused = answer.status == 401
            session = self._logged_in(session) if refused else session
        for again in (not once, False):
            given = {"X-Auth-Token": session.token, "Accept": "text/plain, */*", **(headers or {})}
            with _sent(method, urlsplit(session.url + path), given, body) as answer:
                if answer.status != 401 or not again:
                    yield answer
                    return
            session = self._logged_in(session)

    def _logged_in(self, refused: Session | None) -> Session:
        with self._lock:
            if self._session is None or self._session == refused:
                self._session = self._by_keystone() if "/v3" in self._parts.path else self._by_swift()
            return self._session

    def _by_swift(self) -> Session:
        with _sent("GET", self._parts, {"X-Auth-User": self._user, "X-Auth-Key": self._key}) as answer:
            url = answer.getheader("X-Storage-Url")
            if answer.status not in (200, 204) or not url:
                raise RemoteError(f"The object store does not let {self._user} in: {answer.status}.")
            return Session(url.rstrip("/"), answer.getheader("X-Auth-Token", ""))

    def _by_keystone(self) -> Session:
        domain = {"id": self.options.get("domain", "default")}
        user = {"name": self._user, "password": self._key, "domain": domain}
        scope = {"project": {"name": self.options.get("project", self._user), "domain": domain}}
        auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        where = self._parts._replace(path=self._parts.path.rstrip("/") + "/auth/tokens")
        with _sent("POST", where, {"Content-Type": "application/json"}, json.dumps(auth).encode()) as answer:
            if answer.status != 201:
                raise RemoteError(f"Keystone does not let {self._user} in: {answer.status}.")
            catalog = json.loads(answer.read(LOGIN_BYTES_MAX))["token"].get("catalog", [])
            return Session(_endpoint(catalog, self.options.get("region")), answer.getheader("X-Subject-Token", ""))


def _endpoint(catalog: list[dict[str, Any]], region: str | None) -> str:
    for service in catalog:
        for endpoint in service["endpoints"] if service["type"] == "object-store" else ():
            if endpoint["interface"] == "public" and region in (None, endpoint["region"]):
                return str(endpoint["url"]).rstrip("/")
    raise RemoteError("There is no object store in Keystone's catalog.")


@contextmanager
def _sent(
    method: str, url: SplitResult, headers: Mapping[str, str], body: Part | bytes | None = None
) -> Iterator[http.client.HTTPResponse]:
    host = url.hostname or ""
    if url.scheme == "https":
        link: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, url.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    else:
        link = http.client.HTTPConnection(host, url.port, timeout=TIMEOUT_SECONDS)
    link.blocksize = BLOCK_BYTES
    length = {} if body is None or isinstance(body, bytes) else {"Content-Length": str(body.length)}
    try:
        try:
            link.request(method, (url.path or "/") + (f"?{url.query}" if url.query else ""), body, {**headers, **length})
            answer = link.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise RemoteError(f"The object store at {host} does not answer: {error}") from error
        yield answer
    finally:
        link.close()
