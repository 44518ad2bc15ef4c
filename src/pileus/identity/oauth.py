"""OAuth 1.0a (RFC 5849) as far as a server needs it: the parameters of a request, and whether its signature is right.  Pure."""

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

ALGORITHMS = {"HMAC-SHA1": hashlib.sha1, "HMAC-SHA256": hashlib.sha256}
SKEW_SECONDS = 300.0


@dataclass(frozen=True)
class Signed:
    """A request whose sender signed it.

    :param header: the value of Authorization.
    :param url: without its query, whose parameters are in pairs.
    """

    method: str
    url: str
    pairs: tuple[tuple[str, str], ...]
    header: str

    @property
    def parameters(self) -> dict[str, str]:
        """What the header says, such as oauth_consumer_key; empty when it is of another scheme."""
        scheme, _, rest = self.header.partition(" ")
        if scheme.lower() != "oauth":
            return {}
        found: dict[str, str] = {}
        for part in rest.split(","):
            name, equals, value = part.strip().partition("=")
            if equals:
                found[unquote(name)] = unquote(value.strip('"'))
        return found


def is_signed(request: Signed, secret: str, token_secret: str, now: float) -> bool:
    """Tell whether a request is signed with a consumer's secret and that of its token (empty before it has one)."""
    given = request.parameters
    algorithm = ALGORITHMS.get(given.get("oauth_signature_method", ""))
    try:
        fresh = abs(float(given["oauth_timestamp"]) - now) <= SKEW_SECONDS
    except (KeyError, ValueError):
        return False
    if algorithm is None or not fresh or not given.get("oauth_nonce"):
        return False
    signed = [(name, value) for name, value in given.items() if name not in ("realm", "oauth_signature")]
    text = base_string(request.method, request.url, [*signed, *request.pairs])
    key = f"{_escape(secret)}&{_escape(token_secret)}".encode()
    made = base64.b64encode(hmac.new(key, text.encode(), algorithm).digest()).decode()
    return hmac.compare_digest(made, given.get("oauth_signature", ""))


def base_string(method: str, url: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Return the text that is signed (RFC 5849, 3.4.1)."""
    parts = urlsplit(url)
    host = parts.netloc.lower()
    host = host.removesuffix(":80" if parts.scheme == "http" else ":443")
    escaped = sorted((_escape(name), _escape(value)) for name, value in pairs)
    parameters = "&".join(f"{name}={value}" for name, value in escaped)
    return "&".join((method.upper(), _escape(f"{parts.scheme.lower()}://{host}{parts.path or '/'}"), _escape(parameters)))


def _escape(text: str) -> str:
    return quote(text, safe="-._~")
