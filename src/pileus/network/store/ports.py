"""Ports as records: a query a table, put together here."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, delete, exists, insert, select, update

from pileus.network.store import rows, trunks
from pileus.network.store.records import Fixed, Port, record
from pileus.network.store.rows import Clause, Kind, Wanted
from pileus.network.tables import addresses, networks, port_groups, ports

AUTO_DELETED = ("network:dhcp",)
NAMED_MOST = 20  # so many ports are named in a further question; of more, the database is asked for the same ones again

Parts = tuple[dict[str, list[Fixed]], dict[str, list[str]]]
"""The addresses and the groups of ports, by port."""


def _fixed_ips(values: list[str]) -> Clause:
    """`fixed_ips=ip_address=10.0.0.3`, `subnet_id=...`: addresses and subnets, of each kind one must match."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for value in values:
        name, _, text = value.partition("=")
        wanted[name].append(text)
    conditions: list[Clause] = [addresses.c.port_id == ports.c.id]
    if subnet_ids := wanted.get("subnet_id"):
        conditions.append(addresses.c.subnet_id.in_(subnet_ids))
    if ips := wanted.get("ip_address"):
        conditions.append(addresses.c.ip_address.in_(ips))
    for part in wanted.get("ip_address_substr", ()):
        conditions.append(addresses.c.ip_address.contains(part, autoescape=True))
    return exists().where(*conditions)


def _security_groups(values: list[str]) -> Clause:
    return exists().where(port_groups.c.port_id == ports.c.id, port_groups.c.group_id.in_(values))


PORT = Kind(
    "port", ports,
    {"binding:host_id": "host_id", "binding:vnic_type": "vnic_type"},
    {
        "fixed_ips": _fixed_ips,
        "security_groups": _security_groups,
        "ip_address": lambda values: _fixed_ips([f"ip_address={value}" for value in values]),
    },
)  # fmt: skip


def visible_ports(project_id: str) -> Clause:
    """The ports that a project sees: its own and those in its networks."""
    own = select(networks.c.id).where(networks.c.project_id == project_id)
    return (ports.c.project_id == project_id) | ports.c.network_id.in_(own)


def list_ports(tx: Connection, visible: Clause | None, wanted: Wanted) -> list[Port]:
    """Return ports with addresses, groups and tags."""
    found = rows.list_rows(tx, PORT, visible, wanted)
    return assemble(tx, found, rows.tags_of(tx, [row.id for row in found]))


def with_details(tx: Connection, found: list[Port]) -> list[Port]:
    """Return ports with what their networks and trunks add to them."""
    carriers = trunks.details_of(tx, [port.id for port in found])
    policies = network_policies(tx, {port.network_id for port in found})
    if not carriers and not policies:
        return found
    return [
        msgspec.structs.replace(port, trunk=carriers.get(port.id), network_policy_id=policies.get(port.network_id))
        for port in found
    ]


def network_policies(tx: Connection, network_ids: Collection[str]) -> dict[str, str]:
    """Return the policies of quality of service that networks have, by network."""
    n = networks.c
    query = select(n.id, n.qos_policy_id).where(n.qos_policy_id.is_not(None))
    return {row.id: row.qos_policy_id for chunk in rows.chunks(network_ids) for row in tx.execute(query.where(n.id.in_(chunk)))}


def find_port(tx: Connection, id: str) -> Port | None:
    """Return one port."""
    row = rows.find_row(tx, PORT, id)
    return assemble(tx, [row], rows.tags_of(tx, [id]))[0] if row else None


def ports_where(tx: Connection, *conditions: Clause) -> list[Port]:
    """Return the ports for which conditions hold, oldest first, without tags."""
    found = tx.execute(select(*ports.c).where(*conditions).order_by(ports.c.created_at, ports.c.id)).all()
    if len(found) <= NAMED_MOST:
        return assemble(tx, found, {})
    same = select(ports.c.id).where(*conditions)
    return _put_together(found, _parts(tx, addresses.c.port_id.in_(same), port_groups.c.port_id.in_(same)), {})


def ports_by_id(tx: Connection, ids: Iterable[str]) -> dict[str, Port]:
    """Return ports by id."""
    found: dict[str, Port] = {}
    for chunk in rows.chunks(ids):
        query = select(*ports.c).where(ports.c.id.in_(chunk)).order_by(ports.c.created_at, ports.c.id)
        found |= {port.id: port for port in assemble(tx, tx.execute(query).all(), {})}
    return found


def ports_of_devices(tx: Connection, device_ids: Iterable[str]) -> list[Port]:
    """Return the ports of devices, oldest first."""
    return [port for chunk in rows.chunks(device_ids) for port in ports_where(tx, ports.c.device_id.in_(chunk))]


def assemble(tx: Connection, found: Sequence[Row[Any]], named: Any) -> list[Port]:
    """Put records together out of the ports' rows and the other tables."""
    parts: Parts = (defaultdict(list), defaultdict(list))
    for chunk in rows.chunks(row.id for row in found):
        ips, groups = _parts(tx, addresses.c.port_id.in_(chunk), port_groups.c.port_id.in_(chunk))
        parts[0].update(ips)
        parts[1].update(groups)
    return _put_together(found, parts, named)


