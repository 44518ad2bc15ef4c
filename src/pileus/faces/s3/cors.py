"""Cross-origin requests of browsers (CORS), as a bucket's configuration allows them.  Pure."""

import msgspec

from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.numbers import natural
from pileus.faces.s3.xml import Element, answer, tag, wrap

METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
RULES_MAX = 100


class Rule(msgspec.Struct, frozen=True):
    """One rule; age_seconds -1: not told."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    age_seconds: int = -1
    id: str = ""


def from_xml(root: Element) -> list[Rule]:
    """Read a configuration.  :raises S3Error: when it is none."""
    found = []
    for one in root.all("CORSRule"):
        texts = {
            name: tuple(child.text for child in one.all(name))
            for name in ("AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader")
        }
        if not texts["AllowedOrigin"] or not texts["AllowedMethod"]:
            raise S3Error("MalformedXML")
        for method in texts["AllowedMethod"]:
            if method not in METHODS:
                raise S3Error("InvalidRequest", f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
        for pattern in (*texts["AllowedOrigin"], *texts["AllowedHeader"]):
            if pattern.count("*") > 1:
                raise S3Error("InvalidRequest", f'AllowedOrigin "{pattern}" can not have more than one wildcard.')
        age = one.get("MaxAgeSeconds")
        if age and natural(age) is None:
            raise S3Error("MalformedXML")
        found.append(
            Rule(
                texts["AllowedOrigin"],
                texts["AllowedMethod"],
                texts["AllowedHeader"],
                texts["ExposeHeader"],
                int(age or -1),
                one.get("ID"),
            )
        )
    if not found or len(found) > RULES_MAX:
        raise S3Error("MalformedXML")
    return found


def to_xml(rules: list[Rule]) -> bytes:
    """Return a configuration as a document."""
    parts = []
    for one in rules:
        inner = tag("ID", one.id) if one.id else ""
        for name, values in (
            ("AllowedOrigin", one.origins),
            ("AllowedMethod", one.methods),
            ("AllowedHeader", one.headers),
            ("ExposeHeader", one.exposed),
        ):
            inner += "".join(tag(name, value) for value in values)
        inner += tag("MaxAgeSeconds", one.age_seconds) if one.age_seconds >= 0 else ""
        parts.append(wrap("CORSRule", inner))
    return answer("CORSConfiguration", "".join(parts))


def encode(rules: list[Rule]) -> str:
    """Return a configuration in the form in which it is stored."""
    return msgspec.json.encode(rules).decode()


def decode(text: str) -> list[Rule]:
    """Return a configuration out of its stored form."""
    return msgspec.json.decode(text, type=list[Rule]) if text else []


def _fits(text: str, pattern: str) -> bool:
    start, star, end = pattern.partition("*")
    if not star:
        return text == pattern
    return len(text) >= len(start) + len(end) and text.startswith(start) and text.endswith(end)


def choose(rules: list[Rule], origin: str, method: str, headers: tuple[str, ...] = ()) -> Rule | None:
    """Return the first rule that allows a request; None when none does."""
    for one in rules:
        if not any(_fits(origin, pattern) for pattern in one.origins) or method not in one.methods:
            continue
        if all(any(_fits(header.lower(), pattern.lower()) for pattern in one.headers) for header in headers):
            return one
    return None


def shown(rule: Rule, origin: str) -> dict[str, str]:
    """Return the headers that let a page see an answer."""
    everybody = "*" in rule.origins
    found = {"Access-Control-Allow-Origin": "*" if everybody else origin}
    if not everybody:
        found["Access-Control-Allow-Credentials"] = "true"
    found["Access-Control-Allow-Methods"] = ", ".join(rule.methods)
    if rule.exposed:
        found["Access-Control-Expose-Headers"] = ", ".join(rule.exposed)
    found["Vary"] = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
    return found


def preflight(rules: list[Rule], origin: str, method: str, asked: str) -> dict[str, str]:
    """Return the headers that answer OPTIONS.  :raises S3Error: AccessDenied."""
    headers = tuple(part.strip().lower() for part in asked.split(",") if part.strip())
    rule = choose(rules, origin, method, headers)
    if rule is None:
        raise S3Error("AccessDenied", "CORSResponse: This CORS request is not allowed.", Method=method, ResourceType="BUCKET")
    found = shown(rule, origin)
    if headers:
        found["Access-Control-Allow-Headers"] = ", ".join(headers)
    if rule.age_seconds >= 0:
        found["Access-Control-Max-Age"] = str(rule.age_seconds)
    return found
