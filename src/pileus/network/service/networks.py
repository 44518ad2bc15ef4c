"""Use cases of networks."""

from typing import Any

import msgspec
from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.network import tables
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, qos
from pileus.network.service.access import Attributes, target_in, target_of
from pileus.network.store import networks as store
from pileus.network.store import ports as ports_store
from pileus.network.store import qos as qos_store
from pileus.network.store import routers as routers_store
from pileus.network.store import rows, sharing, topologies
from pileus.network.store.records import Network
from pileus.network.store.rows import Wanted
from pileus.network.tasks import sync

TUNNEL_OVERHEAD_BYTES = 50
MTU_MIN = 68
TYPES = ("vxlan", "flat")


def list_networks(ctx: Context, wanted: Wanted) -> list[Network]:
    """Return the networks that the caller sees."""
    with ctx.cloud.db.read() as tx:
        visible = access.visible(ctx, "network", store.visible_networks)
        return store.list_networks(tx, *access.by_sharing(ctx, wanted, visible, sharing.opened("network", ctx.project_id)))


def show(ctx: Context, id: str) -> Network:
    """Return one network.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return access.find_network(ctx, tx, id)


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[Network]:
    """Make networks, all or none.

    :param many: the attributes of each, and the names of those that differ from their default.
    :raises OverQuota: when the project has no room for them.
    """
    owned = []
    for attributes, given in many:
        project_id = access.project_for(ctx, attributes)
        ctx.require("create_network", target_of(project_id))
        access.guard(ctx, "create_network", given, target_of(project_id))
        owned.append((project_id, attributes))

    def work(tx: Connection) -> list[Network]:
        for project_id in sorted({project_id for project_id, _ in owned}):
            access.take(tx, ctx.cloud, project_id, network=sum(1 for other, _ in owned if other == project_id))
        for _, attributes in owned:
            qos.check_use(tx, ctx, attributes.get("qos_policy_id"))
        return [make(tx, ctx.cloud, project_id, attributes) for project_id, attributes in owned]

    return access.transact(ctx.cloud, work)


def make(tx: Connection, cloud: Cloud, project_id: str, attributes: Attributes) -> Network:
    """Write a network down.  :raises BadRequest: when its attributes do not fit one another."""
    id = ids.uuid()
    kind, physical, segment = _provider(tx, attributes)
    if segment is None and kind == "vxlan":
        segment = store.next_segment(tx)
    overhead = TUNNEL_OVERHEAD_BYTES if kind == "vxlan" else 0
    most = cloud.settings.network_mtu - overhead
    mtu = attributes.get("mtu") or most
    if not 0 < mtu <= most:
        raise invalid(f"Requested MTU is too big, maximum is {most}" if mtu > most else "The MTU is negative")
    if attributes.get("is_default"):
        store.clear_default(tx)
    row = {
        "id": id, "project_id": project_id, "name": attributes["name"], "description": attributes["description"],
        "admin_state_up": attributes["admin_state_up"], "shared": attributes["shared"],
        "external": attributes["router:external"], "is_default": bool(attributes["is_default"]), "mtu": mtu,
        "port_security_enabled": attributes["port_security_enabled"], "dns_domain": attributes["dns_domain"],
        "network_type": kind, "physical_network": physical, "segmentation_id": segment,
        "availability_zone_hints": attributes["availability_zone_hints"],
        "qos_policy_id": attributes.get("qos_policy_id") or qos_store.default_of(tx, project_id),
    }  # fmt: skip
    grants = tuple((action, sharing.ALL) for name, action in OPEN.items() if row[name])
    network = Network(**rows.insert_row(tx, tables.networks, cloud.clock.now(), row), grants=grants)
    for action, target in grants:
        sharing.grant(tx, cloud.clock.now(), "network", id, project_id, target, action)
    if kind == "vxlan" and segment is not None:
        store.take_segment(tx, segment, id)
    if named := attributes.get("tags"):
        rows.set_tags(tx, id, named)
        network = msgspec.structs.replace(network, tags=tuple(sorted(set(named))))
    return network


def _provider(tx: Connection, attributes: Attributes) -> tuple[str, str | None, int | None]:
    kind = attributes.get("provider:network_type") or ("flat" if attributes.get("provider:physical_network") else "vxlan")
    physical, segment = attributes.get("provider:physical_network"), attributes.get("provider:segmentation_id")
    if kind not in TYPES:
        raise invalid(f"network_type value '{kind}' not supported")
    if kind == "flat":
        if not physical:
            raise invalid("physical_network required for flat provider network")
        if segment is not None:
            raise invalid("segmentation_id prohibited for flat provider network")
        taken = Wanted((("provider:physical_network", [physical]), ("provider:network_type", ["flat"])))
        if store.list_networks(tx, None, taken):
            raise access.in_use("FlatNetworkInUse", f"Unable to create the flat network. Physical network {physical} is in use.")
    elif physical:
        raise invalid("physical_network prohibited for vxlan provider network")
    elif segment is not None and not store.FIRST_SEGMENT <= segment <= store.LAST_SEGMENT:
        raise invalid(f"segmentation_id out of range ({store.FIRST_SEGMENT} through {store.LAST_SEGMENT})")
    elif segment is not None:
        same = Wanted((("provider:segmentation_id", [str(segment)]), ("provider:network_type", ["vxlan"])))
        if store.list_networks(tx, None, same):
            raise access.in_use("TunnelIdInUse", f"Unable to create the network. The tunnel ID {segment} is in use.")
    return kind, physical, segment


COLUMNS = {"router:external": "external"}
OPEN = {"shared": sharing.SHARED, "external": sharing.EXTERNAL}
"""The flags that open a network to all, and what they let all do."""


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> Network:
    """Change a network's attributes; those not named stay."""

    def work(tx: Connection) -> Network:
        network = store.find_network(tx, id)
        if network is None:
            raise missing("network", id)
        target = target_in(ctx, network.project_id, network)
        access.require(ctx, "network", "update", id, target)
        access.guard(ctx, "update_network", attributes, target)
        access.check_revision(revision, network.revision_number)
        values: dict[str, Any] = {COLUMNS.get(name, name): value for name, value in attributes.items()}
        _check_change(tx, ctx, network, values)
        qos.check_use(tx, ctx, values.get("qos_policy_id"))
        if values:
            _open(tx, ctx, network, values)
            rows.update_row(tx, tables.networks, ctx.cloud.clock.now(), id, values)
            sync.touch_network(tx, ctx.cloud, id)
            if "qos_policy_id" in values:
                sync.touch_ports(tx, ctx.cloud, id)
        found = store.find_network(tx, id)
        assert found is not None
        return found

    return access.transact(ctx.cloud, work)