def _parts(tx: Connection, with_addresses: Clause, with_groups: Clause) -> Parts:
    """Return the addresses and the groups of ports."""
    ips: dict[str, list[Fixed]] = defaultdict(list)
    groups: dict[str, list[str]] = defaultdict(list)
    a, g = addresses.c, port_groups.c
    query = select(a.port_id, a.subnet_id, a.ip_address).where(with_addresses).order_by(a.position)
    for port_id, subnet_id, ip in tx.execute(query):
        ips[port_id].append(Fixed(subnet_id, ip))
    for port_id, group_id in tx.execute(select(g.port_id, g.group_id).where(with_groups).order_by(g.group_id)):
        groups[port_id].append(group_id)
    return ips, groups


def _put_together(found: Sequence[Row[Any]], parts: Parts, named: Any) -> list[Port]:
    ips, groups = parts
    return [
        record(
            Port,
            row,
            fixed_ips=tuple(ips.get(row.id, ())),
            security_groups=tuple(groups.get(row.id, ())),
            tags=named.get(row.id, ()),
        )
        for row in found
    ]


def used_addresses(tx: Connection, subnet_id: str, among: Collection[str] | None = None) -> set[str]:
    """Return the addresses of a subnet that are taken, of all or among some."""
    query = select(addresses.c.ip_address).where(addresses.c.subnet_id == subnet_id)
    if among is not None:
        query = query.where(addresses.c.ip_address.in_(list(among)))
    return set(tx.execute(query).scalars())


def set_addresses(tx: Connection, port_id: str, fixed: Sequence[Fixed], fresh: bool = False) -> None:
    """Give a port exactly these addresses; fresh: it had none."""
    if not fresh:
        tx.execute(delete(addresses).where(addresses.c.port_id == port_id))
    if fixed:
        values = [
            {"subnet_id": ip.subnet_id, "ip_address": ip.ip_address, "port_id": port_id, "position": place}
            for place, ip in enumerate(fixed)
        ]
        tx.execute(insert(addresses), values)


def set_groups(tx: Connection, port_id: str, group_ids: Sequence[str], fresh: bool = False) -> None:
    """Put a port into exactly these groups; fresh: it was in none."""
    if not fresh:
        tx.execute(delete(port_groups).where(port_groups.c.port_id == port_id))
    if group_ids:
        tx.execute(insert(port_groups), [{"port_id": port_id, "group_id": id} for id in group_ids])


def delete_port(tx: Connection, port_id: str) -> None:
    """Remove a port, its addresses and its memberships."""
    tx.execute(delete(addresses).where(addresses.c.port_id == port_id))
    tx.execute(delete(port_groups).where(port_groups.c.port_id == port_id))
    rows.delete_row(tx, ports, port_id)


def set_status(tx: Connection, port_ids: Collection[str], status: str) -> int:
    """Note the status of ports; returns how many had another."""
    if not port_ids:
        return 0
    query = update(ports).where(ports.c.id.in_(list(port_ids)), ports.c.status != status)
    return tx.execute(query.values(status=status)).rowcount


def mac_taken(tx: Connection, network_id: str, mac: str) -> bool:
    """Tell whether a port of the network has a MAC address."""
    query = select(ports.c.id).where(ports.c.network_id == network_id, ports.c.mac_address == mac)
    return tx.execute(query).first() is not None


def port_of_address(tx: Connection, network_ids: Collection[str], ip: str) -> Port | None:
    """Return the port that has an address in one of the networks."""
    query = select(addresses.c.port_id).join(ports, ports.c.id == addresses.c.port_id)
    query = query.where(addresses.c.ip_address == ip, ports.c.network_id.in_(list(network_ids)))
    found = tx.execute(query).scalars().first()
    return find_port(tx, found) if found else None


def in_subnet(subnet_id: str) -> Clause:
    """Return the condition that a port has an address in a subnet."""
    return ports.c.id.in_(select(addresses.c.port_id).where(addresses.c.subnet_id == subnet_id))


def has_neighbours(tx: Connection, port: Port) -> bool:
    """Tell whether its host has another active port in its network, and one in each of its groups."""
    if not port.host_id:
        return False
    active = (ports.c.host_id == port.host_id) & (ports.c.status == "ACTIVE") & (ports.c.id != port.id)
    network = select(exists().where(active & (ports.c.network_id == port.network_id)))
    if not tx.execute(network).scalar():
        return False
    wanted = set(port.security_groups)
    held = select(port_groups.c.group_id).distinct().join(ports, ports.c.id == port_groups.c.port_id)
    held = held.where(port_groups.c.group_id.in_(wanted), active)
    return not wanted or set(tx.execute(held).scalars()) == wanted


def bound_in(tx: Connection, network_id: str) -> list[str]:
    """Return the ports of a network that are on a host."""
    return list(tx.execute(select(ports.c.id).where(ports.c.network_id == network_id, ports.c.host_id != "")).scalars())
