"""Backups in an object store elsewhere that speaks Swift's API, such as another cloud's.  One URL says where and as whom:

https://USER:KEY@HOST/auth/v1.0                                  Swift's own authentication
https://USER:PASSWORD@HOST/identity/v3?project=NAME              Keystone; also domain= (an id) and region=
"""

import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlencode, urlsplit

from pileus.volume.backup_target import ObjectMissing, TargetError, TargetFull, check_name

SERVICE = "cinder.backup.drivers.pileus.swift"
TIMEOUT_SECONDS = 60.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
NO_ROOM = (413, 507)


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Session:
    """Where the account is, and the token for it."""

    url: str
    token: str


class SwiftTarget:
    """Fulfils `BackupTarget`."""

    service = SERVICE

    def __init__(self, url: str) -> None:
        """:raises TargetError: when the URL is none of those forms."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is None or parts.password is None:
            raise TargetError(
                "The URL for backups is not of the form https://USER:KEY@HOST/auth/v1.0 or .../identity/v3?project=P."
            )
        self._parts = parts
        self._user, self._key = unquote(parts.username), unquote(parts.password)
        self._session: Session | None = None
        self._lock = threading.Lock()

    def put(self, container: str, name: str, data: bytes) -> None:
        where = f"/{quote(container, safe='')}"
        reply = self._ask("PUT", f"{where}/{quote(check_name(name))}", data)
        if reply.status == 404:
            self._check(self._ask("PUT", where, b""), container)
            reply = self._ask("PUT", f"{where}/{quote(name)}", data)
        self._check(reply, name)

    def get(self, container: str, name: str) -> bytes:
        reply = self._ask("GET", f"/{quote(container, safe='')}/{quote(check_name(name))}")
        return self._check(reply, name).body

    def delete(self, container: str, name: str) -> None:
        reply = self._ask("DELETE", f"/{quote(container, safe='')}/{quote(check_name(name))}")
        if reply.status != 404:
            self._check(reply, name)

    def list(self, container: str, prefix: str) -> Iterator[str]:
        marker = ""
        while True:
            query = urlencode({"prefix": check_name(prefix) + "/", "marker": marker})
            reply = self._ask("GET", f"/{quote(container, safe='')}?{query}")
            names = [] if reply.status == 404 else self._check(reply, prefix).body.decode().splitlines()
            if not names:
                return
            yield from names
            marker = names[-1]

    # ---- asking

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Reply:
        """Ask the account; a token that is no longer taken is replaced once."""
        session = self._authenticated(None)
        for again in (True, False):
            headers = {"X-Auth-Token": session.token, "Accept": "text/plain, */*"}
            reply = _send(method, urlsplit(session.url + path), headers, body)
            if reply.status != 401 or not again:
                break
            session = self._authenticated(session)
        return reply

    def _check(self, reply: Reply, name: str) -> Reply:
        if 200 <= reply.status < 300:
            return reply
        if reply.status == 404:
            raise ObjectMissing(f"There is no object {name}.")
        kind = TargetFull if reply.status in NO_ROOM else TargetError
        raise kind(f"The object store refused {name}: {reply.status} {reply.body[:200].decode(errors='replace')}")

    def _authenticated(self, refused: Session | None) -> Session:
        with self._lock:
            if self._session is None or self._session == refused:
                self._session = self._by_keystone() if "/v3" in self._parts.path else self._by_swift()
            return self._session

    def _by_swift(self) -> Session:
        headers = {"X-Auth-User": self._user, "X-Auth-Key": self._key}
        reply = _send("GET", self._parts, headers)
        if reply.status not in (200, 204) or "x-storage-url" not in reply.headers:
            raise TargetError(f"The object store does not let {self._user} in: {reply.status}.")
        return Session(reply.headers["x-storage-url"].rstrip("/"), reply.headers["x-auth-token"])

    def _by_keystone(self) -> Session:
        asked = {name: values[-1] for name, values in parse_qs(self._parts.query).items()}
        domain = {"id": asked.get("domain", "default")}
        user = {"name": self._user, "password": self._key, "domain": domain}
        scope = {"project": {"name": asked.get("project", self._user), "domain": domain}}
        auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        where = self._parts._replace(path=self._parts.path.rstrip("/") + "/auth/tokens", query="")
        reply = _send("POST", where, {"Content-Type": "application/json"}, json.dumps(auth).encode())
        if reply.status != 201:
            raise TargetError(f"Keystone does not let {self._user} in: {reply.status}.")
        url = _endpoint(json.loads(reply.body)["token"].get("catalog", []), asked.get("region"))
        return Session(url.rstrip("/"), reply.headers["x-subject-token"])


def _endpoint(catalog: list[dict[str, Any]], region: str | None) -> str:
    for service in catalog:
        for endpoint in service["endpoints"] if service["type"] == "object-store" else ():
            if endpoint["interface"] == "public" and region in (None, endpoint["region"]):
                return str(endpoint["url"])
    raise TargetError("There is no object store in Keystone's catalog.")


def _send(method: str, url: SplitResult, headers: Mapping[str, str], body: bytes | None = None) -> Reply:
    """Send one request.  :raises TargetError: when there is no answer."""
    host = url.hostname or ""
    if url.scheme == "https":
        link: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, url.port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    else:
        link = http.client.HTTPConnection(host, url.port, timeout=TIMEOUT_SECONDS)
    try:
        link.request(method, (url.path or "/") + (f"?{url.query}" if url.query else ""), body, dict(headers))
        answer = link.getresponse()
        found = answer.read(ANSWER_BYTES_MAX)
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, found)
    except (OSError, http.client.HTTPException) as error:
        raise TargetError(f"The object store at {host} does not answer: {error}") from error
    finally:
        link.close()
