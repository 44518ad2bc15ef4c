"""The versions documents."""

from typing import Any

from pileus.kernel.http import Call, Route

HIGHEST = "2.100"
MEDIA = [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}]


def _version(call: Call, path: str = "/v2.1/") -> dict[str, Any]:
    new = path == "/v2.1/"
    return {
        "id": "v2.1" if new else "v2.0",
        "status": "CURRENT" if new else "SUPPORTED",
        "version": HIGHEST if new else "",
        "min_version": "2.1" if new else "",
        "updated": "2013-07-23T11:33:21Z" if new else "2011-01-21T11:33:21Z",
        "links": [{"rel": "self", "href": f"{call.base_url}{path}"}],
    }


def index(call: Call) -> Any:
    """List the versions."""
    return {"versions": [_version(call, "/v2/"), _version(call)]}


def show(call: Call) -> Any:
    """Show version 2.1."""
    return {"version": {**_version(call), "media-types": MEDIA}}


def show_old(call: Call) -> Any:
    """Show version 2.0, which is 2.1 without microversions."""
    return {"version": {**_version(call, "/v2/"), "media-types": MEDIA}}


routes = (
    Route("GET", "/", index, public=True),
    Route("GET", "/v2.1", show, public=True),
    Route("GET", "/v2", show_old, public=True),
)