def _open(tx: Connection, ctx: Context, network: Network, values: dict[str, Any]) -> None:
    """Keep the policies that open a network to all equal to its flags."""
    for name, action in OPEN.items():
        if values.get(name) is True:
            sharing.grant(tx, ctx.cloud.clock.now(), "network", network.id, network.project_id, sharing.ALL, action)
        elif values.get(name) is False:
            for target in {
                target for known, target in network.grants if known == action and (name == "external" or target == sharing.ALL)
            }:
                sharing.revoke(tx, network.id, target, action)


def _check_change(tx: Connection, ctx: Context, network: Network, values: dict[str, Any]) -> None:
    closed = network.shared and values.get("shared") is False
    if closed and sharing.foreign_ports(tx, network.id, network.project_id, sharing.ALL, _guests_by_name(network)):
        text = f"Unable to reconfigure sharing settings for network {network.id}. Multiple projects are using it."
        raise access.in_use("InvalidSharedSetting", text)
    if network.external and values.get("external") is False:
        legs = ("network:router_gateway", "network:floatingip")
        here = ports_store.ports_where(tx, tables.ports.c.network_id == network.id, tables.ports.c.device_owner.in_(legs))
        if here:
            text = (
                f"External network {network.id} cannot be updated to be made non-external, since it has existing gateway ports."
            )
            raise access.in_use("ExternalNetworkInUse", text)
    if values.get("is_default"):
        store.clear_default(tx, network.id)
    if (mtu := values.get("mtu")) is not None:
        most = ctx.cloud.settings.network_mtu - (TUNNEL_OVERHEAD_BYTES if network.network_type == "vxlan" else 0)
        if not 0 < mtu <= most:
            raise invalid(f"Requested MTU is too big, maximum is {most}" if mtu > most else "The MTU is not above 0")
        least = max((1280 if version == 6 else MTU_MIN for _, version in network.subnets), default=0)
        if mtu < least:
            raise conflict("NetworkMTUSubnetConflict", f"Requested MTU {mtu} is below {least}, which the subnets need.")


def _guests_by_name(network: Network) -> list[str]:
    """Return the projects that a network is shared with each for itself."""
    return [target for action, target in network.grants if action == sharing.SHARED and target != sharing.ALL]


def give_back_idle(tx: Connection, network_id: str) -> None:
    """Remove the floating IPs of an external network that lead nowhere, whosever they are: they do not keep it."""
    f = tables.floating_ips.c
    for fip in routers_store.floating_where(tx, f.floating_network_id == network_id, f.port_id.is_(None), f.router_id.is_(None)):
        rows.delete_row(tx, tables.floating_ips, fip.id)
        ports_store.delete_port(tx, fip.floating_port_id)


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a network with its subnets, its DHCP and the floating IPs that lead nowhere.

    :raises Conflict: when other ports are in it.
    """

    def work(tx: Connection) -> None:
        network = store.find_network(tx, id)
        if network is None:
            raise missing("network", id)
        access.require(ctx, "network", "delete", id, target_in(ctx, network.project_id, network))
        access.check_revision(revision, network.revision_number)
        discard(tx, ctx, id)

    access.transact(ctx.cloud, work)


def discard(tx: Connection, ctx: Context, id: str) -> None:
    """Do so in an open transaction.  :raises Conflict: when ports are in it."""
    real = store.is_real(tx, id)
    give_back_idle(tx, id)
    for port in ports_store.ports_where(tx, tables.ports.c.network_id == id):
        if port.device_owner not in ports_store.AUTO_DELETED:
            text = f"Unable to complete operation on network {id}. There are one or more ports still in use on the network."
            raise access.in_use("NetworkInUse", text)
        ports_store.delete_port(tx, port.id)
    topologies.forget_part(tx, network_id=id)
    store.delete_network(tx, id)
    if real:
        sync.touch(tx, ctx.cloud, "network", id)
