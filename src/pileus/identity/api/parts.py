"""What every noun's API needs: values out of a body, filters out of a query, a list as an answer, work off the API's threads."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pileus.identity.oauth import Signed
from pileus.identity.schemas.fields import further, given
from pileus.identity.state import state_of
from pileus.kernel.errors import BadRequest, NotFound, TooLarge
from pileus.kernel.http import Call
from pileus.kernel.paging import next_link, read_limit
from pileus.kernel.server import explain

TESTS: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda value, part: part in value,
    "icontains": lambda value, part: part.lower() in value.lower(),
    "startswith": lambda value, part: value.startswith(part),
    "istartswith": lambda value, part: value.lower().startswith(part.lower()),
    "endswith": lambda value, part: value.endswith(part),
    "iendswith": lambda value, part: value.lower().endswith(part.lower()),
}


def values(call: Call, member: str, *, extra: bool = True, plain_description: bool = False) -> dict[str, Any]:
    """Return the attributes given in a body.

    :param extra: also gather those that its type does not name, under "extra".
    :param plain_description: a description of null is an empty one.
    :raises BadRequest: when the body names another id than the URL.
    """
    found = given(getattr(call.body, member))
    body = msgspec.json.decode(call.raw)[member]
    if call.route.method == "PATCH" and "id" in body and body["id"] != list(call.path.values())[-1]:
        raise BadRequest(f"Cannot change {member} ID")
    if plain_description and "description" in found and found["description"] is None:
        found["description"] = ""
    if extra and (more := further(getattr(call.body, member), body)):
        found["extra"] = more
    return found


def where(call: Call, *names: str, flags: Sequence[str] = ()) -> dict[str, Any]:
    """Return the exact filters that a query names.

    :param flags: names of filters that are true or false.
    """
    found: dict[str, Any] = {}
    for name in names:
        value = call.query.get(name)
        if value is not None:
            found[name] = value
    for name in flags:
        if name in call.query:
            found[name] = is_true(call, name)
    return found


def is_true(call: Call, name: str) -> bool:
    """Tell whether a query says yes: named alone, or with anything but 0, false, no, off."""
    return name in call.query and str(call.query.get(name)).lower() not in ("0", "false", "no", "off", "f", "n")


def page(call: Call, key: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a list as an answer: what the inexact filters leave of it, from marker on, at most limit."""
    for name, wanted in call.query.pairs:
        attribute, _, test = name.partition("__")
        if test in TESTS:
            items = [item for item in items if isinstance(item.get(attribute), str) and TESTS[test](item[attribute], wanted)]
    query = "&".join(f"{k}={v}" if v else k for k, v in call.query.pairs)
    links: dict[str, Any] = {"self": call.path_url + (f"?{query}" if query else ""), "previous": None, "next": None}
    answer: dict[str, Any] = {key: items, "links": links}
    if marker := call.query.get("marker"):
        places = [index for index, item in enumerate(items) if item.get("id") == marker]
        if not places:
            raise NotFound(f"Marker {marker} could not be found.")
        answer[key] = items = items[places[0] + 1 :]
    limit = read_limit(call.query.get("limit"))
    if limit and len(items) > limit:
        answer[key] = items[:limit]
        answer["truncated"] = True
        links["next"] = next_link(call.path_url, call.query.pairs, items[limit - 1]["id"])
    return answer


def signed(call: Call) -> Signed:
    """Return the request as far as its sender may have signed it."""
    return Signed(call.method, call.path_url, tuple(call.query.pairs), call.headers.get("authorization", ""))


def off_threads(handler: Callable[[Call], Any], quick: Callable[[Any], bool] | None = None) -> Callable[[Call], Any]:
    """Return a stream handler that runs a handler in threads kept for hashing, so that others never wait for them.

    :param quick: tells of a body that it needs no hashing; it then does not queue behind those that do.
    """

    async def run(call: Call) -> Any:
        call.raw = await _read(call)
        call.body = _decode(call) if call.route.body is not None else None
        state = state_of(call.cloud)
        pool = state.quick if quick and quick(call.body) else state.hashers
        return await asyncio.get_running_loop().run_in_executor(pool, handler, call)

    run.__name__ = handler.__name__
    run.__doc__ = handler.__doc__
    return run


async def _read(call: Call) -> bytes:
    parts: list[bytes] = []
    size = 0
    if call.chunks is not None and (call.headers.get("content-length", "0") != "0" or "transfer-encoding" in call.headers):
        async for part in call.chunks():
            size += len(part)
            if size > call.cloud.settings.body_bytes_max:
                raise TooLarge(f"The request body is larger than {call.cloud.settings.body_bytes_max} bytes.")
            parts.append(part)
    return b"".join(parts)


def _decode(call: Call) -> Any:
    if not call.raw:
        raise BadRequest("The request needs a body.")
    try:
        return msgspec.convert(msgspec.json.decode(call.raw), call.route.body)
    except msgspec.ValidationError as error:
        raise BadRequest(explain(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"Malformed JSON in the request body: {error}") from error
