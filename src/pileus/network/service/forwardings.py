"""Use cases of forwarded ports: ports of a floating IP that lead to ports of addresses behind its router."""

from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.network import addressing, tables
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, floating_ips
from pileus.network.service import ports as ports_service
from pileus.network.service.access import Attributes, target_of
from pileus.network.store import forwardings as store
from pileus.network.store import routers as routers_store
from pileus.network.store import rows
from pileus.network.store.forwardings import Forwarding
from pileus.network.store.records import FloatingIp, Port
from pileus.network.store.rows import Wanted
from pileus.network.tables.routing import port_forwardings
from pileus.network.tasks import sync

PROTOCOLS = {"tcp": "tcp", "udp": "udp", "6": "tcp", "17": "udp"}
PORT_MAX = 65535


def list_forwardings(ctx: Context, floating_ip_id: str, wanted: Wanted) -> list[Forwarding]:
    """Return the forwarded ports of a floating IP."""
    with ctx.cloud.db.read() as tx:
        _floating_ip(ctx, tx, floating_ip_id, "get")
        return store.list_forwardings(tx, floating_ip_id, wanted)


def show(ctx: Context, floating_ip_id: str, id: str) -> Forwarding:
    """Return one.  :raises NotFound: when the floating IP has it not."""
    with ctx.cloud.db.read() as tx:
        _floating_ip(ctx, tx, floating_ip_id, "get")
        return _find(tx, floating_ip_id, id)


def _floating_ip(ctx: Context, tx: Connection, id: str, action: str) -> FloatingIp:
    fip = floating_ips.find(ctx, tx, id, "get")
    ctx.require(f"{action}_floatingip_port_forwarding", target_of(fip.project_id))
    return fip


def _find(tx: Connection, floating_ip_id: str, id: str) -> Forwarding:
    found = store.find_forwarding(tx, id)
    if found is None or found.floatingip_id != floating_ip_id:
        raise missing("port_forwarding", id)
    return found


def create(ctx: Context, floating_ip_id: str, attributes: Attributes) -> Forwarding:
    """Forward ports of a floating IP.

    :raises BadRequest: when the ports do not fit one another, are forwarded already, or lead nowhere.
    :raises Conflict: when the floating IP leads to a port as a whole, or the port has a floating IP of its own.
    """

    def work(tx: Connection) -> Forwarding:
        fip = _floating_ip(ctx, tx, floating_ip_id, "create")
        if fip.port_id:
            text = f"Floating IP {fip.id} is in use by port {fip.port_id}: its ports cannot be forwarded."
            raise conflict("FipInUseByPort", text)
        facts = _read({"description": "", **attributes}, None)
        router_id = _check(tx, ctx, fip, facts, None)
        row = {"id": ids.uuid(), "floatingip_id": fip.id, **facts}
        made = Forwarding(**rows.insert_row(tx, port_forwardings, ctx.cloud.clock.now(), row))
        _follow(tx, ctx.cloud, fip, router_id)
        return made

    return access.transact(ctx.cloud, work)


def _read(given: Attributes, before: Forwarding | None) -> dict[str, Any]:
    """Turn what was given into columns; what was not stays as before.  :raises BadRequest: when it does not fit."""
    facts: dict[str, Any] = store.columns(before) if before else {}
    for name in ("description", "internal_port_id", "internal_ip_address"):
        if given.get(name) is not None:
            facts[name] = given[name]
    if protocol := given.get("protocol"):
        if str(protocol).lower() not in PROTOCOLS:
            raise invalid(f"Invalid input for protocol. Reason: '{protocol}' is not in ['tcp', 'udp'].", "HTTPBadRequest")
        facts["protocol"] = PROTOCOLS[str(protocol).lower()]
    for side in ("external", "internal"):
        one, many = given.get(f"{side}_port"), given.get(f"{side}_port_range")
        if one is not None and many is not None and before is None:
            raise invalid(f"Bad port_forwarding request: {side}_port and {side}_port_range exclude one another.", "BadRequest")
        if one is not None or many is not None:
            facts[f"{side}_first"], facts[f"{side}_last"] = _range(side, str(one if one is not None else many))
    for name in ("protocol", "internal_port_id", "external_first", "internal_first"):
        if name not in facts:
            raise invalid(f"Bad port_forwarding request: {name.replace('_first', '_port')} is required.", "BadRequest")
    width = facts["external_last"] - facts["external_first"], facts["internal_last"] - facts["internal_first"]
    if width[1] not in (0, width[0]):
        text = "Bad port_forwarding request: the ranges of external and internal ports must be of one size, or lead to one port."
        raise invalid(text, "BadRequest")
    return facts


