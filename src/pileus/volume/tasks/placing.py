"""Choosing a back end for a volume, and writing the choice down."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import quota
from pileus.kernel.context import Cloud
from pileus.volume import scheduler
from pileus.volume.driver import Capacity
from pileus.volume.scheduler import Choice, Pool, Request
from pileus.volume.store import groups, services, snapshots, types, volumes
from pileus.volume.store.types import Type
from pileus.volume.store.volumes import Volume
from pileus.volume.tasks.backends import Gauges

ZONES_KEY = "RESKEY:availability_zones"


def pools(tx: Connection, cloud: Cloud, capacities: Mapping[str, Capacity]) -> list[Pool]:
    """Return the places that there are for volumes."""
    told, provisioned = services.backends(tx), volumes.provisioned_gib(tx)
    found = []
    for name, capacity in capacities.items():
        host = pool_host(name)
        part = told.get(name)
        found.append(Pool(
            host, part.availability_zone if part else services.DEFAULT_ZONE, capacity, float(provisioned.get(host, 0)),
            cloud.settings.volume_overcommit_ratio, bool(part and (part.disabled or part.frozen)),
        ))  # fmt: skip
    return found


def room_gib(cloud: Cloud, host: str) -> float:
    """Return how much more volumes of a host may take; 0 for one that does not say."""
    capacities = cloud.part(Gauges).read(cloud)
    with cloud.db.read() as tx:
        return next((pool.room_gib for pool in pools(tx, cloud, capacities) if pool.host == host), 0.0)


def pool_host(name: str) -> str:
    """Return HOST@BACKEND#POOL of a back end, HOST@BACKEND."""
    return f"{name}#{name.rpartition('@')[2]}"


def claim(cloud: Cloud, volume: Volume) -> Choice:
    """Choose a back end for a new volume and write it down, if the volume is still as the row at hand says.

    A copy goes to where its source is, where that fits its type: nothing needs to be carried then.
    """
    for fresh in (False, True):
        capacities = cloud.part(Gauges).read(cloud, fresh=fresh)
        with cloud.db.begin() as tx:
            quota.lock(tx, "volume", "hosts")
            chosen = choose(tx, cloud, volume, capacities)
            if chosen.host:
                volumes.change_if(tx, volume, host=chosen.host, availability_zone=chosen.zone)
                return chosen
    return chosen


def choose(tx: Connection, cloud: Cloud, volume: Volume, capacities: Mapping[str, Capacity]) -> Choice:
    """Choose a back end for a volume."""
    kind = types.many(tx, [volume.volume_type_id]).get(volume.volume_type_id) if volume.volume_type_id else None
    request = make_request(tx, volume, kind)
    there = pools(tx, cloud, capacities)
    near = source_host(tx, volume)
    if near is not None:
        chosen = scheduler.pick(there, replace(request, only=frozenset({near}) & (request.only or frozenset({near}))))
        if chosen.host:
            return chosen
    return scheduler.pick(there, request)


def make_request(tx: Connection, volume: Volume, kind: Type | None) -> Request:
    """Return what a volume asks of a back end."""
    hints: Mapping[str, Any] = volume.scheduler_hints or {}
    specs = dict(kind.extra_specs) if kind else {}
    near, far = (_hosts(tx, volume.project_id, hints.get(name)) for name in ("same_host", "different_host"))
    if volume.group_id:  # the volumes of a group lie together
        group = groups.get(tx, volume.group_id)
        near = frozenset({group.host}) if group and group.host else near
    zones = [volume.availability_zone] if volume.availability_zone else zones_of(specs)
    refused = (volume.aside or {}).get("refused", {})
    return Request(volume.size_gib, zones, specs, near, far or frozenset(), refused)


def zones_of(specs: Mapping[str, Any]) -> list[str]:
    """Return the zones that a type's extra specs allow; empty: all."""
    return [zone.strip() for zone in str(specs.get(ZONES_KEY, "")).split(",") if zone.strip()]


def source_host(tx: Connection, volume: Volume) -> str | None:
    """Return where the volume is that another one is made of."""
    source_id = volume.source_volume_id
    if volume.snapshot_id:
        snapshot = snapshots.get(tx, volume.snapshot_id)
        source_id = snapshot.volume_id if snapshot else None
    return volumes.hosts_of(tx, [source_id]).get(source_id) if source_id else None


def _hosts(tx: Connection, project_id: str, ids: Any) -> frozenset[str] | None:
    """Return where the project's volumes are that a hint names; None: it names none."""
    named = [str(id) for id in (ids if isinstance(ids, list) else [ids] if ids else [])]
    return frozenset(volumes.hosts_of(tx, named, project_id).values()) if named else None
