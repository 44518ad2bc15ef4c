"""Thousands of servers as true as booted ones: rows of servers, ports, networks and groups, and the guests on their hosts.

Copies of one server that was booted: spread over the hosts evenly and over PROJECTS projects, each with a network and a default
security group of its own.
"""

import random
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, insert, select, text

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.cluster.many import SECRET, Many

from pileus import drivers
from pileus.agent import process
from pileus.agent.contracts import CONTRACTS
from pileus.agent.presence import PRESENCE_SECONDS
from pileus.compute.driver import GuestSpec, NicSpec
from pileus.compute.drivers.fake import FakeHypervisor
from pileus.compute.tables.servers import servers
from pileus.kernel import ids, logs, rabbit
from pileus.kernel.bus_rabbit import CONDUCTOR, News, RabbitBus
from pileus.kernel.clock import SystemClock
from pileus.kernel.context import Cloud
from pileus.kernel.db import Database
from pileus.kernel.settings import Settings, load
from pileus.main import build_cloud
from pileus.network import tables
from pileus.network.store import groups as groups_store
from pileus.network.store import hosts as hosts_store
from pileus.network.store import ports as ports_store
from pileus.network.tasks import specs
from pileus.network.tasks.specs import tap_name

PROJECTS = 100
ROWS_AT_ONCE = 1000
FIRST_SEGMENT = 1_000_000


def cloud_of(many: Many, db: Database) -> Cloud:
    """Return the cloud as its own processes see it, with a bus that is connected."""
    settings = Settings(
        state_dir=str(many.folder / "api1"), database_url=many.database.url, bus_url=many.broker.url, secret=SECRET
    )
    bus = RabbitBus(many.broker.url, CONTRACTS)
    bus.start()
    return build_cloud(settings, db, SystemClock(), bus)


@dataclass(frozen=True)
class Model:
    """The rows of the server that others are copies of."""

    server: dict[str, Any]
    port: dict[str, Any]
    dhcp: dict[str, Any]
    network: dict[str, Any]
    subnet: dict[str, Any]
    group: dict[str, Any]
    rules: list[dict[str, Any]]


def model_of(tx: Connection, server_id: str) -> Model:
    """Read a server with one port."""

    def one(table: Table, *conditions: Any) -> dict[str, Any]:
        return dict(tx.execute(select(table).where(*conditions)).first()._mapping)  # type: ignore[union-attr]

    p = tables.ports.c
    port = one(tables.ports, p.device_id == server_id)
    group_id = tx.execute(select(tables.port_groups.c.group_id).where(tables.port_groups.c.port_id == port["id"])).scalar_one()
    rules = tx.execute(select(tables.rules).where(tables.rules.c.security_group_id == group_id)).all()
    return Model(
        one(servers, servers.c.id == server_id), port,
        one(tables.ports, p.network_id == port["network_id"], p.device_owner == "network:dhcp"),
        one(tables.networks, tables.networks.c.id == port["network_id"]),
        one(tables.subnets, tables.subnets.c.network_id == port["network_id"]),
        one(tables.groups, tables.groups.c.id == group_id), [dict(row._mapping) for row in rules],
    )  # fmt: skip


