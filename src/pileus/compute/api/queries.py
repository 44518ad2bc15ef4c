"""What the queries of lists have in common: unknown names, pages."""

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call
from pileus.kernel.paging import Page, read_limit

MOST = 1000


def check_names(call: Call, *known: str, since: str = "2.75") -> None:
    """Refuse unknown parameters where the microversion does.

    :raises BadRequest: when one is unknown.
    """
    unknown = call.query.names() - set(known)
    if unknown and call.since(since):
        raise BadRequest(f"Invalid input for query parameters {min(unknown)}. Additional properties are not allowed.")


def read_page(call: Call) -> Page:
    """Read limit and marker.

    :raises BadRequest: when the limit is not a number.
    """
    return Page(read_limit(call.query.get("limit"), MOST), call.query.get("marker"))


def links(call: Call, root: str, thing: str) -> list[dict[str, str]]:
    """Return the links self and bookmark of a thing, such as ("flavors", "1")."""
    return [
        {"rel": "self", "href": f"{call.base_url}/v2.1/{root}/{thing}"},
        {"rel": "bookmark", "href": f"{call.base_url}/{root}/{thing}"},
    ]


def read_offset_page(call: Call, since: str) -> tuple[int, int]:
    """Read offset and limit, as older lists have them; returns the first one wanted and how many.

    :param since: the microversion that refuses other parameters.
    :raises BadRequest: when they are not numbers.
    """
    check_names(call, "limit", "offset", since=since)
    most = read_limit(call.query.get("limit"), MOST)
    return read_limit(call.query.get("offset")) or 0, MOST if most is None else most
