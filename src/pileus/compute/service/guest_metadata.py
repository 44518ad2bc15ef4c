"""The metadata service: what a guest is told when it asks http://169.254.169.254.

Who asks is known by where the question came in (a network or a router) and from which address.  A guest asks a dozen
times while it boots, so what was found for it is kept for a few seconds.
"""

import base64
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

from pileus.compute import guest_data, neighbours
from pileus.compute.guest_data import EC2_VERSIONS, OPENSTACK_VERSIONS, Facts
from pileus.compute.store import server_volumes
from pileus.compute.store import servers as store
from pileus.kernel.context import Cloud

CACHE_SECONDS = 10.0
CACHE_MOST = 2048
PASSWORD_BYTES_MAX = 1020
LATEST = OPENSTACK_VERSIONS[-1]

Answer = tuple[int, Mapping[str, str], bytes]
JSON, TEXT = {"Content-Type": "application/json"}, {"Content-Type": "text/plain; charset=UTF-8"}


class Source(Protocol):
    """Who asks: an address in a network or behind a router."""

    @property
    def network_id(self) -> str | None: ...

    @property
    def router_id(self) -> str | None: ...

    @property
    def remote_ip(self) -> str: ...


@dataclass(frozen=True)
class _Kept:
    facts: Facts
    until: float


class MetadataService:
    """Answers guests."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._kept: dict[tuple[str | None, str | None, str], _Kept] = {}
        self._lock = threading.Lock()

    def __call__(self, source: Source, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request.  A header X-Forwarded-For, which would name another guest, counts for nothing."""
        facts = self._facts(source)
        if facts is None:
            return 404, TEXT, b"No server has this address.\n"
        words = [unquote(word) for word in re.split("/+", path.partition("?")[0]) if word]
        if words[:1] == ["openstack"] and words[2:] == ["password"]:
            return self._password(facts, method, body, source)
        if method not in ("GET", "HEAD"):
            return 405, {**TEXT, "Allow": "GET, HEAD"}, b""
        found = answer(facts, words)
        return (404, TEXT, b"There is no such metadata.\n") if found is None else found

    def _facts(self, source: Source) -> Facts | None:
        key, now = (source.network_id, source.router_id, source.remote_ip), self._cloud.clock.now()
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and kept.until > now:
            return kept.facts
        with self._cloud.db.read() as tx:
            server_id = neighbours.network.device_at(tx, source.network_id, source.router_id, source.remote_ip)
            server = store.get(tx, server_id) if server_id else None
            if server is None:
                return None
            nics = neighbours.network.told_of(tx, self._cloud, server.id, [nic["port_id"] for nic in server.nics])
            volumes = server_volumes.of(tx, server.id)
        facts = Facts(server, nics, self._cloud.settings.dns_domain, volumes=volumes)
        with self._lock:
            if len(self._kept) >= CACHE_MOST:
                self._kept.clear()
            self._kept[key] = _Kept(facts, now + CACHE_SECONDS)
        return facts

    def _password(self, facts: Facts, method: str, body: bytes, source: Source) -> Answer:
        """Give out the password that the guest posted, or take it; once taken it stays."""
        if method in ("GET", "HEAD"):
            return 200, TEXT, str(facts.server.password).encode()
        if method != "POST":
            return 405, {**TEXT, "Allow": "GET, HEAD, POST"}, b""
        text = body.decode("ascii", "replace").strip()
        if not text or len(body) > PASSWORD_BYTES_MAX or not text.isascii():
            return 400, TEXT, b"That is no password.\n"
        with self._cloud.db.begin() as tx:
            server = store.get(tx, facts.server.id)
            if server is None or server.password:
                return 409, TEXT, b"There is a password already.\n"
            store.change(tx, server.id, password=text)
        with self._lock:
            self._kept.pop((source.network_id, source.router_id, source.remote_ip), None)
        return 200, TEXT, b""


def answer(facts: Facts, words: list[str]) -> Answer | None:
    """Return what stands at a path, or None."""
    if words[:1] == ["openstack"]:
        return _openstack(facts, words[1:])
    if words[:1] == ["ec2"]:
        words = words[1:]
    if not words:
        return 200, TEXT, "\n".join((*EC2_VERSIONS, "latest")).encode()
    version = EC2_VERSIONS[-1] if words[0] == "latest" else words[0]
    if version not in EC2_VERSIONS:
        return None
    found = guest_data.walk(guest_data.ec2(facts, version), words[1:])
    return None if found is None else (200, TEXT, found)


def _openstack(facts: Facts, words: list[str]) -> Answer | None:
    if not words:
        return 200, TEXT, "\n".join((*OPENSTACK_VERSIONS, "latest")).encode()
    if words[0] == "content":
        return _content(facts, words[1:])
    version = LATEST if words[0] == "latest" else words[0]
    if version not in OPENSTACK_VERSIONS:
        return None
    found = guest_data.walk(guest_data.openstack(facts, version), words[1:])
    if found is None:
        return None
    return 200, JSON if words[-1].endswith(".json") else TEXT, found


def _content(facts: Facts, words: list[str]) -> Answer | None:
    files = {f"{number:04}": content for number, (_, content) in enumerate(facts.server.personality or ())}
    if len(words) != 1 or words[0] not in files:
        return None
    return 200, TEXT, base64.b64decode(files[words[0]])


def make_handler(cloud: Cloud) -> Callable[[Source, str, str, Mapping[str, str], bytes], Answer]:
    """Return what answers the guests' requests, for the network's metadata listener."""
    return MetadataService(cloud)
