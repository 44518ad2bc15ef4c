"""Use cases of ports."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.network import tables
from pileus.network.errors import bad_attribute, conflict, invalid, missing
from pileus.network.service import access, allocation, carried, forwarded, groups, qos
from pileus.network.service.access import Attributes, target_in
from pileus.network.store import groups as groups_store
from pileus.network.store import networks as networks_store
from pileus.network.store import ports as store
from pileus.network.store import routers as routers_store
from pileus.network.store import rows
from pileus.network.store.records import Network, Port
from pileus.network.store.rows import Wanted
from pileus.network.tasks import sync

OWNED_BY_ROUTERS = (routers_store.INTERFACE, routers_store.GATEWAY, routers_store.FLOATING)
COLUMNS = {"binding:host_id": "host_id", "binding:vnic_type": "vnic_type", "binding:profile": "profile"}
ADDRESS_PAIRS_MAX = 10


def list_ports(ctx: Context, wanted: Wanted) -> list[Port]:
    """Return the ports that the caller sees."""
    with ctx.cloud.db.read() as tx:
        found = store.list_ports(tx, access.visible(ctx, "port", store.visible_ports), wanted)
        return store.with_details(tx, found)


def show(ctx: Context, id: str) -> Port:
    """Return one port.  :raises NotFound: when the caller does not see it."""
    with ctx.cloud.db.read() as tx:
        return store.with_details(tx, [find(ctx, tx, id, "get")[0]])[0]


def find(ctx: Context, tx: Connection, id: str, action: str) -> tuple[Port, Network]:
    """Return a port and its network, if the caller may do something to it."""
    port = store.find_port(tx, id)
    network = networks_store.find_network(tx, port.network_id) if port else None
    if port is None or network is None:
        raise missing("port", id)
    access.require(ctx, "port", action, id, target_in(ctx, port.project_id, network))
    return port, network


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[Port]:
    """Make ports, all or none.

    :param many: the attributes of each, and the names of those that differ from their default.
    """
    owned = [(access.project_for(ctx, attributes), attributes, given) for attributes, given in many]

    def work(tx: Connection) -> list[Port]:
        seen: dict[str, Network] = {}
        made = []
        for project_id, attributes, given in owned:
            network_id = attributes["network_id"]
            network = seen.get(network_id) or access.find_network(ctx, tx, network_id)
            seen[network_id] = network
            _allowed(ctx, "create", attributes, given, target_in(ctx, project_id, network))
            made.append(make(tx, ctx, project_id, network, attributes))
        return made

    return access.transact(ctx.cloud, work)


def _allowed(ctx: Context, verb: str, attributes: Attributes, given: frozenset[str], target: dict[str, Any]) -> None:
    """Check the rules of a create or update, those of single attributes too."""
    target = {**target, "network_device": str(attributes.get("device_owner") or "").startswith("network:")}
    if verb == "create":
        ctx.require("create_port", target)
    names = set(given)
    for fixed in attributes.get("fixed_ips") or ():
        names |= {f"fixed_ips:{part}" for part in ("ip_address", "subnet_id") if part in fixed}
    access.guard(ctx, f"{verb}_port", sorted(names), target)


def make(tx: Connection, ctx: Context, project_id: str, network: Network, attributes: Attributes) -> Port:
    """Write a port down with its addresses and groups.

    :raises OverQuota: when the project has no room.
    :raises Conflict: when its MAC or an address is taken, or none is free.
    """
    access.take(tx, ctx.cloud, project_id, port=1)
    owner = attributes["device_owner"]
    mac = allocation.choose_mac(tx, network.id, attributes.get("mac_address"))
    subnets = networks_store.subnets_of(tx, [network.id])
    wanted = attributes.get("fixed_ips")
    if wanted is None:
        fixed = allocation.choose(tx, network, subnets, mac, owner)
    else:
        fixed = allocation.resolve(tx, network, subnets, wanted, mac, owner)
    secure = attributes.get("port_security_enabled")
    secure = network.port_security_enabled if secure is None else secure
    if owner.startswith("network:"):
        secure = bool(attributes.get("port_security_enabled", False))
    group_ids = _groups(tx, ctx, project_id, attributes.get("security_groups"), secure, owner)
    pairs = _pairs(attributes["allowed_address_pairs"], mac, secure)
    host = attributes["binding:host_id"] or ""
    qos.check_use(tx, ctx, attributes["qos_policy_id"])
    values = {
        "name": attributes["name"], "description": attributes["description"], "admin_state_up": attributes["admin_state_up"],
        "device_id": attributes["device_id"], "device_owner": owner, "port_security_enabled": secure,
        "allowed_address_pairs": pairs, "extra_dhcp_opts": _options([], attributes["extra_dhcp_opts"] or []),
        "dns_name": attributes["dns_name"], "host_id": host, "vnic_type": attributes["binding:vnic_type"],
        "profile": attributes["binding:profile"] or {}, "status": "BUILD" if host else "DOWN",
        "qos_policy_id": attributes["qos_policy_id"], "dns_domain": attributes["dns_domain"],
        "propagate_uplink_status": attributes["propagate_uplink_status"],
    }  # fmt: skip
    port = allocation.write_port(tx, ctx.cloud, network, project_id, fixed, mac, group_ids, **values)
    if named := attributes.get("tags"):
        rows.set_tags(tx, port.id, named)
        port = msgspec.structs.replace(port, tags=tuple(sorted(set(named))))
    if host:
        sync.touch_with(tx, ctx.cloud, port)
    return port


def _groups(
    tx: Connection, ctx: Context, project_id: str, wanted: Sequence[str] | None, secure: bool, owner: str
) -> list[str]:  # fmt: skip
    """Return the groups of a port: those asked for, or the project's default one."""
    if wanted is None:
        if not secure or owner.startswith("network:"):
            return []
        return [groups.ensure_default(tx, ctx.cloud, project_id)]
    if wanted and not secure:
        text = "Port security must be enabled and port must have an IP address in order to use security groups."
        raise invalid(text, "PortSecurityAndIPRequiredForSecurityGroups")
    found = groups_store.groups_by_id(tx, set(wanted)) if wanted else {}
    if len({group.stateful for group in found.values()}) > 1:
        raise conflict("SecurityGroupConflict", "Cannot apply both stateful and stateless security groups on the same port.")
    for id in wanted:
        if id not in found:
            raise missing("security_group", id)
        if found[id].project_id != ctx.project_id:
            groups.find_seen(ctx, tx, id)
    return sorted(set(wanted))


