"""Compute hosts, shown as services and as hypervisors."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.compute.schemas.fields import Bool, HostName, show_time
from pileus.compute.store.hosts import Host

Version = tuple[int, int]
Reason = Annotated[str, Meta(min_length=1, max_length=255)]
Binary = Annotated[str, Meta(min_length=1, max_length=255)]


class UpdateByName(Struct, forbid_unknown_fields=True):
    host: HostName
    binary: Binary
    disabled_reason: Reason | UnsetType = UNSET


class UpdateByName211(Struct, forbid_unknown_fields=True):
    host: HostName
    binary: Binary
    disabled_reason: Reason | UnsetType = UNSET
    forced_down: Bool | UnsetType = UNSET


class UpdateById(Struct, forbid_unknown_fields=True):
    status: Literal["enabled", "disabled"] | UnsetType = UNSET
    disabled_reason: Reason | UnsetType = UNSET
    forced_down: Bool | UnsetType = UNSET


def show_service(host: Host, version: Version, now: float) -> dict[str, Any]:
    """Show a host as the service nova-compute."""
    shown: dict[str, Any] = {
        "id": host.service_uuid if version >= (2, 53) else host.id,
        "binary": "nova-compute",
        "host": host.name,
        "zone": host.zone,
        "status": "disabled" if host.disabled else "enabled",
        "state": "up" if host.is_up(now) else "down",
        "updated_at": show_time(host.seen_at),
        "disabled_reason": host.disabled_reason,
    }
    return {**shown, "forced_down": host.forced_down} if version >= (2, 11) else shown


def show_brief(host: Host, version: Version, now: float) -> dict[str, Any]:
    """Show a hypervisor's name and state."""
    return {
        "id": host.hypervisor_uuid if version >= (2, 53) else host.id,
        "hypervisor_hostname": host.name,
        "state": "up" if host.is_up(now) else "down",
        "status": "disabled" if host.disabled else "enabled",
    }


def show_hypervisor(host: Host, version: Version, now: float, uptime: str | None, address: str) -> dict[str, Any]:
    """Show a hypervisor in full; from 2.88 on its resources are only seen in placement."""
    shown: dict[str, Any] = {
        **show_brief(host, version, now),
        "hypervisor_type": host.hypervisor_type,
        "hypervisor_version": host.hypervisor_version,
        "host_ip": address,
        "service": {
            "id": host.service_uuid if version >= (2, 53) else host.id,
            "host": host.name,
            "disabled_reason": host.disabled_reason,
        },
    }
    if version >= (2, 88):
        return {**shown, "uptime": uptime}
    cpu = _cpu(host)
    return {
        **shown,
        **_resources(host),
        "disk_available_least": host.free_disk_gib,
        "cpu_info": cpu if version >= (2, 28) else msgspec.json.encode(cpu).decode(),
    }


def _cpu(host: Host) -> dict[str, Any]:
    topology = {"cells": 1, "sockets": 1, "cores": host.vcpus, "threads": 1}
    return {"arch": host.arch, **host.cpu, "topology": topology}


def _resources(host: Host) -> dict[str, int]:
    memory_used_mib = host.memory_used_mib + host.memory_reserved_mib
    return {
        "vcpus": host.vcpus,
        "vcpus_used": host.vcpus_used,
        "memory_mb": host.memory_mib,
        "memory_mb_used": memory_used_mib,
        "free_ram_mb": host.memory_mib - memory_used_mib,
        "local_gb": host.disk_gib,
        "local_gb_used": host.disk_used_gib,
        "free_disk_gb": host.disk_gib - host.disk_used_gib,
        "running_vms": host.servers,
        "current_workload": host.busy,
    }


def show_statistics(hosts: list[Host]) -> dict[str, Any]:
    """Add up all hypervisors that take servers."""
    rows = [{**_resources(host), "disk_available_least": host.free_disk_gib} for host in hosts if not host.disabled]
    names = (*_resources(hosts[0]), "disk_available_least") if hosts else ()
    return {"hypervisor_statistics": {"count": len(rows), **{name: sum(row[name] for row in rows) for name in names}}}


def show_servers(servers: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Show which servers a hypervisor has."""
    return [{"name": name, "uuid": server_id} for server_id, name in servers]
