"""What the object store hands to main.py."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pileus.identity.service import catalog, roles
from pileus.kernel.bundle import Bundle
from pileus.kernel.context import Cloud, cloud_itself
from pileus.kernel.http import Service
from pileus.kernel.loops import Loop
from pileus.kernel.settings import Settings
from pileus.object_store.api import faults, front, routes, site
from pileus.object_store.limits import limits_of
from pileus.object_store.placement import Placement
from pileus.object_store.policies import RULES
from pileus.object_store.state import ObjectStore
from pileus.object_store.storage.daemons.running import run_once
from pileus.object_store.storage.embedded import (
    AUDIT_SECONDS,
    EXPIRE_SECONDS,
    UPDATE_SECONDS,
    embedded_cluster,
    embedded_daemons,
)
from pileus.object_store.tempauth import TempAuth, parse_users

log = logging.getLogger(__name__)

RESELLER_ROLE = "ResellerAdmin"
LISTED = catalog.Listed(
    "object-store", "swift", "/object-store/v1/AUTH_$(project_id)s", "8080/v1/AUTH_$(project_id)s", "Object storage"
)


def make_store(settings: Settings, open_placement: Callable[[Callable[[], float]], Placement]) -> ObjectStore:
    """Put the proxy together."""
    users = parse_users(settings.object_tempauth_users)
    return ObjectStore(open_placement, limits_of(settings), TempAuth(users) if users else None)


def _parts(settings: Settings) -> Mapping[type[Any], Any]:
    root = str(Path(settings.state_dir) / "objects")
    return {ObjectStore: make_store(settings, lambda now: Placement(embedded_cluster(root, now)))}


def _bootstrap(cloud: Cloud) -> None:
    with cloud.db.begin() as tx:
        catalog.ensure_service(tx, cloud, LISTED)
    admin = cloud_itself(cloud)
    if not roles.list_(admin, {"name": RESELLER_ROLE}):
        roles.create(admin, {"name": RESELLER_ROLE, "description": "May do everything in every account of the object store"})


def _pass(cloud: Cloud, seconds: float) -> None:
    """Let each daemon of the embedded device that works at an interval make one pass; one that fails stops no other."""
    store = cloud.part(ObjectStore)
    for daemon, interval in embedded_daemons(store.placement.cluster, store.now):
        if interval == seconds:
            try:
                asyncio.run(run_once(daemon, store.now))
            except Exception:
                log.exception("a pass of %s failed", daemon.name)


LOOPS = tuple(
    Loop(f"object-{word}", seconds, lambda cloud, seconds=seconds: _pass(cloud, seconds))  # type: ignore[misc]
    for word, seconds in (("expirer", EXPIRE_SECONDS), ("updaters", UPDATE_SECONDS), ("auditors", AUDIT_SECONDS))
)
SERVICE = Service(
    "object-store",
    "Object storage (Swift v1)",
    routes=(*site.ROUTES, *routes.ROUTES),
    fault_form=faults.swift,
    classic_ports=(8080,),
    id_header="x-trans-id",
    make_id=front.make_trans_id,
    front=site.FRONT,
)

BUNDLE = Bundle("object_store", rules=RULES, services=(SERVICE,), parts=_parts, bootstrap=_bootstrap, loops=LOOPS)
