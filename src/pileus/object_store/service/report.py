"""Reports on many things done in one request: what went well, and each failure, as text, JSON or XML."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote
from xml.sax.saxutils import escape

import msgspec

from pileus.kernel.faults import title
from pileus.object_store import listing
from pileus.object_store.request import Refused, Request
from pileus.object_store.service import access, containers, versions

TYPES = {"plain": "text/plain", "json": "application/json", "xml": "text/xml"}
BY_TYPE = {"text/plain": "plain", "application/json": "json", "application/xml": "xml", "text/xml": "xml"}
Errors = Sequence[tuple[str, str]]


@dataclass
class Outcome:
    """How a deletion of many went; status is that of the whole."""

    deleted: int = 0
    missing: int = 0
    errors: list[tuple[str, str]] = field(default_factory=list)
    status: str = "200 OK"
    body: str = ""


def status_line(status: int) -> str:
    """Return a status with its phrase, "404 Not Found"."""
    return f"{status} {title(status)}"


def kind_of(req: Request) -> str:
    """Return the form in which the caller wants a report: "plain", "json" or "xml".  :raises Refused: 406."""
    chosen = listing.best_of(req.headers.get("accept") or "text/plain", list(BY_TYPE))
    if chosen is None:
        raise Refused(406, "Acceptable formats: text/plain, application/json, application/xml, text/xml")
    return BY_TYPE[chosen]


def encode(kind: str, facts: Mapping[str, object], errors: Errors, root: str = "delete") -> bytes:
    """Word a report."""
    if kind == "json":
        return msgspec.json.encode({**facts, "Errors": [list(error) for error in errors]})
    if kind == "xml":
        lines = "".join(f"<{_tag(key)}>{escape(str(value))}</{_tag(key)}>\n" for key, value in facts.items())
        wrong = "".join(
            f"<object><name>{escape(name)}</name><status>{escape(status)}</status></object>\n" for name, status in errors
        )
        return f"<{root}>\n{lines}<errors>\n{wrong}</errors>\n</{root}>\n".encode()
    lines = "".join(f"{key}: {value}\n" for key, value in facts.items())
    return (lines + "Errors:\n" + "\n".join(f"{name}, {status}" for name, status in errors)).encode()


def _tag(key: str) -> str:
    return key.lower().replace(" ", "_")


def encode_deletion(kind: str, outcome: Outcome) -> bytes:
    """Word how a deletion of many went."""
    facts = {
        "Response Status": outcome.status,
        "Response Body": outcome.body,
        "Number Deleted": outcome.deleted,
        "Number Not Found": outcome.missing,
    }
    return encode(kind, facts, outcome.errors)


async def delete_all(req: Request, doomed: Iterable[tuple[str, str]]) -> Outcome:
    """Delete objects, and containers (those without an object's name), one after the other."""
    outcome = Outcome()
    for container, name in doomed:
        try:
            await _delete_one(req, container, name)
            outcome.deleted += 1
        except Refused as refused:
            if refused.status == 404:
                outcome.missing += 1
                continue
            outcome.errors.append((quote(f"/{container}/{name}" if name else f"/{container}"), status_line(refused.status)))
            if refused.status == 401:
                outcome.status = status_line(401)
                break
            if len(outcome.errors) >= req.store.limits.bulk_failures:
                outcome.status, outcome.body = status_line(400), "Max delete failures exceeded"
                break
    if outcome.errors and outcome.status == "200 OK":
        outcome.status = status_line(400)
    if not outcome.deleted and not outcome.missing and not outcome.errors:
        outcome.status, outcome.body = status_line(400), "Invalid bulk delete."
    return outcome


async def _delete_one(req: Request, container: str, name: str) -> None:
    one = req.derived(method="DELETE", container=container, name=name, at=req.store.next_timestamp(req.cloud.clock))
    if not name:
        await containers.delete(one)
        return
    info = await access.container_info(one)
    await access.authorize(one, info, write=True)
    if info is None:
        raise Refused(404)
    await versions.delete(one, info)
