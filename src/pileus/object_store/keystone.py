"""Tokens of an identity service elsewhere, validated over HTTP by a service user, as Keystone's auth_token middleware does.

What a token says is remembered for a while, that it is none too; a revoked token may be good for that long.
"""

import http.client
import json
import logging
import ssl
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pileus.identity.service import tokens
from pileus.kernel.clock import from_iso
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import Unauthenticated, Unavailable
from pileus.kernel.http import Call

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
ANSWER_BYTES_MAX = 4 << 20
REMEMBERED_MAX = 10_000
TRIES = 2


@dataclass(frozen=True)
class ServiceUser:
    """Who asks identity about tokens, and how they log in."""

    name: str
    password: str
    project: str = "service"
    domain_id: str = "default"


@dataclass(frozen=True)
class Holder:
    """What a valid token says.  admit: raises Unauthenticated at requests that it may not be used for; None: it may for any."""

    expires_at: float
    facts: Mapping[str, Any]
    admit: Callable[[Call], None] | None = None


class IdentityElsewhere:
    """Asks an identity service whose tokens are whose.

    :param url: its root, with or without /v3.
    :param cache_seconds: how long an answer is remembered.
    :raises ValueError: when the URL is none of HTTP.
    """

    def __init__(self, url: str, user: ServiceUser, cache_seconds: float = 300.0) -> None:
        parts = urlsplit(url.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not the URL of an identity service")
        self._scheme, self._host, self._port = parts.scheme, parts.hostname, parts.port
        self._path = parts.path if parts.path.endswith("/v3") else parts.path + "/v3"
        self._user, self._cache_seconds = user, cache_seconds
        self._own_token = ""
        self._known: OrderedDict[str, tuple[float, Holder | None]] = OrderedDict()
        self._lock = threading.Lock()

    def remembers(self, token: str, now: float) -> bool:
        """Tell whether a token can be answered for without asking."""
        found = self._known.get(token)
        return found is not None and found[0] > now

    def authenticate(self, cloud: Cloud, token: str, call: Call) -> Context:
        """Turn a token into its holder's context.

        :raises Unauthenticated: when it is not valid, or its access rules do not name this request.
        :raises Unavailable: when identity cannot be asked.
        """
        holder = self._holder(token, cloud.clock.now())
        if holder is None or holder.expires_at <= cloud.clock.now():
            raise Unauthenticated("The request you have made requires authentication.")
        if holder.admit is not None:
            holder.admit(call)
        return Context(cloud, **holder.facts)

    def _holder(self, token: str, now: float) -> Holder | None:
        known = self._known.get(token)
        if known is not None and known[0] > now:
            return known[1]
        holder = self._validate(token)
        with self._lock:
            self._known[token] = (now + self._cache_seconds, holder)
            self._known.move_to_end(token)
            while len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        return holder

    def _validate(self, token: str) -> Holder | None:
        """Ask about a token; the service user logs in anew when theirs is no longer taken.

        :raises Unavailable: when identity cannot be asked, or does not let the service user in.
        """
        if not token.isascii() or not token.isprintable():
            return None
        refused = ""
        for _ in range(TRIES):
            own = self._logged_in(refused)
            asking = {"X-Auth-Token": own, "X-Subject-Token": token, "OpenStack-Identity-Access-Rules": "1.0"}
            status, body, __ = self._ask("GET", "/auth/tokens?nocatalog", asking)
            if status == http.HTTPStatus.OK:
                return read_holder(body)
            if status == http.HTTPStatus.NOT_FOUND:
                return None
            if status != http.HTTPStatus.UNAUTHORIZED:
                break
            refused = own
        log.error("identity answered %d when it was asked about a token; has %s the role of a service?", status, self._user.name)
        raise Unavailable("Keystone token validation failed.")

    def _logged_in(self, refused: str) -> str:
        """Return the service user's token, a new one when there is none or this one was refused.

        :raises Unavailable: when identity cannot be asked, or does not let them in.
        """
        with self._lock:
            if self._own_token and self._own_token != refused:
                return self._own_token
        domain = {"id": self._user.domain_id}
        user = {"name": self._user.name, "password": self._user.password, "domain": domain}
        scope = {"project": {"name": self._user.project, "domain": domain}}
        auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        status, _, token = self._ask("POST", "/auth/tokens?nocatalog", {"Content-Type": "application/json"}, json.dumps(auth))
        if status != http.HTTPStatus.CREATED:
            log.error("identity does not let %s in: %d", self._user.name, status)
            raise Unavailable("Keystone token validation failed.")
        with self._lock:
            self._own_token = token
        return token

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: str | None = None) -> tuple[int, Any, str]:
        """Send a request, once more where there was no answer; return its status, its body and the token it brings.

        :raises Unavailable: when there is no answer.
        """
        for attempt in range(TRIES):
            link = self._link()
            try:
                link.request(method, self._path + path, body, {"Accept": "application/json", **headers})
                answer = link.getresponse()
                data = answer.read(ANSWER_BYTES_MAX)
                found = json.loads(data) if answer.status < http.HTTPStatus.MULTIPLE_CHOICES else None
                return answer.status, found, answer.getheader("X-Subject-Token", "")
            except (OSError, ValueError, http.client.HTTPException) as error:
                log.warning("identity at %s does not answer (try %d): %s", self._host, attempt + 1, error)
            finally:
                link.close()
        raise Unavailable("The Keystone service is temporarily unavailable.")

    def _link(self) -> http.client.HTTPConnection:
        if self._scheme == "https":
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)


def read_holder(answer: Mapping[str, Any]) -> Holder:
    """Read what identity says of a token.

    :raises Unavailable: when it is not of the form that Keystone's answers have.
    """
    try:
        token = answer["token"]
        user, project = token["user"], token.get("project") or {}
        facts = {
            "user_id": user["id"],
            "user_name": user["name"],
            "user_domain_id": user.get("domain", {}).get("id", ""),
            "project_id": project.get("id", ""),
            "project_name": project.get("name", ""),
            "project_domain_id": project.get("domain", {}).get("id", ""),
            "domain_id": token.get("domain", {}).get("id", ""),
            "system": bool(token.get("system", {}).get("all")),
            "roles": frozenset(role["name"].lower() for role in token.get("roles", ())),
        }
        rules = (token.get("application_credential") or {}).get("access_rules")
        return Holder(from_iso(token["expires_at"]), facts, None if rules is None else tokens.gate(rules))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        log.error("identity's answer about a token cannot be read: %r", error)
        raise Unavailable("Keystone token validation failed.") from error
