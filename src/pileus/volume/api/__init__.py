"""HTTP in and out: each noun's routes, put together to one API.  Routes are written without the project: /v3/volumes.

Versions 1 and 2 are made of the routes of version 3.
"""

import re

from pileus.kernel import faults
from pileus.kernel.errors import OverQuota
from pileus.kernel.http import Route, Service
from pileus.kernel.microversion import Microversions
from pileus.volume.api import (
    adoption,
    attachments,
    backups,
    consistency_groups,
    extensions,
    group_types,
    groups,
    messages,
    older,
    qos,
    quotas,
    resource_filters,
    services,
    snapshots,
    transfers,
    types,
    versions,
    volume_actions,
    volume_encryption,
    volume_metadata,
    volumes,
)

NEWEST: tuple[Route, ...] = (
    *versions.routes,
    *attachments.routes,
    *transfers.routes,
    *volumes.routes,
    *volume_metadata.routes,
    *volume_actions.routes,
    *volume_encryption.routes,
    *snapshots.routes,
    *backups.routes,
    *services.routes,
    *messages.routes,
    *adoption.routes,
    *types.routes,
    *qos.routes,
    *group_types.routes,
    *groups.routes,
    *consistency_groups.routes,
    *quotas.routes,
    *extensions.routes,
    *resource_filters.routes,
)

ROUTES: tuple[Route, ...] = (*NEWEST, *older.routes_of("v2", NEWEST), *older.routes_of("v1", NEWEST))

NOTHING = "/v3/-/-"
WITH_PROJECT = re.compile(r"/(v[123])/([0-9a-f]{32})(/.*)")


def alias(path: str) -> tuple[str, str]:
    """Turn /v3/PROJECT/... into /v3/... and the project that the caller's token has to be of; what ends in / is nothing."""
    found = WITH_PROJECT.fullmatch(path)
    at, project_id = (f"/{found[1]}{found[3]}", found[2]) if found else (path, "")
    return (NOTHING if at.endswith("/") and at.count("/") > 2 else at), project_id


SERVICE = Service(
    "volume",
    "Block storage",
    ROUTES,
    faults.nova,
    Microversions("volume", (3, 0), (3, 71)),
    classic_ports=(8776,),
    alias=alias,
    statuses={OverQuota: 413},
)
