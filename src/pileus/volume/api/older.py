"""Versions 1 and 2: the calls of version 3 as they are at microversion 3.0, under the older names.

Version 2 has no microversions, and no calls that came with them; its bodies and answers are those of 3.0.  Version 1 calls the
name and description of volumes and snapshots display_name and display_description, lists volumes always in full, and says
200 where it begins to make one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Answer, Call, Handler, Query, Route
from pileus.kernel.server import explain
from pileus.volume.api import snapshots, volumes

NEWEST = "/v3"
LOWEST = (3, 0)
LATER = ("/v3/volume-transfers",)
"""Paths of calls that only version 3 has, though at each of its microversions."""

NAMES = {"display_name": "name", "display_description": "description"}
NOT_IN_VERSION_1 = (
    "consistencygroup_id", "encryption_key_id", "links", "migration_status", "replication_status", "updated_at", "user_id",
)  # fmt: skip


class Unprocessable(BadRequest):
    """The body of a request of version 1 makes no sense."""

    status = 422


def routes_of(version: str, newest: Iterable[Route]) -> tuple[Route, ...]:
    """Return the routes of an older version ("v1", "v2"), made of those of version 3 that are there at 3.0."""
    return tuple(
        _route(version, route)
        for route in newest
        if not route.since and not route.public and route.path.startswith(NEWEST + "/") and not route.path.startswith(LATER)
    )


def _route(version: str, route: Route) -> Route:
    path = f"/{version}{route.path.removeprefix(NEWEST)}"
    handler, body, status = route.handler, route.body, route.status
    if version == "v1":
        found = VERSION_1.get((route.method, route.path))
        handler, status = (found(route), 200) if found else (handler, status)
        body = None if found else body
    return replace(route, path=path, handler=_as_newest(version, route, handler), body=body, status=status, until="", since="")


def _as_newest(version: str, route: Route, handler: Any) -> Handler:
    """Return a handler that shows a call to one of version 3 as if it were one of 3.0, and the answer as one of its own."""

    def handle(call: Call) -> Any:
        newer = call.path_url.replace(f"{call.base_url}/{version}/", f"{call.base_url}{NEWEST}/", 1)
        answer = handler(replace(call, version=LOWEST, route=route, path_url=newer))
        before, after = f"{call.base_url}{NEWEST}/", f"{call.base_url}/{version}/"
        if isinstance(answer, Answer):
            return replace(answer, body=_relink(answer.body, before, after))
        return _relink(answer, before, after)

    handle.__doc__ = getattr(route.handler, "__doc__", None)
    handle.__name__ = f"{version}_{getattr(route.handler, '__name__', 'handle')}"
    return handle


def _relink(body: Any, before: str, after: str) -> Any:
    """Have the links in an answer lead to where the caller is."""
    if isinstance(body, dict):
        return {
            key: after + value.removeprefix(before)
            if key == "href" and isinstance(value, str) and value.startswith(before)
            else _relink(value, before, after)
            for key, value in body.items()
        }
    return [_relink(item, before, after) for item in body] if isinstance(body, list) else body


# ---- version 1

Show = Callable[[dict[str, Any]], dict[str, Any]]


def _volume(shown: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in _named(shown).items() if key not in NOT_IN_VERSION_1}
    attachments = [{k: v for k, v in attachment.items() if k != "attached_at"} for attachment in shown["attachments"]]
    return found | {"multiattach": "true" if shown["multiattach"] else "false", "attachments": attachments}


def _snapshot(shown: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in _named(shown).items() if key != "updated_at"}


def _named(shown: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in shown.items() if key not in NAMES.values()}
    return kept | {old: shown.get(new) for old, new in NAMES.items()}


def _answer(noun: str, show: Show, answer: dict[str, Any]) -> dict[str, Any]:
    if noun in answer:
        return {noun: show(answer[noun])}
    nouns = noun + "s"
    return answer | {nouns: [show(item) for item in answer[nouns]]}


def _read(noun: str, route: Route, body: Any) -> Any:
    """Turn a body of version 1 into what the handler takes.  :raises Unprocessable: when it makes no sense."""
    if not isinstance(body, dict) or not isinstance(body.get(noun), dict) or not body[noun]:
        raise Unprocessable("Unable to process the contained instructions")
    given = {NAMES.get(key, key): value for key, value in body[noun].items()}
    try:
        return msgspec.convert({**body, noun: given}, route.body)
    except msgspec.ValidationError as error:
        raise Unprocessable(explain(error)) from error


def _translated(noun: str, show: Show, other: Handler | None = None) -> Callable[[Route], Handler]:
    """Return what makes a handler of version 1 of a route of version 3, or of another handler."""

    def make(route: Route) -> Handler:
        inner: Any = other or route.handler

        def handle(call: Call) -> Any:
            query = Query([("name" if key == "display_name" else key, value) for key, value in call.query.pairs])
            body = call.body if route.body is None else _read(noun, route, call.body)
            return _answer(noun, show, inner(replace(call, query=query, body=body)))

        return handle

    return make


def _created(route: Route) -> Handler:
    """A volume that was made of an image is said to be, in the answer that tells of its making."""
    create = _translated("volume", _volume)(route)

    def handle(call: Call) -> Any:
        answer = create(call)
        image = call.body["volume"].get("imageRef")
        return {"volume": answer["volume"] | ({"image_id": str(image).rpartition("/")[2]} if image else {})}

    return handle


VERSION_1: dict[tuple[str, str], Callable[[Route], Handler]] = {
    ("GET", "/v3/volumes"): _translated("volume", _volume, volumes.detail),
    ("GET", "/v3/volumes/detail"): _translated("volume", _volume),
    ("POST", "/v3/volumes"): _created,
    ("GET", volumes.ONE): _translated("volume", _volume),
    ("PUT", volumes.ONE): _translated("volume", _volume),
    ("GET", "/v3/snapshots"): _translated("snapshot", _snapshot),
    ("GET", "/v3/snapshots/detail"): _translated("snapshot", _snapshot),
    ("POST", "/v3/snapshots"): _translated("snapshot", _snapshot),
    ("GET", snapshots.ONE): _translated("snapshot", _snapshot),
    ("PUT", snapshots.ONE): _translated("snapshot", _snapshot),
}
"""The calls of version 3 that have other names in version 1."""