def _range(side: str, text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    last = last or first
    if not (first.isascii() and first.isdecimal() and last.isascii() and last.isdecimal() and len(first + last) < 12):
        raise invalid(f"Invalid input for {side}_port. Reason: '{text}' is not a port or a range.", "HTTPBadRequest")
    if not 1 <= int(first) <= int(last) <= PORT_MAX:
        raise invalid(f"Invalid input for {side}_port. Reason: '{text}' is not within 1 to {PORT_MAX}.", "HTTPBadRequest")
    return int(first), int(last)


def _check(tx: Connection, ctx: Context, fip: FloatingIp, facts: dict[str, Any], own: str | None) -> str:
    """Check where ports lead, and that none is forwarded twice; return the router that does it."""
    port, _ = ports_service.find(ctx, tx, facts["internal_port_id"], "get")
    facts["internal_ip_address"], subnet_id = _address(port, facts.get("internal_ip_address"))
    if any(f.fixed_ip_address == facts["internal_ip_address"] for f in _floating_of(tx, port.id)):
        text = f"Cannot create port forwarding to port {port.id} because it already has a Floating IP."
        raise conflict("PortHasBindingFloatingIP", text)
    router_id = routers_store.router_for(tx, subnet_id, fip.floating_network_id)
    if router_id is None or fip.router_id not in (None, router_id):
        text = (
            f"Bad port_forwarding request: subnet {subnet_id} of port {port.id} is not reached through the router of "
            f"floating IP {fip.id}."
        )
        raise invalid(text, "BadRequest")
    f = port_forwardings.c
    for other in store.forwardings_where(tx, (f.floatingip_id == fip.id) | (f.internal_port_id == port.id)):
        if other.id == own or other.protocol != facts["protocol"]:
            continue
        same = other.floatingip_id == fip.id and _overlap(other, facts, "external")
        if same or (other.internal_ip_address == facts["internal_ip_address"] and _overlap(other, facts, "internal")):
            text = (
                f"Bad port_forwarding request: A duplicate port forwarding entry with same attributes already exists, "
                f"conflicting values are {facts['protocol']} {facts['external_first']} to {facts['internal_first']}."
            )
            raise invalid(text, "BadRequest")
    return router_id


def _floating_of(tx: Connection, port_id: str) -> list[FloatingIp]:
    return routers_store.floating_where(tx, tables.floating_ips.c.port_id == port_id)


def _overlap(other: Forwarding, facts: dict[str, Any], side: str) -> bool:
    first, last = getattr(other, f"{side}_first"), getattr(other, f"{side}_last")
    return bool(first <= facts[f"{side}_last"] and facts[f"{side}_first"] <= last)


def _address(port: Port, wanted: str | None) -> tuple[str, str]:
    """Return the IPv4 address of a port to which others are forwarded, and its subnet."""
    fixed = [f for f in port.fixed_ips if addressing.address(f.ip_address).version == 4]
    if wanted is None and fixed:
        return fixed[0].ip_address, fixed[0].subnet_id
    for each in fixed:
        if each.ip_address == str(addressing.address(wanted or "0.0.0.0")):
            return each.ip_address, each.subnet_id
    raise invalid(f"Bad port_forwarding request: Port {port.id} does not have the IPv4 address {wanted}.", "BadRequest")


def _follow(tx: Connection, cloud: Cloud, fip: FloatingIp, router_id: str | None) -> None:
    """Note the router of a floating IP with forwarded ports (None: it has none any more), and have that follow."""
    if router_id != fip.router_id:
        values = {"router_id": router_id, "status": "DOWN"}
        rows.update_row(tx, tables.floating_ips, cloud.clock.now(), fip.id, values)
    for each in {router_id, fip.router_id} - {None}:
        sync.touch(tx, cloud, "router", str(each))


def change(ctx: Context, floating_ip_id: str, id: str, attributes: Attributes, revision: int | None = None) -> Forwarding:
    """Change what is forwarded where; what is not named stays."""

    def work(tx: Connection) -> Forwarding:
        fip = _floating_ip(ctx, tx, floating_ip_id, "update")
        found = _find(tx, floating_ip_id, id)
        access.check_revision(revision, found.revision_number)
        given = dict(attributes)
        if given.get("internal_port_id") and not given.get("internal_ip_address"):
            given["internal_ip_address"] = None
        facts = _read(given, found)
        if facts["internal_port_id"] != found.internal_port_id and not given.get("internal_ip_address"):
            facts["internal_ip_address"] = None
        router_id = _check(tx, ctx, fip, facts, id)
        rows.update_row(tx, port_forwardings, ctx.cloud.clock.now(), id, facts)
        _follow(tx, ctx.cloud, fip, router_id)
        return _find(tx, floating_ip_id, id)

    return access.transact(ctx.cloud, work)


def remove(ctx: Context, floating_ip_id: str, id: str, revision: int | None = None) -> None:
    """Forward ports no more."""

    def work(tx: Connection) -> None:
        fip = _floating_ip(ctx, tx, floating_ip_id, "delete")
        found = _find(tx, floating_ip_id, id)
        access.check_revision(revision, found.revision_number)
        rows.delete_row(tx, port_forwardings, id)
        left = store.forwardings_where(tx, port_forwardings.c.floatingip_id == fip.id)
        _follow(tx, ctx.cloud, fip, fip.router_id if left else None)

    access.transact(ctx.cloud, work)