def _pairs(wanted: Sequence[dict[str, str]] | None, mac: str, secure: bool) -> list[dict[str, str]]:
    """Return a port's further addresses, each with a MAC."""
    if not wanted:
        return []
    if not secure:
        text = "Port Security must be enabled in order to have allowed address pairs on a port."
        raise conflict("AddressPairAndPortSecurityRequired", text)
    if len(wanted) > ADDRESS_PAIRS_MAX:
        raise invalid(
            f"The number of allowed address pair exceeds the maximum {ADDRESS_PAIRS_MAX}.", "AllowedAddressPairExhausted"
        )
    pairs = [{"ip_address": pair["ip_address"], "mac_address": pair.get("mac_address") or mac} for pair in wanted]
    if any(pair in pairs[:place] for place, pair in enumerate(pairs)):
        raise invalid("Request contains duplicate address pair", "DuplicateAddressPairInRequest")
    return pairs


def _options(before: Sequence[dict[str, Any]], wanted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a port's DHCP options after a change: one without a value is removed, others replace or are added."""
    found = {(option["opt_name"], option["ip_version"]): option for option in before}
    for option in wanted:
        version = int(option.get("ip_version") or 4)
        key = (option["opt_name"], version)
        if option.get("opt_value") is None:
            found.pop(key, None)
        else:
            found[key] = {"opt_name": option["opt_name"], "opt_value": str(option["opt_value"]), "ip_version": version}
    return list(found.values())


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> Port:
    """Change a port's attributes; those not named stay."""

    def work(tx: Connection) -> Port:
        port, network = find(ctx, tx, id, "update")
        names = frozenset(name for name, value in attributes.items() if name != "device_owner" or value != port.device_owner)
        _allowed(ctx, "update", attributes, names, target_in(ctx, port.project_id, network))
        access.check_revision(revision, port.revision_number)
        values: dict[str, Any] = {COLUMNS.get(name, name): value for name, value in attributes.items()}
        _merge(tx, ctx, port, network, values)
        if attributes and not values:
            rows.update_row(tx, tables.ports, ctx.cloud.clock.now(), id, {})
        found = write_change(tx, ctx.cloud, port, values)
        for group_id in set(port.security_groups) - set(found.security_groups):
            sync.touch_group(tx, ctx.cloud, group_id, port.host_id)
        return found

    return access.transact(ctx.cloud, work)


def write_change(tx: Connection, cloud: Cloud, port: Port, values: dict[str, Any]) -> Port:
    """Write a change of a port, and have its host and its router follow."""
    if values:
        rows.update_row(tx, tables.ports, cloud.clock.now(), port.id, values)
    if values.get("host_id", port.host_id) != port.host_id:
        carried.follow(tx, cloud, port.id, values["host_id"])
    found = store.find_port(tx, port.id)
    assert found is not None
    if port.host_id or found.host_id:
        left = port.host_id if port.host_id != found.host_id else ""
        sync.touch(tx, cloud, "port", port.id, left)
        sync.touch_network(tx, cloud, port.network_id, left)
        for group_id in port.security_groups if left else ():
            sync.touch_group(tx, cloud, group_id, left)
        stays = (port.host_id, port.fixed_ips, port.allowed_address_pairs)
        stays_so = stays == (found.host_id, found.fixed_ips, found.allowed_address_pairs)
        for group_id in set(found.security_groups) - set(port.security_groups if stays_so else ()):
            sync.touch_group(tx, cloud, group_id)  # other hosts know its members
    if port.device_owner in (routers_store.INTERFACE, routers_store.GATEWAY):
        sync.touch(tx, cloud, "router", port.device_id)
    return found


def _merge(tx: Connection, ctx: Context, port: Port, network: Network, values: dict[str, Any]) -> None:
    """Turn what an update asks for into columns, and write addresses and groups."""
    if "mac_address" in values and (mac := values["mac_address"] or ids.mac()) != port.mac_address:
        values["mac_address"] = mac
        if port.host_id:
            text = f"Unable to complete operation on port {port.id}, "
            text += f"port is already bound, port type: bridge, old_mac {port.mac_address}, new_mac {mac}."
            raise conflict("PortBound", text)
        allocation.choose_mac(tx, network.id, mac)
    mac = values.get("mac_address") or port.mac_address
    if "fixed_ips" in values:
        wanted = values.pop("fixed_ips") or []
        subnets = networks_store.subnets_of(tx, [network.id])
        fixed = allocation.resolve(tx, network, subnets, wanted, mac, port.device_owner, port.fixed_ips)
        _keep_floating(tx, port, [f.ip_address for f in fixed])
        store.set_addresses(tx, port.id, fixed)
    secure = values.get("port_security_enabled", port.port_security_enabled)
    if "security_groups" in values:
        store.set_groups(tx, port.id, _groups(tx, ctx, port.project_id, values.pop("security_groups") or [], secure, ""))
    elif not secure and port.security_groups:
        text = f"Port {port.id} has security groups: remove them first, or port security must stay."
        raise conflict("PortSecurityPortHasSecurityGroup", text)
    if "allowed_address_pairs" in values:
        values["allowed_address_pairs"] = _pairs(values["allowed_address_pairs"], mac, secure)
    elif not secure and port.allowed_address_pairs:
        text = "Port Security must be enabled in order to have allowed address pairs on a port."
        raise conflict("AddressPairAndPortSecurityRequired", text)
    if "extra_dhcp_opts" in values:
        values["extra_dhcp_opts"] = _options(port.extra_dhcp_opts, values["extra_dhcp_opts"] or [])
    if "host_id" in values:
        values["host_id"] = values["host_id"] or ""
        if values["host_id"] != port.host_id:
            values["status"] = "BUILD" if values["host_id"] else "DOWN"
    qos.check_use(tx, ctx, values.get("qos_policy_id"))
    if "profile" in values:
        values["profile"] = values["profile"] or {}


def _keep_floating(tx: Connection, port: Port, ips: Sequence[str]) -> None:
    for fip in routers_store.floating_where(tx, tables.floating_ips.c.port_id == port.id):
        if fip.fixed_ip_address not in ips:
            raise bad_attribute("fixed_ips", f"the address {fip.fixed_ip_address} has the floating IP {fip.floating_ip_address}")
    if gone := forwarded.addresses(tx, port.id) - set(ips):
        raise bad_attribute("fixed_ips", f"ports are forwarded to the address {min(gone)}")


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a port; floating IPs that lead to it lead nowhere then.

    :raises Conflict: when it belongs to a router or a floating IP.
    """

    def work(tx: Connection) -> None:
        port, _ = find(ctx, tx, id, "delete")
        access.check_revision(revision, port.revision_number)
        if port.device_owner in OWNED_BY_ROUTERS:
            reason = f"has device owner {port.device_owner}"
            text = f"Port {id} cannot be deleted directly via the port API: {reason}."
            raise conflict("ServicePortInUse", text)
        carried.check_free(tx, id)
        discard(tx, ctx.cloud, port)

    access.transact(ctx.cloud, work)


def discard(tx: Connection, cloud: Cloud, port: Port) -> None:
    """Remove a port of a guest, with all that hangs on it, and tell compute."""
    release_floating(tx, cloud, port.id)
    forwarded.release(tx, cloud, port.id)
    store.delete_port(tx, port.id)
    if port.host_id:
        sync.touch_with(tx, cloud, port, port.host_id)
    facts = {"id": port.id, "device_id": port.device_id, "project_id": port.project_id}
    cloud.events.publish(tx, cloud, "network.port.deleted", facts)


def release_floating(tx: Connection, cloud: Cloud, port_id: str) -> None:
    """Let the floating IPs of a port lead nowhere."""
    for fip in routers_store.floating_where(tx, tables.floating_ips.c.port_id == port_id):
        routers_store.disconnect(tx, fip.id)
        if fip.router_id:
            sync.touch(tx, cloud, "router", fip.router_id)
