"""Fetching an image's content from the web, from nowhere that only this machine may reach.

The name is looked up once, every address it has must be a public one (or be listed in the settings), and the connection is
made to that very address, so that a name that changes its meaning in between leads nowhere else.  Redirections are not
followed, proxies not asked.
"""

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

SCHEMES = {"http": 80, "https": 443}
PORTS = (80, 443)
TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 20
DURATION_SECONDS_MAX = 4 * 3600.0


class NotFetched(Exception):
    """The content cannot be had; its text says why."""


def check(uri: str, listed: str) -> SplitResult:
    """Check what can be seen of a URI without looking its host up.

    :param listed: hosts, addresses and networks that may be asked although they are not public, with commas.
    :raises NotFetched: when it is not one to be fetched.
    """
    refusal = NotFetched(f"URI for web-download does not pass filtering: {uri}")
    try:
        parts = urlsplit(uri)
        port = parts.port or SCHEMES.get(parts.scheme, 0)
    except ValueError:
        raise refusal from None
    if parts.scheme not in SCHEMES or not parts.hostname or parts.username is not None:
        raise refusal
    literal = _literal(parts.hostname)
    if parts.hostname in _names(listed) or (literal is not None and _is_listed(literal, listed)):
        return parts
    if port not in PORTS or parts.hostname == "localhost" or (literal is not None and not _is_public(literal)):
        raise refusal
    return parts


@dataclass(frozen=True)
class Opened:
    """An answer whose content has not been read yet; size_bytes None: it does not say."""

    uri: str
    size_bytes: int | None
    read: Callable[[int], bytes]
    left_bytes: Callable[[], int | None]

    def blocks(self) -> Iterator[bytes]:
        """Yield the content.

        :raises NotFetched: when it breaks off, or takes too long.
        """
        until = time.monotonic() + DURATION_SECONDS_MAX
        try:
            while block := self.read(CHUNK_BYTES):
                if time.monotonic() > until:
                    raise NotFetched(f"{self.uri} takes too long.")
                yield block
        except (OSError, http.client.HTTPException) as error:
            raise NotFetched(f"{self.uri} broke off: {error}") from error
        if self.left_bytes():
            raise NotFetched(f"{self.uri} broke off.")


@contextmanager
def opened(uri: str, listed: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Iterator[Opened]:
    """Ask for a URI.

    :param headers: further ones of the request.
    :raises NotFetched: when it cannot be had.
    """
    parts = check(uri, listed)
    host, port = parts.hostname or "", parts.port or SCHEMES[parts.scheme]
    try:
        connection = _connect(parts.scheme, host, port, _look_up(host, port, listed))
    except (OSError, ValueError) as error:
        raise NotFetched(f"{uri} cannot be fetched: {error}") from error
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, path, headers={"Host": parts.netloc, "Accept-Encoding": "identity", **(headers or {})})
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotFetched(f"{uri} cannot be fetched: {error}") from error
        if answer.status != 200:
            raise NotFetched(f"{uri} answers {answer.status} {answer.reason}.")
        told = answer.getheader("Content-Length", "")
        size_bytes = int(told) if told.isascii() and told.isdecimal() else None
        yield Opened(uri, size_bytes, answer.read, lambda: answer.length)
    finally:
        connection.close()


def fetch(uri: str, target: Path, bytes_max: int, listed: str) -> None:
    """Write what a URI holds to a file.

    :raises NotFetched: when it cannot be had, or is larger than bytes_max.
    """
    taken = 0
    with opened(uri, listed) as answer, open(target, "wb") as file:
        for block in answer.blocks():
            taken += len(block)
            if taken > bytes_max:
                raise NotFetched(f"The image is larger than {bytes_max} bytes.")
            try:
                file.write(block)
            except OSError as error:
                raise NotFetched(f"The image could not be kept: {error.strerror or error}") from error


def _connect(scheme: str, host: str, port: int, address: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    connection.sock = socket.create_connection((address, port), TIMEOUT_SECONDS)
    if scheme == "https":
        connection.sock = ssl.create_default_context().wrap_socket(connection.sock, server_hostname=host)
    return connection


def _look_up(host: str, port: int, listed: str) -> str:
    """Return an address of a host, all of whose addresses may be asked."""
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if host not in _names(listed):
        for text in found:
            address = ip_address(text.partition("%")[0])
            if not _is_public(address) and not _is_listed(address, listed):
                raise NotFetched(f"{host} does not pass filtering: {text} is not a public address.")
    return found[0]


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_listed(address: IPv4Address | IPv6Address, listed: str) -> bool:
    for name in _names(listed):
        try:
            if address in ip_network(name, strict=False):
                return True
        except ValueError:
            continue
    return False


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    return address.is_global and not address.is_multicast and (mapped is None or _is_public(mapped))
