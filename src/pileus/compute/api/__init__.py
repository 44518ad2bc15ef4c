"""HTTP in and out: each noun's routes, put together to one API."""

from pileus.compute.api import (
    aggregates,
    flavors,
    hypervisors,
    keypairs,
    quotas,
    records,
    server_actions,
    server_groups,
    server_parts,
    servers,
    services,
    usage,
    versions,
)
from pileus.kernel import faults
from pileus.kernel.http import Route, Service
from pileus.kernel.microversion import Microversions

ROUTES: tuple[Route, ...] = (
    *versions.routes,
    *servers.routes,
    *server_actions.routes,
    *server_parts.routes,
    *flavors.routes,
    *services.routes,
    *hypervisors.routes,
    *aggregates.routes,
    *keypairs.routes,
    *quotas.routes,
    *usage.routes,
    *server_groups.routes,
    *records.routes,
)

COMPUTE = Service(
    "compute",
    "Pileus compute",
    ROUTES,
    faults.nova,
    Microversions("compute", (2, 1), (2, 96), "x-openstack-nova-api-version"),
    classic_ports=(8774,),
    id_header="x-compute-request-id",
)
