"""Security groups and their rules as records."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Text, cast, delete, insert, select

from pileus.network.store import hosts, rows, sharing
from pileus.network.store.records import Group, Rule, record
from pileus.network.store.rows import Clause, Kind, Wanted
from pileus.network.tables import addresses, default_groups, groups, port_groups, ports, rules

GROUP = Kind("security_group", groups)
RULE = Kind("security_group_rule", rules)


def visible(project_id: str) -> Clause:
    """The groups that a project sees."""
    return (groups.c.project_id == project_id) | sharing.opened("security_group", project_id)


def visible_rules(project_id: str) -> Clause:
    """The rules that a project sees: its own and those of its groups."""
    own = select(groups.c.id).where(groups.c.project_id == project_id)
    return (rules.c.project_id == project_id) | rules.c.security_group_id.in_(own)


def list_groups(tx: Connection, visible: Clause | None, wanted: Wanted) -> list[Group]:
    """Return groups with their rules and tags."""
    return _groups(tx, rows.list_rows(tx, GROUP, visible, wanted))


def find_group(tx: Connection, id: str) -> Group | None:
    """Return one group."""
    row = rows.find_row(tx, GROUP, id)
    return _groups(tx, [row])[0] if row else None


def find_bare(tx: Connection, id: str) -> Group | None:
    """Return one group without its rules and tags."""
    row = rows.find_row(tx, GROUP, id)
    return record(Group, row) if row else None


def groups_by_id(tx: Connection, ids: Collection[str]) -> dict[str, Group]:
    """Return groups with their rules, by id."""
    found: dict[str, Group] = {}
    for chunk in rows.chunks(ids):
        every = _groups(tx, tx.execute(select(*groups.c).where(groups.c.id.in_(chunk))).all())
        found |= {group.id: group for group in every}
    return found


def _groups(tx: Connection, found: Sequence[Row[Any]]) -> list[Group]:
    ids = [row.id for row in found]
    inside: dict[str, list[Rule]] = defaultdict(list)
    defaults = _defaults(tx, ids)
    for chunk in rows.chunks(ids):
        query = select(*rules.c).where(rules.c.security_group_id.in_(chunk)).order_by(rules.c.created_at, rules.c.id)
        for row in tx.execute(query):
            inside[row.security_group_id].append(record(Rule, row, in_default=row.security_group_id in defaults))
    named = rows.tags_of(tx, ids)
    return [record(Group, row, rules=tuple(inside.get(row.id, ())), tags=named.get(row.id, ())) for row in found]


def _defaults(tx: Connection, ids: Collection[str]) -> set[str]:
    """Return which of some groups are the default one of their project."""
    query = select(default_groups.c.group_id)
    return {id for chunk in rows.chunks(ids) for id in tx.execute(query.where(default_groups.c.group_id.in_(chunk))).scalars()}


def list_rules(tx: Connection, visible: Clause | None, wanted: Wanted) -> list[Rule]:
    """Return rules."""
    return _rules(tx, rows.list_rows(tx, RULE, visible, wanted))


def _rules(tx: Connection, found: Sequence[Row[Any]]) -> list[Rule]:
    defaults = _defaults(tx, {row.security_group_id for row in found})
    return [record(Rule, row, in_default=row.security_group_id in defaults) for row in found]


def find_rule(tx: Connection, id: str) -> Rule | None:
    """Return one rule."""
    row = rows.find_row(tx, RULE, id)
    return _rules(tx, [row])[0] if row else None


def same_rules(tx: Connection, group_id: str, facts: dict[str, Any]) -> str | None:
    """Return the id of a group's rule of which these facts hold."""
    query = select(rules.c.id).where(rules.c.security_group_id == group_id)
    for name, value in facts.items():
        query = query.where(rules.c[name].is_(None) if value is None else rules.c[name] == value)
    return tx.execute(query).scalars().first()


def default_of(tx: Connection, project_id: str) -> str | None:
    """Return a project's default group."""
    return tx.execute(select(default_groups.c.group_id).where(default_groups.c.project_id == project_id)).scalar()