def fill(cloud: Cloud, server_id: str, hosts: Sequence[str], count: int) -> None:
    """Write down so many copies of a server; `python filled.py` is an agent that has them on its hosts."""
    with cloud.db.read() as tx:
        model = model_of(tx, server_id)
    rows: dict[Table, list[dict[str, Any]]] = {}

    def add(table: Table, row: dict[str, Any]) -> None:
        rows.setdefault(table, []).append(row)

    homes, chance = [_project(model, number, add) for number in range(min(PROJECTS, count))], random.Random(1)
    for number in range(count):
        home, host, server = chance.choice(homes), hosts[number % len(hosts)], ids.uuid()
        port = {**model.port, **home, "id": ids.uuid(), "host_id": host, "status": "ACTIVE", "device_id": server}
        port |= {"mac_address": ":".join(["fa", "17", *(f"{number:08x}"[at : at + 2] for at in (0, 2, 4, 6))])}
        subnet_id, group_id = port.pop("subnet_id"), port.pop("group_id")
        nics = [{**nic, "port_id": port["id"]} for nic in model.server["nics"]]
        born = model.server["created_at"] - count + number
        own = {"id": server, "project_id": home["project_id"], "host": host, "nics": nics, "created_at": born}
        add(servers, {**model.server, **own})
        add(tables.ports, port)
        ip = f"10.{100 + number // 62500}.{number // 250 % 250}.{number % 250 + 3}"
        add(tables.addresses, {"subnet_id": subnet_id, "ip_address": ip, "port_id": port["id"], "position": 0})
        add(tables.port_groups, {"port_id": port["id"], "group_id": group_id})
    with cloud.db.begin() as tx:
        for table in (each for each in servers.metadata.sorted_tables if each in rows):
            for start in range(0, len(rows[table]), ROWS_AT_ONCE):
                tx.execute(insert(table), rows[table][start : start + ROWS_AT_ONCE])
    with cloud.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def _project(model: Model, number: int, add: Any) -> dict[str, Any]:
    """Add a project with a network and a group; returns what its ports have."""
    project, segment = f"{number:032x}", FIRST_SEGMENT + number
    network = {**model.network, "id": ids.uuid(), "project_id": project, "segmentation_id": segment}
    subnet = {**model.subnet, "id": ids.uuid(), "project_id": project, "network_id": network["id"], "cidr": "10.100.0.0/14"}
    subnet |= {"gateway_ip": "10.100.0.1", "allocation_pools": [{"start": "10.100.0.2", "end": "10.103.255.254"}]}
    group = {**model.group, "id": ids.uuid(), "project_id": project}
    dhcp = {**model.dhcp, "id": ids.uuid(), "project_id": project, "network_id": network["id"]}
    add(tables.networks, network)
    add(tables.segments, {"segmentation_id": segment, "network_id": network["id"]})
    add(tables.subnets, subnet)
    add(tables.groups, group)
    add(tables.default_groups, {"project_id": project, "group_id": group["id"]})
    for rule in model.rules:
        same = {"id": ids.uuid(), "project_id": project, "security_group_id": group["id"]}
        remote = {"remote_group_id": group["id"]} if rule["remote_group_id"] else {}
        add(tables.rules, {**rule, **same, **remote})
    add(tables.ports, dhcp)
    add(tables.addresses, {"subnet_id": subnet["id"], "ip_address": "10.100.0.2", "port_id": dhcp["id"], "position": 0})
    return {"project_id": project, "network_id": network["id"], "subnet_id": subnet["id"], "group_id": group["id"]}


def settle(tx: Connection, settings: Settings, hosts: Mapping[str, Mapping[str, Any]]) -> None:
    """Have fake hosts be as the rows say."""
    for row in tx.execute(select(servers.c.id, servers.c.name, servers.c.host, servers.c.nics)):
        if row.host in hosts:
            nics = tuple(NicSpec(nic["port_id"], "", tap_name(nic["port_id"])) for nic in row.nics)
            hosts[row.host]["hypervisor"].ensure(GuestSpec(row.id, row.name, 1, 64, (), nics))
    switches = {name: roles["network"] for name, roles in hosts.items() if "network" in roles}
    for id in tx.execute(select(tables.networks.c.id)).scalars().all():
        needed = hosts_store.hosts_of(tx, [id]) & switches.keys()
        for name, spec in specs.network_on(tx, settings, id, needed).items():
            switches[name].networks[id] = spec
    group_ids = tx.execute(select(tables.groups.c.id)).scalars().all()
    for id, spec in specs.group_specs(tx, group_ids).items():
        for name in groups_store.hosts_with(tx, id) & switches.keys():
            switches[name].groups[id] = spec
    found = {port.id: port for port in ports_store.ports_where(tx, tables.ports.c.host_id.in_(list(switches)))}
    for spec in specs.port_specs(tx, list(found.values())):
        switches[found[spec.id].host_id].ports[spec.id] = spec


def main(state_dir: str, database_url: str) -> None:
    """Be an agent whose fake hosts are as the rows of a database say."""
    build = drivers.build

    def filled(settings: Settings) -> drivers.Hosts:
        made, db = build(settings), Database(database_url)
        with db.read() as tx:
            settle(tx, settings, made.roles)
        db.dispose()
        return made

    drivers.build = filled
    logs.configure("warning", None)
    process.run(load(Path(state_dir) / "pileus.toml", state_dir=state_dir))


class Crowd:
    """Tells of as many agents as there are hosts, as agents do: the hosts of the benchmark themselves are in one process."""

    def __init__(self, url: str, count: int) -> None:
        self._publisher, self._stop = rabbit.Publisher(url), threading.Event()
        served = {"crowd": tuple(sorted(CONTRACTS["hypervisor"].served_by(FakeHypervisor())))}
        facts = {"version": "1", "address": "https://192.0.2.1:1", "tunnel": "192.0.2.1"}
        names = [f"crowd{number}" for number in range(count)]
        self._news = [msgspec.msgpack.encode(News("present", ids.hex_id(), name, {name: served}, facts)) for name in names]
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def close(self) -> None:
        """Tell nothing more."""
        self._stop.set()
        self._thread.join()
        self._publisher.close()

    def _tell(self) -> None:
        pause = PRESENCE_SECONDS / len(self._news)
        while not self._stop.is_set():
            for news in self._news:
                self._publisher.publish(rabbit.fanout(CONDUCTOR), "", rabbit.Message(news))
                if self._stop.wait(pause):
                    break


if __name__ == "__main__":
    main(*sys.argv[1:])
