"""Binding a port to a host and plugging it in there: what compute's steps call, each as often as they like."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from pileus.kernel.context import Cloud
from pileus.kernel.errors import Unavailable
from pileus.network import addressing, tables
from pileus.network.driver import NetworkDriverError
from pileus.network.errors import missing
from pileus.network.service import carried, ports
from pileus.network.store import agents as agents_store
from pileus.network.store import hosts as hosts_store
from pileus.network.store import networks as networks_store
from pileus.network.store import ports as store
from pileus.network.store import rows
from pileus.network.store.records import Network, Port, Subnet
from pileus.network.tasks import converge, rerouting, sync
from pileus.network.tasks.specs import tap_name

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wiring:
    """What a hypervisor, a config drive and the metadata need to know of a port."""

    port: Port
    network: Network
    subnets: tuple[Subnet, ...]
    tap: str
    mtu: int
    dns_servers: tuple[str, ...]
    vif_type: str

    @property
    def mac(self) -> str:
        """The MAC address of the guest's interface."""
        return self.port.mac_address

    @property
    def ips(self) -> tuple[str, ...]:
        """The addresses of the guest, with prefix."""
        by_id = {subnet.id: subnet for subnet in self.subnets}
        return tuple(f"{f.ip_address}/{addressing.network(by_id[f.subnet_id].cidr).prefixlen}" for f in self.port.fixed_ips)


def bind_in(tx: Connection, cloud: Cloud, port_id: str, host: str) -> None:
    """Note that a port shall be on a host; nothing is made there yet.  :raises NotFound: when there is no such port."""
    port = store.find_port(tx, port_id)
    if port is None:
        raise missing("port", port_id)
    if port.host_id != host:
        rows.update_row(tx, tables.ports, cloud.clock.now(), port_id, {"host_id": host, "status": "BUILD"})
        sync.touch(tx, cloud, "network", port.network_id, port.host_id)
        if port.host_id:
            sync.touch(tx, cloud, "port", port_id, port.host_id)  # the host where it was is cleared of it
        carried.follow(tx, cloud, port_id, host)
        for group_id in port.security_groups:
            sync.touch(tx, cloud, "group", group_id, port.host_id)


def await_in(tx: Connection, cloud: Cloud, port_id: str, host: str) -> None:
    """Note that a port is about to come to another host, too, or ("") is not any more.  Nothing happens when there is none."""
    port = store.find_port(tx, port_id)
    if port is not None and (before := hosts_store.awaited_at(tx, port_id)) != host:
        hosts_store.put_awaited(tx, port_id, host)
        sync.touch_with(tx, cloud, port, before)


def unbind_in(tx: Connection, cloud: Cloud, port_id: str) -> None:
    """Note that a port is on no host any more, if there is such a port; its host is cleared of it soon."""
    port = store.find_port(tx, port_id)
    if port is not None and port.host_id:
        ports.write_change(tx, cloud, port, {"host_id": "", "status": "DOWN"})


def bind(cloud: Cloud, port_id: str, host: str) -> Wiring:
    """Note that a port shall be on a host, and return what is to be known of it."""
    with cloud.db.begin() as tx:
        bind_in(tx, cloud, port_id, host)
        return wiring(tx, cloud, [port_id])[0]


def wiring(tx: Connection, cloud: Cloud, port_ids: list[str]) -> list[Wiring]:
    """Return what is to be known of ports, in their order.  :raises NotFound: when one is not there."""
    found = store.ports_by_id(tx, port_ids)
    subnets = networks_store.subnets_by_id(tx, {f.subnet_id for port in found.values() for f in port.fixed_ips})
    networks: dict[str, Network] = {}
    made = []
    for id in port_ids:
        if id not in found:
            raise missing("port", id)
        port = found[id]
        network = networks.get(port.network_id) or networks_store.find_network(tx, port.network_id)
        assert network is not None
        networks[network.id] = network
        own = tuple(subnets[subnet_id] for subnet_id in dict.fromkeys(f.subnet_id for f in port.fixed_ips))
        given = [server for subnet in own for server in subnet.dns_nameservers]
        servers = given or [s.strip() for s in cloud.settings.dns_servers.split(",") if s.strip()]
        kind = agents_store.vif_type(cloud, port.host_id)
        made.append(Wiring(port, network, own, tap_name(id), network.mtu, tuple(dict.fromkeys(servers)), kind))
    return made


def plug_everywhere(cloud: Cloud, port_id: str) -> None:
    """Make a port now on each host that has it or awaits it.

    :raises NetworkDriverError: with what a host answered.
    """
    converge.port(cloud, port_id)


def tell_where(cloud: Cloud, network_ids: Iterable[str]) -> None:
    """Have every host know now where the ports of networks are, as far as it can be reached; the others hear of it later."""
    for network_id in network_ids:
        try:
            converge.network(cloud, network_id)
        except (NetworkDriverError, Unavailable) as error:
            log.warning("not every host knows where the ports of network %s are: %s", network_id, error)


def reroute(cloud: Cloud, port_ids: Iterable[str], host: str) -> None:
    """Have frames for ports go to another host from now on, before the ports are bound there."""
    rerouting.reroute(cloud, list(port_ids), host)


def plug(cloud: Cloud, port_id: str) -> None:
    """Make a bound port on its host now, with its network and its groups; it is ACTIVE then.

    :raises NetworkDriverError: with what the host answered.
    """
    converge.plug(cloud, port_id)


def unplug(cloud: Cloud, port_id: str) -> None:
    """Take a port off its host now; the port itself stays.  Nothing happens when it is not there."""
    with cloud.db.begin() as tx:
        port = store.find_port(tx, port_id)
        unbind_in(tx, cloud, port_id)
    converge.port(cloud, port_id, [port.host_id] if port else ())
