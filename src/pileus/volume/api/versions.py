"""The versions documents."""

from typing import Any

from pileus.kernel.http import Answer, Call, Route

HIGHEST = "3.71"
MEDIA = [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}]


def _version(call: Call) -> dict[str, Any]:
    return {
        "id": "v3.0",
        "status": "CURRENT",
        "version": HIGHEST,
        "min_version": "3.0",
        "updated": "2024-03-01T00:00:00Z",
        "links": [
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
            {"rel": "self", "href": f"{call.base_url}/v3/"},
        ],
        "media-types": MEDIA,
    }


def index(call: Call) -> Any:
    """List the versions: a multiple choice."""
    return Answer({"versions": [_version(call)]}, status=300)


def show(call: Call) -> Any:
    """Show version 3."""
    return {"versions": [_version(call)]}


routes = (
    Route("GET", "/", index, public=True),
    Route("GET", "/v3", show, public=True),
)
