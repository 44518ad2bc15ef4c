"""Hosts in nova's old form, which services and hypervisors took the place of."""

from typing import Any

from pileus.compute.policies.hosts import HOSTS
from pileus.compute.store import hosts as store
from pileus.compute.store.hosts import Host
from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound, NotImplementedHere

CONTROL = ("conductor", "scheduler")
INTERNAL_ZONE = "internal"


def list_hosts(ctx: Context, zone: str) -> list[dict[str, str]]:
    """Return what runs where: compute on every host, and on the first what steers them; zone "": any."""
    ctx.require(HOSTS + "list")
    with ctx.cloud.db.read() as tx:
        found = [host for host in store.list_hosts(tx) if not host.disabled]
    shown = [{"host_name": host.name, "service": "compute", "zone": host.zone} for host in found]
    shown += [{"host_name": host.name, "service": service, "zone": INTERNAL_ZONE} for host in found[:1] for service in CONTROL]
    return [host for host in shown if zone in ("", host["zone"])]


def _find(ctx: Context, name: str) -> Host:
    with ctx.cloud.db.read() as tx:
        found = store.find(tx, name=name)
    if found is None:
        raise NotFound(f"Host '{name}' is not mapped to any cell", kind="HostMappingNotFound")
    return found


def show(ctx: Context, name: str) -> list[dict[str, Any]]:
    """Return what a host has, what is used of it now, and what its servers may use, by project."""
    ctx.require(HOSTS + "show")
    host = _find(ctx, name)
    with ctx.cloud.db.read() as tx:
        by_project = store.usage_by_project(tx, name)
    used = (host.vcpus_used, host.memory_used_mib, host.disk_used_gib)
    totals = {"(total)": (host.vcpus, host.memory_mib, host.disk_gib), "(used_now)": used, "(used_max)": used}
    return [
        {"host": name, "project": project, "cpu": vcpus, "memory_mb": memory_mib, "disk_gb": disk_gib}
        for project, (vcpus, memory_mib, disk_gib) in {**totals, **by_project}.items()
    ]


def update(ctx: Context, name: str, enabled: bool | None, maintenance: bool | None) -> None:
    """Let a host take new servers, or not.

    :raises NotFound: when there is none.
    :raises NotImplementedHere: when it is asked to send its servers elsewhere.
    """
    ctx.require(HOSTS + "update")
    _find(ctx, name)
    if maintenance is not None:
        raise NotImplementedHere("The requested functionality is not supported.")
    with ctx.cloud.db.begin() as tx:
        store.update_host(tx, name, disabled=not enabled, disabled_reason=None, updated_at=ctx.cloud.clock.now())


def refuse_power(ctx: Context, name: str, rule: str) -> None:
    """Refuse to start or stop a host: no one here has its switch.

    :raises NotFound: when there is none; NotImplementedHere: otherwise.
    """
    ctx.require(HOSTS + rule)
    _find(ctx, name)
    raise NotImplementedHere("The requested functionality is not supported.")
