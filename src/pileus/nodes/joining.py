"""Joining over the network: the door where a host comes with its token, and how it knocks.

GET  /ca      the authority's certificate; the host compares its fingerprint with that in its token
POST /join    {"secret", "name", "request"} -> {"certificate", "settings"}; over a connection that this authority vouches for
"""

import http.client
import json
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pileus import certificates
from pileus.certificates import Authority, Identity
from pileus.kernel.clock import Clock
from pileus.kernel.db import Database
from pileus.kernel.errors import BadRequest, Fault
from pileus.kernel.peers import TlsServer
from pileus.nodes import service

log = logging.getLogger(__name__)

BODY_BYTES = 16384
SECONDS = 20


class JoinError(Exception):
    """The host could not join; the message says why and what to do."""


@dataclass(frozen=True)
class Door:
    """What is needed to take hosts in; `settings` are handed to each."""

    db: Database
    clock: Clock
    authority: Authority
    settings: Mapping[str, str]


def open_door(door: Door, identity: Identity, address: tuple[str, int]) -> TlsServer:
    """Return the server of the door, not started yet.

    :param identity: what the control plane is known by.
    """
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    terms.minimum_version = ssl.TLSVersion.TLSv1_3
    terms.load_cert_chain(identity.directory / "cert.pem", identity.directory / "key.pem")
    return TlsServer(terms, address, type("Handler", (_Handler,), {"door": door}))


class _Handler(BaseHTTPRequestHandler):
    door: Door

    def do_GET(self) -> None:
        if self.path == "/ca":
            self._say(200, self.door.authority.pem)
        else:
            self._say(404, b"")

    def do_POST(self) -> None:
        try:
            member = self._join()
        except Fault as fault:
            log.warning("%s may not join: %s", self.client_address[0], fault)
            return self._say(fault.status, json.dumps({"error": fault.message}).encode())
        given = {"certificate": member.certificate.decode(), "settings": dict(self.door.settings)}
        return self._say(200, json.dumps(given).encode())

    def _join(self) -> service.Member:
        length = self.headers.get("Content-Length", "")
        if self.path != "/join" or not length.isdigit() or int(length) > BODY_BYTES:
            raise BadRequest("This is no request to join.")
        try:
            asked = json.loads(self.rfile.read(int(length)))
            secret, name, request = str(asked["secret"]), str(asked["name"]), str(asked["request"]).encode()
        except (ValueError, TypeError, KeyError):
            raise BadRequest("This is no request to join.") from None
        door, address = self.door, self.client_address[0]
        log.info("%s joins from %s", name, address)
        return service.join(door.db, door.clock, door.authority, secret, name, address, request)

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


def knock(url: str, token: str, name: str, state_dir: Path) -> dict[str, str]:
    """Join a cloud: keep the certificate that it gives, and return its settings for hosts.

    :raises JoinError: when it refuses, or is not the cloud that made the token.
    """
    secret, _, wanted = token.partition(".")
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or len(wanted) != 64:
        raise JoinError("Joining takes the URL and the token just as `pileus node token` printed them.")
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE  # it tells no secret before the fingerprint is compared
    status, authority = _ask(parts.netloc, blind, "GET", "/ca", b"")
    if status != 200 or _fingerprint(authority) != wanted:
        raise JoinError(f"What answers at {url} is not the cloud that made this token.")
    sure = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    sure.check_hostname = False
    sure.load_verify_locations(cadata=authority.decode())
    key = certificates.new_key()
    asked = {"secret": secret, "name": name, "request": certificates.request(key, name).decode()}
    status, body = _ask(parts.netloc, sure, "POST", "/join", json.dumps(asked).encode())
    answer: dict[str, Any] = json.loads(body or b"{}")
    if status != 200:
        raise JoinError(answer.get("error") or f"The cloud answered {status}.")
    Identity(state_dir / "tls").keep(key, answer["certificate"].encode(), authority)
    return {str(key): str(value) for key, value in answer["settings"].items()}


def _fingerprint(pem: bytes) -> str:
    try:
        return certificates.fingerprint(pem)
    except ValueError:
        return ""


def _ask(netloc: str, terms: ssl.SSLContext, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection(netloc, timeout=SECONDS, context=terms)
    try:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise JoinError(f"https://{netloc} does not answer: {error}") from error
    finally:
        connection.close()