def is_default(tx: Connection, group_id: str) -> bool:
    """Tell whether a group is a project's default one."""
    return tx.execute(select(default_groups.c.project_id).where(default_groups.c.group_id == group_id)).first() is not None


def set_default(tx: Connection, project_id: str, group_id: str) -> None:
    """Note a project's default group.  :raises IntegrityError: when it has one."""
    tx.execute(insert(default_groups).values(project_id=project_id, group_id=group_id))


def delete_group(tx: Connection, id: str) -> None:
    """Remove a group with its rules, and those of others that name it."""
    tx.execute(delete(default_groups).where(default_groups.c.group_id == id))
    tx.execute(delete(rules).where((rules.c.security_group_id == id) | (rules.c.remote_group_id == id)))
    rows.delete_row(tx, groups, id)


def in_use(tx: Connection, id: str) -> bool:
    """Tell whether a port is in the group."""
    return tx.execute(select(port_groups.c.port_id).where(port_groups.c.group_id == id).limit(1)).first() is not None


def naming(tx: Connection, id: str) -> list[str]:
    """Return the other groups whose rules name a group."""
    query = select(rules.c.security_group_id).where(rules.c.remote_group_id == id, rules.c.security_group_id != id)
    return list(tx.execute(query.distinct()).scalars())


def is_real(tx: Connection, id: str) -> bool:
    """Tell whether a host may know the group: a bound port is in it or in one whose rule names it."""
    naming = select(rules.c.security_group_id).where(rules.c.remote_group_id == id)
    query = (
        select(ports.c.id)
        .join(port_groups, port_groups.c.port_id == ports.c.id)
        .where(ports.c.host_id != "", (port_groups.c.group_id == id) | port_groups.c.group_id.in_(naming))
    )
    return tx.execute(query.limit(1)).first() is not None


def names(tx: Connection, ids: Collection[str]) -> dict[str, str]:
    """Return the names of groups by id."""
    g = groups.c
    return {row.id: row.name for row in tx.execute(select(g.id, g.name).where(g.id.in_(ids)))} if ids else {}


def used_on(tx: Connection, host: str) -> set[str]:
    """Return the groups that a host needs: those of its ports, and those that the rules of these name."""
    bound = select(port_groups.c.group_id).distinct().join(ports, ports.c.id == port_groups.c.port_id)
    used = set(tx.execute(bound.where(hosts.on_host(host))).scalars())
    r = rules.c
    named = select(r.remote_group_id).distinct().where(r.security_group_id.in_(used), r.remote_group_id.is_not(None))
    return used | set(tx.execute(named).scalars()) if used else used


def hosts_with(tx: Connection, id: str) -> set[str]:
    """Return the hosts that need a group: a port in it, or in one whose rule names it, is there or about to come."""
    naming = select(rules.c.security_group_id).where(rules.c.remote_group_id == id)
    own = select(port_groups.c.port_id).where((port_groups.c.group_id == id) | port_groups.c.group_id.in_(naming))
    return hosts.with_ports(tx, ports.c.id.in_(own))


def member_ips(tx: Connection, group_ids: Collection[str]) -> dict[str, set[str]]:
    """Return the addresses of the ports on hosts that are in groups, with those that they may use beside, by group."""
    g, a = port_groups.c, addresses.c
    found: dict[str, set[str]] = defaultdict(set)
    here = select(g.group_id, a.ip_address).join(ports, ports.c.id == g.port_id).join(addresses, a.port_id == g.port_id)
    for group_id, ip in tx.execute(here.where(g.group_id.in_(group_ids), ports.c.host_id != "")):
        found[group_id].add(ip)
    more = select(g.group_id, ports.c.allowed_address_pairs).join(ports, ports.c.id == g.port_id)
    paired = cast(ports.c.allowed_address_pairs, Text) != "[]"
    for group_id, pairs in tx.execute(more.where(g.group_id.in_(group_ids), ports.c.host_id != "", paired)):
        found[group_id].update(pair["ip_address"] for pair in pairs)
    return found


def with_members(group_ids: Collection[str]) -> Clause:
    """Return the condition that a port is in one of some groups."""
    return ports.c.id.in_(select(port_groups.c.port_id).distinct().where(port_groups.c.group_id.in_(group_ids)))
