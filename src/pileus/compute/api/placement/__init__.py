"""Placement: who has resources, and who takes them.  Its own API, out of compute's rows."""

from typing import Any

from pileus.compute.api.placement import allocations, candidates, names, providers
from pileus.kernel import faults
from pileus.kernel.http import Call, Route, Service
from pileus.kernel.microversion import Microversions, show

VERSIONS = Microversions("placement", (1, 0), (1, 39))


def show_versions(call: Call) -> Any:
    """The version document at the root."""
    facts = {"min_version": show(VERSIONS.lowest), "max_version": show(VERSIONS.highest), "status": "CURRENT"}
    return {"versions": [{"id": "v1.0", **facts, "links": [{"rel": "self", "href": ""}]}]}


PLACEMENT = Service(
    "placement",
    "Pileus placement",
    (
        Route("GET", "/", show_versions, public=True),
        *providers.routes,
        *names.routes,
        *allocations.routes,
        *candidates.routes,
    ),
    faults.placement,
    VERSIONS,
    classic_ports=(8778,),
)
