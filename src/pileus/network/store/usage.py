"""Which projects use a thing that is open to them."""

from sqlalchemy import Connection, select

from pileus.network.store import sharing
from pileus.network.store.sharing import EXTERNAL
from pileus.network.tables import (
    address_scopes,
    floating_ips,
    networks,
    port_groups,
    ports,
    routers,
    rules,
    subnet_pools,
    subnets,
)


def projects_using(tx: Connection, object_type: str, id: str, action: str) -> set[str]:
    """Return the projects that use a network, pool, scope, group or policy."""
    queries = {
        "network": [select(ports.c.project_id).where(ports.c.network_id == id)],
        "subnetpool": [select(subnets.c.project_id).where(subnets.c.subnetpool_id == id)],
        "address_scope": [select(subnet_pools.c.project_id).where(subnet_pools.c.address_scope_id == id)],
        "security_group": [
            select(ports.c.project_id).join(port_groups, port_groups.c.port_id == ports.c.id).where(port_groups.c.group_id == id),
            select(rules.c.project_id).where(rules.c.remote_group_id == id),
        ],
        "qos_policy": [
            select(table.c.project_id).where(table.c.qos_policy_id == id) for table in (networks, ports, routers, floating_ips)
        ],
        "address_group": [select(rules.c.project_id).where(rules.c.remote_address_group_id == id)],
    }[object_type]  # fmt: skip
    if action == EXTERNAL:
        leg = select(ports.c.device_id).where(ports.c.network_id == id, ports.c.device_owner == "network:router_gateway")
        queries = [
            select(routers.c.project_id).where(routers.c.id.in_(leg)),
            select(floating_ips.c.project_id).where(floating_ips.c.floating_network_id == id),
        ]
    return {project for query in queries for project in tx.execute(query.distinct()).scalars()}


def reaches_scope(tx: Connection, pool_id: str, target: str) -> bool:
    """Tell whether a project (`*`: all) may use the address scope of a pool, if that has one."""
    query = select(address_scopes.c.id, address_scopes.c.project_id)
    query = query.join(subnet_pools, subnet_pools.c.address_scope_id == address_scopes.c.id)
    scope = tx.execute(query.where(subnet_pools.c.id == pool_id)).first()
    return scope is None or scope.project_id == target or sharing.is_open(tx, "address_scope", scope.id, target)
