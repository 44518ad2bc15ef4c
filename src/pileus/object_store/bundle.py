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
from pileus.object_store.backend import Cluster, StoragePolicy
from pileus.object_store.ciphers import read_secrets
from pileus.object_store.encryption import EncryptedPlacement
from pileus.object_store.limits import limits_of
from pileus.object_store.placement import Placement
from pileus.object_store.policies import RULES
from pileus.object_store.rates import RateLimits, Turns, read_rates
from pileus.object_store.realms import read_realms
from pileus.object_store.state import ObjectStore
from pileus.object_store.storage.daemons.container_sync import ContainerSync
from pileus.object_store.storage.daemons.running import run_once
from pileus.object_store.storage.embedded import (
    AUDIT_SECONDS,
    DEFAULT_POLICIES,
    EXPIRE_SECONDS,
    UPDATE_SECONDS,
    embedded_cluster,
    embedded_daemons,
)
from pileus.object_store.storage.local import LocalCarrier
from pileus.object_store.storage.node import http_cluster, load_rings
from pileus.object_store.tempauth import TempAuth, parse_users

log = logging.getLogger(__name__)

SYNC_LOOK_SECONDS = 2.0
RESELLER_ROLE = "ResellerAdmin"
LISTED = catalog.Listed(
    "object-store", "swift", "/object-store/v1/AUTH_$(project_id)s", "8080/v1/AUTH_$(project_id)s", "Object storage"
)


def make_store(settings: Settings, open_placement: Callable[[Callable[[], float]], Placement], secret: str = "") -> ObjectStore:
    """Put the proxy together.

    :param secret: known to all proxies of a cluster, so that each knows the tokens of the others; "": there is one proxy.
    """
    users = parse_users(settings.object_tempauth_users)
    realms = read_realms(settings.object_sync_realms, settings.object_sync_hosts)
    made = ObjectStore(open_placement, limits_of(settings), TempAuth(users, secret) if users else None, realms, _rates(settings))
    made.domains = tuple(name.strip(" .").lower() for name in settings.object_storage_domains.split(",") if name.strip())
    return made


def _rates(settings: Settings) -> RateLimits:
    container, listing = read_rates(settings.object_container_rates), read_rates(settings.object_listing_rates)
    turns = Turns(wait_seconds_max=settings.object_rate_wait_seconds)
    return RateLimits(settings.object_account_rate, container, listing, turns)


def _place(settings: Settings, cluster: Cluster) -> Placement:
    secrets = read_secrets(settings.object_encryption_secrets)
    return EncryptedPlacement(cluster, secrets) if secrets else Placement(cluster)


def _parts(settings: Settings) -> Mapping[type[Any], Any]:
    if settings.object_rings_dir:
        salt = load_rings(settings.object_rings_dir).accounts.salt
        opened = http_cluster(settings.object_rings_dir)
        return {ObjectStore: make_store(settings, lambda now: _place(settings, opened), salt.prefix + salt.suffix)}
    root = str(Path(settings.state_dir) / "objects")
    further = [name.strip() for name in settings.object_policies.split(",") if name.strip()]
    policies = (*DEFAULT_POLICIES, *(StoragePolicy(index, name) for index, name in enumerate(further, len(DEFAULT_POLICIES))))
    return {ObjectStore: make_store(settings, lambda now: _place(settings, embedded_cluster(root, now, policies)))}


def _bootstrap(cloud: Cloud) -> None:
    with cloud.db.begin() as tx:
        catalog.ensure_service(tx, cloud, LISTED)
    admin = cloud_itself(cloud)
    if not roles.list_(admin, {"name": RESELLER_ROLE}):
        roles.create(admin, {"name": RESELLER_ROLE, "description": "May do everything in every account of the object store"})


def _pass(cloud: Cloud, seconds: float) -> None:
    """Let each daemon of the embedded device that works at an interval make one pass; one that fails stops no other."""
    store = cloud.part(ObjectStore)
    if cloud.settings.object_rings_dir:
        return  # the storage nodes have their own
    for daemon, interval in embedded_daemons(store.placement.cluster, store.now, cloud.settings.object_shard_threshold):
        if interval == seconds:
            try:
                asyncio.run(run_once(daemon, store.now))
            except Exception:
                log.exception("a pass of %s failed", daemon.name)


def _sync(cloud: Cloud) -> None:
    """Let the containers of the embedded device be synced to their partners, when it is time."""
    store = cloud.part(ObjectStore)
    if not store.realms or cloud.settings.object_rings_dir:
        return
    now = store.now()
    if store.kept.get("sync due", 0.0) > now:
        return
    store.kept["sync due"] = now + cloud.settings.object_sync_seconds
    asyncio.run(run_once(_syncer(store), store.now))


def _syncer(store: ObjectStore) -> ContainerSync:
    made: ContainerSync | None = store.kept.get("sync")
    carrier = store.placement.cluster.carrier
    if made is None and isinstance(carrier, LocalCarrier):
        ring = store.placement.cluster.container_ring
        made = store.kept["sync"] = ContainerSync(carrier.files("d0"), store.placement, store.realms, ring, store.now)
    assert made is not None
    return made


LOOPS = (
    *(
        Loop(f"object-{word}", seconds, lambda cloud, seconds=seconds: _pass(cloud, seconds))  # type: ignore[misc]
        for word, seconds in (("expirer", EXPIRE_SECONDS), ("updaters", UPDATE_SECONDS), ("auditors", AUDIT_SECONDS))
    ),
    Loop("object-sync", SYNC_LOOK_SECONDS, _sync),
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
    claims=front.claims,
)

BUNDLE = Bundle("object_store", rules=RULES, services=(SERVICE,), parts=_parts, bootstrap=_bootstrap, loops=LOOPS)
