"""HTTP in and out: each noun's routes, put together to one API."""

import re

from pileus.compute.api import (
    aggregates,
    consoles,
    flavors,
    hosts,
    hypervisors,
    images,
    keypairs,
    live_migrations,
    proxies,
    quotas,
    records,
    server_actions,
    server_groups,
    server_parts,
    server_shares,
    server_volumes,
    servers,
    services,
    usage,
    versions,
    volumes,
)
from pileus.kernel import faults
from pileus.kernel.http import Route, Service
from pileus.kernel.microversion import Microversions

ROUTES: tuple[Route, ...] = (
    *versions.routes,
    *servers.routes,
    *server_actions.routes,
    *server_parts.routes,
    *live_migrations.routes,
    *server_shares.routes,
    *server_volumes.routes,
    *consoles.routes,
    *flavors.routes,
    *services.routes,
    *hypervisors.routes,
    *hosts.routes,
    *aggregates.routes,
    *keypairs.routes,
    *quotas.routes,
    *usage.routes,
    *server_groups.routes,
    *records.routes,
    *proxies.routes,
    *images.routes,
    *volumes.routes,
)

OLDER = re.compile(r"/v2(?:\.1)?(?:/([0-9a-f]{32}))?(/.+)")

NOWHERE = "/nowhere"


def alias(path: str) -> tuple[str, str]:
    """Turn the URLs of older clients, /v2/... and /v2.1/PROJECT/..., into those of version 2.1 without a project."""
    if path.endswith("/") and path.count("/") > 2:
        return NOWHERE, ""  # one thing of many was meant, and none is named
    found = OLDER.fullmatch(path)
    return (f"/v2.1{found[2]}", found[1] or "") if found else (path, "")


COMPUTE = Service(
    "compute",
    "Pileus compute",
    ROUTES,
    faults.nova,
    Microversions("compute", (2, 1), (2, 100), "x-openstack-nova-api-version"),
    classic_ports=(8774,),
    id_header="x-compute-request-id",
    alias=alias,
)
