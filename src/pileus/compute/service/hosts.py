"""Compute hosts: who is there, what they have, and whether they take servers."""

import logging
from collections.abc import Callable
from typing import Any

from pileus.compute.driver import DriverError, HostResources
from pileus.compute.policies.hosts import HYPERVISORS, SERVICES
from pileus.compute.store import hosts as store
from pileus.compute.store import migrations
from pileus.compute.store.hosts import Host
from pileus.kernel import rounds
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound, Unavailable
from pileus.kernel.loops import Loop
from pileus.kernel.paging import Page

log = logging.getLogger(__name__)

COMPUTE_BINARY = "nova-compute"
HOSTS_A_PASS = 50


class Asked:
    """Whose turn it is to be asked what it has, and who could not say it."""

    def __init__(self) -> None:
        self.rounds = rounds.Rounds(HOSTS_A_PASS)
        self.silent: set[str] = set()


def refresh(cloud: Cloud) -> None:
    """Note which hosts are there, and ask those whose turn it is what they have.

    One that is not there, or could not say it when it was asked last, is down after a minute.
    """
    seen: dict[str, dict[str, Any]] = {}
    asked = cloud.part(Asked)

    def ask(name: str) -> None:
        try:
            seen[name] = _facts(cloud.bus.host(name, "hypervisor").resources())
            asked.silent.discard(name)
        except (DriverError, HostUnknown, Unavailable, OSError) as error:
            asked.silent.add(name)
            asked.rounds.again(name)
            log.warning("host %s does not answer: %s", name, error)

    rounds.each(asked.rounds.turn(cloud.bus, "hypervisor"), ask)
    there = set(cloud.bus.hosts("hypervisor")) - asked.silent
    settings = cloud.settings
    defaults = {
        "memory_reserved_mib": settings.reserved_host_memory_mib,
        "vcpus_ratio": settings.cpu_allocation_ratio,
        "memory_ratio": settings.ram_allocation_ratio,
        "disk_ratio": settings.disk_allocation_ratio,
        "traits": [],
    }
    with cloud.db.begin() as tx:
        store.note_seen(tx, there, seen, cloud.clock.now(), defaults)


REFRESH = Loop("compute-hosts", 10.0, refresh)


def _facts(resources: HostResources) -> dict[str, Any]:
    return {
        "vcpus": resources.vcpus,
        "memory_mib": resources.memory_mib,
        "disk_gib": resources.disk_gib,
        "free_disk_gib": resources.free_disk_gib,
        "arch": resources.arch,
        "hypervisor_type": resources.hypervisor_type,
        "hypervisor_version": resources.hypervisor_version,
        "virt_type": resources.virt_type,
        "cpu": {"model": resources.cpu_model, "vendor": resources.cpu_vendor, "features": list(resources.cpu_features)},
    }


def list_services(ctx: Context, host: str = "", binary: str = "") -> list[Host]:
    """Return the hosts as services; there is one kind, nova-compute."""
    ctx.require(SERVICES + "list")
    if binary not in ("", COMPUTE_BINARY):
        return []
    with ctx.cloud.db.read() as tx:
        return store.list_hosts(tx, [host] if host else None)


def update_by_name(ctx: Context, host: str, binary: str, **values: Any) -> None:
    """Change a service that is named by host and binary, as before 2.53.

    :raises BadRequest: when the binary is not nova-compute.
    :raises NotFound: when there is no such host.
    """
    ctx.require(SERVICES + "update")
    if binary != COMPUTE_BINARY:
        raise BadRequest(
            f"Updating a {binary} service is not supported. Only nova-compute services can be updated.",
        )
    with ctx.cloud.db.begin() as tx:
        if not store.update_host(tx, host, updated_at=ctx.cloud.clock.now(), **values):
            raise NotFound(f"Compute host {host} could not be found.", kind="HostNotFound")


def update_by_id(ctx: Context, service_uuid: str, **values: Any) -> Host:
    """Change a service.

    :raises NotFound: when there is no such service.
    """
    ctx.require(SERVICES + "update")
    with ctx.cloud.db.begin() as tx:
        host = _service(tx, service_uuid=service_uuid)
        store.update_host(tx, host.name, updated_at=ctx.cloud.clock.now(), **values)
        return _service(tx, service_uuid=service_uuid)


def delete_service(ctx: Context, **where: Any) -> None:
    """Forget a host.  It comes back when it still runs.

    :param where: id=NUMBER or service_uuid=UUID.
    :raises NotFound: when there is no such service.
    :raises Conflict: when it has servers, or some are to come or may go back there.
    """
    ctx.require(SERVICES + "delete")
    with ctx.cloud.db.begin() as tx:
        host = _service(tx, **where)
        if host.servers or migrations.holding_on(tx, host.name):
            raise Conflict("Unable to delete compute service that is hosting instances. Migrate or delete the instances first.")
        store.delete_host(tx, host)


def _service(tx: Any, **where: Any) -> Host:
    found = store.find(tx, **where)
    if found is None:
        raise NotFound(f"Service {next(iter(where.values()))} could not be found.", kind="ServiceNotFound")
    return found


Servers = dict[str, list[tuple[str, str]]]


def list_hypervisors(
    ctx: Context, rule: str = "list", pattern: str | None = None, with_servers: bool = False
) -> tuple[list[Host], Servers]:
    """Return the hosts as hypervisors, and their servers (id and name) where wanted.

    :param pattern: part of the hosts' names.
    :raises NotFound: when no host has the pattern in its name.
    """
    ctx.require(HYPERVISORS + rule)
    with ctx.cloud.db.read() as tx:
        found = store.list_hosts(tx)
        if pattern is not None:
            found = [host for host in found if pattern in host.name]
            if not found:
                raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
        servers = store.servers_of(tx, [host.name for host in found]) if with_servers else {}
    return found, servers


def cut(found: list[Host], page: Page, key: Callable[[Host], str]) -> tuple[list[Host], bool]:
    """Return a page of hosts, and whether there are more.

    :raises BadRequest: when the marker is unknown.
    """
    start = 0
    if page.marker is not None:
        start = next((index + 1 for index, host in enumerate(found) if key(host) == page.marker), 0)
        if not start:
            raise BadRequest(f"marker [{page.marker}] not found", kind="MarkerNotFound")
    stop = len(found) if page.limit is None else start + page.limit
    return found[start:stop], stop < len(found)


def get_hypervisor(ctx: Context, rule: str = "show", with_servers: bool = False, **where: Any) -> tuple[Host, Servers]:
    """Return one host as a hypervisor.

    :param where: id=NUMBER or hypervisor_uuid=UUID.
    :raises NotFound: when there is no such hypervisor.
    """
    ctx.require(HYPERVISORS + rule)
    with ctx.cloud.db.read() as tx:
        found = store.find(tx, **where)
        if found is None:
            value = next(iter(where.values()))
            raise NotFound(f"Hypervisor with ID '{value}' could not be found.", kind="ComputeHostNotFound")
        return found, store.servers_of(tx, [found.name]) if with_servers else {}
