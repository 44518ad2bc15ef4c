"""The versions documents."""

from dataclasses import dataclass
from typing import Any

from pileus.kernel.http import Answer, Call, Handler, Route


@dataclass(frozen=True)
class Version:
    """One version of the API.  highest and lowest are its microversions; empty: it has none."""

    number: int
    status: str
    updated: str
    highest: str = ""
    lowest: str = ""


VERSIONS = (
    Version(1, "DEPRECATED", "2016-05-02T20:25:19Z"),
    Version(2, "DEPRECATED", "2017-02-25T12:00:00Z"),
    Version(3, "CURRENT", "2024-03-01T00:00:00Z", "3.71", "3.0"),
)


def _show(call: Call, version: Version) -> dict[str, Any]:
    media = f"application/vnd.openstack.volume+json;version={version.number}"
    return {
        "id": f"v{version.number}.0",
        "status": version.status,
        "version": version.highest,
        "min_version": version.lowest,
        "updated": version.updated,
        "links": [
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
            {"rel": "self", "href": f"{call.base_url}/v{version.number}/"},
        ],
        "media-types": [{"base": "application/json", "type": media}],
    }


def index(call: Call) -> Any:
    """List the versions: a multiple choice."""
    return Answer({"versions": [_show(call, version) for version in VERSIONS]}, status=300)


def _shower(version: Version) -> Handler:
    def show(call: Call) -> Any:
        """Show one version."""
        return {"versions": [_show(call, version)]}

    return show


routes = (
    Route("GET", "/", index, public=True),
    *(Route("GET", f"/v{version.number}", _shower(version), public=True) for version in VERSIONS),
)
