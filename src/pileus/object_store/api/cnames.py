"""CNAME lookup: a host name of somebody's own that is an alias of a host below the storage domains is served as that host.

It stands before the web application, because it asks the network: what the alias stands for is kept as long as its name server
says, and a name that is none, or whose server does not answer, is let through as it came.
"""

import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.resolver

from pileus.kernel.settings import Settings
from pileus.object_store.domains import host_name, is_below

log = logging.getLogger(__name__)

DEPTH = 3  # aliases of aliases
SECONDS = 2.0
KEPT_SECONDS_MAX = 3600.0
KEPT_SECONDS_NONE = 60.0  # how long a name is known to be no alias
KEPT_MOST = 10_000

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class CnameLookup:
    """Puts the name that an alias stands for in its place.

    :param domains: the storage domains.
    :param own: names of the cloud itself, which are no aliases.
    """

    def __init__(self, app: App, domains: tuple[str, ...], own: frozenset[str], resolver: dns.asyncresolver.Resolver) -> None:
        self._app, self._domains, self._own, self._resolver = app, domains, own, resolver
        self._kept: dict[str, tuple[str, float]] = {}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            host = next((value.decode("latin-1") for key, value in scope["headers"] if key == b"host"), "")
            found = await self._target(host)
            if found:
                headers = [(key, found.encode() if key == b"host" else value) for key, value in scope["headers"]]
                scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)

    async def _target(self, host: str) -> str:
        """Return the Host header that a header stands for; "" when it stands for itself."""
        name = host_name(host)
        if "." not in name or name in self._own or name in self._domains or is_below(host, self._domains) or _is_address(name):
            return ""
        kept, until = self._kept.get(name, ("", 0.0))
        if until < time.monotonic():
            kept, seconds = await self._look_up(name)
            if len(self._kept) >= KEPT_MOST:
                self._kept.clear()
            self._kept[name] = kept, time.monotonic() + seconds
        return kept + host[len(name) :] if kept else ""

    async def _look_up(self, name: str) -> tuple[str, float]:
        """Return the storage host that a name is an alias of ("": of none), and for how many seconds that may be kept."""
        seconds = KEPT_SECONDS_MAX
        for _ in range(DEPTH):
            try:
                answer = await self._resolver.resolve(name, "CNAME", lifetime=SECONDS)
            except (dns.exception.DNSException, OSError) as error:
                log.debug("%s is no alias: %s", name, error)
                return "", KEPT_SECONDS_NONE
            name = str(answer[0].target).rstrip(".").lower()
            seconds = min(seconds, float(answer.rrset.ttl if answer.rrset else 0))
            if is_below(name, self._domains):
                return name, seconds
        return "", KEPT_SECONDS_NONE


def with_cnames(app: App, settings: Settings) -> App:
    """Return an application that serves aliases, too."""
    domains = tuple(name.strip(" .").lower() for name in settings.object_storage_domains.split(",") if name.strip())
    resolver = dns.asyncresolver.Resolver(configure=not settings.object_cname_resolver)
    if settings.object_cname_resolver:
        address, _, port = settings.object_cname_resolver.partition(":")
        resolver.nameservers, resolver.port = [address], int(port or 53)
    own = frozenset({host_name(settings.public_host), host_name(settings.listen)})
    return CnameLookup(app, domains, own, resolver)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
