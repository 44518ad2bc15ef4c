"""Listings: the form that a caller wants them in, and their wording as plain text, JSON or XML.  Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import msgspec

from pileus.object_store.indexes import Listing
from pileus.object_store.request import JSON, TEXT, Refused, is_true

FORMS = {"plain": TEXT, "json": JSON, "xml": "application/xml; charset=utf-8"}
OFFERED = (("text/plain", "plain"), ("application/json", "json"), ("application/xml", "xml"), ("text/xml", "xml"))
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def form_of(query: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    """Return "plain", "json" or "xml", and the content type.

    :raises Refused: 406 when the caller accepts none of them.
    """
    if (named := query.get("format", "").lower()) in FORMS:
        return named, FORMS[named]
    accepted = headers.get("accept")
    if not accepted:
        return "plain", TEXT
    chosen = best_of(accepted, [kind for kind, _ in OFFERED])
    if chosen is None:
        raise Refused(406)
    form = dict(OFFERED)[chosen]
    return form, f"{chosen}; charset=utf-8"


def best_of(accepted: str, offered: Sequence[str]) -> str | None:
    """Return the offered type that an Accept header likes best; of equals the first offered.

    :raises Refused: 400 when the header cannot be read.
    """
    wishes: list[tuple[str, float]] = []
    for part in accepted.split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        if not kind:
            continue
        if not re.match(r"[^/\s]+/[^/\s]+$", kind) and kind != "*":
            raise Refused(400, "Invalid Accept header")
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value.strip().strip('"'))
                except ValueError:
                    raise Refused(400, "Invalid Accept header") from None
        wishes.append((kind, quality))
    if not wishes:
        return offered[0]
    rated = [(_rate(kind, wishes), -place, kind) for place, kind in enumerate(offered)]
    quality, _, kind = max(rated)
    return kind if quality > 0 else None


def _rate(kind: str, wishes: Iterable[tuple[str, float]]) -> float:
    major = kind.partition("/")[0]
    exact = [quality for wish, quality in wishes if wish == kind]
    family = [quality for wish, quality in wishes if wish == f"{major}/*"]
    anything = [quality for wish, quality in wishes if wish in ("*/*", "*")]
    for found in (exact, family, anything):
        if found:
            return max(found)
    return 0.0


def page_of(query: Mapping[str, str], limit_most: int, allow_reserved: bool = False) -> Listing:
    """Read the parameters of a listing.

    :raises Refused: 412 when the limit is too high.
    """
    limit = limit_most
    text = query.get("limit", "")
    if text.isascii() and text.isdecimal():
        limit = int(text)
        if limit > limit_most:
            raise Refused(412, f"Maximum limit is {limit_most}")
    for name in ("marker", "end_marker", "prefix", "delimiter", "path"):
        if not is_utf8(query.get(name, "")):
            raise Refused(400, f'parameters not utf8: "{name}"' if name != "delimiter" else "Bad delimiter")
    named = {name: query.get(name, "") for name in ("marker", "end_marker", "prefix", "delimiter")}
    reverse = is_true(query.get("reverse", ""))
    return Listing(limit=limit, path=query.get("path"), reverse=reverse, allow_reserved=allow_reserved, **named)


def is_utf8(text: str) -> bool:
    """Tell whether text can be stored: no broken UTF-8, no null."""
    return not UNSTORABLE.search(text)


def encode(form: str, entries: Sequence[Mapping[str, Any]], kind: str, name: str) -> bytes:
    """Word a listing; kind and name are those of the thing that is listed: "account" or "container"."""
    if form == "json":
        return msgspec.json.encode(entries)
    if form == "plain":
        return "".join(f"{entry.get('subdir', entry.get('name'))}\n" for entry in entries).encode()
    parts = [f'<?xml version="1.0" encoding="UTF-8"?>\n<{kind} name={quoteattr(_clean(name))}>']
    for entry in entries:
        if "subdir" in entry:
            shown = _clean(str(entry["subdir"]))
            parts.append(f"<subdir name={quoteattr(shown)}>" + (f"<name>{escape(shown)}</name></subdir>"))
            continue
        tag = "container" if kind == "account" else "object"
        inner = "".join(f"<{key}>{escape(_clean(str(entry[key])))}</{key}>" for key in _fields(tag) if key in entry)
        parts.append(f"<{tag}>{inner}</{tag}>")
    parts.append(f"</{kind}>")
    return "".join(parts).encode()


def _fields(tag: str) -> tuple[str, ...]:
    if tag == "container":
        return ("name", "count", "bytes", "last_modified")
    return ("name", "hash", "bytes", "content_type", "last_modified")


def _clean(text: str) -> str:
    return CONTROL.sub("\ufffd", text)
