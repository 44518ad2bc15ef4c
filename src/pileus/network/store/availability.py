"""How many addresses of networks are taken."""

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, func, select

from pileus.network import addressing
from pileus.network.store.rows import read_value
from pileus.network.tables import addresses, networks, subnets


def availability(tx: Connection, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return for networks how many addresses their pools hold and how many of them are taken, by subnet, too."""
    query = select(networks.c.id, networks.c.name, networks.c.project_id).order_by(networks.c.created_at, networks.c.id)
    named = {"network_id": "id", "id": "id", "network_name": "name", "tenant_id": "project_id", "project_id": "project_id"}
    for name, values in filters.items():
        if name in named:
            query = query.where(networks.c[named[name]].in_(values))
    versions = {int(read_value(subnets.c.ip_version, "ip_version", text)) for text in filters.get("ip_version", ())}
    found = tx.execute(query).all()
    ids = {row.id for row in found}
    used: dict[str, int] = {
        row[0]: row[1] for row in tx.execute(select(addresses.c.subnet_id, func.count()).group_by(addresses.c.subnet_id))
    }
    inside: dict[str, list[dict[str, Any]]] = defaultdict(list)
    s = subnets.c
    columns = (s.id, s.name, s.network_id, s.cidr, s.ip_version, s.allocation_pools)
    for row in tx.execute(select(*columns).order_by(s.created_at, s.id)):
        if row.network_id not in ids or (versions and row.ip_version not in versions):
            continue
        pools = [(int(addressing.address(first)), int(addressing.address(last))) for first, last in row.allocation_pools]
        inside[row.network_id].append({
            "subnet_id": row.id, "subnet_name": row.name, "cidr": row.cidr, "ip_version": row.ip_version,
            "total_ips": addressing.size(pools), "used_ips": used.get(row.id, 0),
        })  # fmt: skip
    return [
        {
            "network_id": row.id, "network_name": row.name, "tenant_id": row.project_id, "project_id": row.project_id,
            "total_ips": sum(each["total_ips"] for each in inside[row.id]),
            "used_ips": sum(each["used_ips"] for each in inside[row.id]), "subnet_ip_availability": inside[row.id],
        }
        for row in found
    ]  # fmt: skip
