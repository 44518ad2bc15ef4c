"""Use cases of trunks."""

from functools import partial
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.network import tables
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, carried, plain
from pileus.network.service import ports as ports_service
from pileus.network.service.access import Attributes, target_of
from pileus.network.service.plain import Plain
from pileus.network.store import ports as ports_store
from pileus.network.store import rows
from pileus.network.store import trunks as store
from pileus.network.store.trunks import Subport, Trunk
from pileus.network.tables.trunks import trunks

TRUNK = Plain(store.TRUNK, store.assemble, lambda project_id: trunks.c.project_id == project_id)
VLAN, VLANS = "vlan", range(1, 4095)

list_trunks, show = partial(plain.list_all, TRUNK), partial(plain.show, TRUNK)


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[Trunk]:
    """Make trunks, all or none.

    :raises Conflict: when a port is of a trunk already, or is in use by something else.
    """

    def prepare(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> dict[str, Any]:
        port, _ = ports_service.find(ctx, tx, attributes["port_id"], "update")
        carried.check_free(tx, port.id)
        if port.host_id:
            raise conflict("ParentPortInUse", f"Port {port.id} is in use and is not eligible for use as a parent port.")
        columns = {name: attributes[name] for name in ("name", "description", "admin_state_up", "port_id")}
        return columns | ({"tags": attributes["tags"]} if attributes.get("tags") else {})

    owned = [(attributes, attributes.pop("sub_ports")) for attributes, _ in many]
    for _, wanted in owned:
        read = [_read(given) for given in wanted]
        if len({subport.segmentation_id for subport in read}) < len(read):
            raise invalid("Duplicate items in the list of sub_ports", "HTTPBadRequest")
    wished = [(access.project_for(ctx, attributes), attributes) for attributes, _ in owned]
    for project_id, _ in wished:
        ctx.require("create_trunk", target_of(project_id))

    def work(tx: Connection) -> list[Trunk]:
        made = []
        for (project_id, attributes), (_, subports) in zip(wished, owned, strict=True):
            access.take(tx, ctx.cloud, project_id, trunk=1)
            trunk = plain.write(TRUNK, prepare, tx, ctx, project_id, attributes)
            _add(tx, ctx, trunk, subports)
            made.append(plain.read(TRUNK, tx, trunk.id))
        return [trunk for trunk in made if trunk]

    return access.transact(ctx.cloud, work)


def _read(given: dict[str, Any]) -> Subport:
    kind, number = given.get("segmentation_type"), given.get("segmentation_id")
    if kind is None or number is None:
        raise invalid("Invalid subport details: segmentation type and id must both be given.", "TrunkPluginDriverConflict")
    if kind != VLAN:
        raise invalid(f"Invalid segmentation type '{kind}' for subport {given['port_id']}: only 'vlan' is served")
    if int(number) not in VLANS:
        raise invalid(f"Invalid segmentation id {number} for subport {given['port_id']}")
    return Subport(given["port_id"], kind, int(number))


def _add(tx: Connection, ctx: Context, trunk: Trunk, wanted: list[dict[str, Any]]) -> None:
    carrier = ports_store.find_port(tx, trunk.port_id)
    if carrier is None:
        raise missing("port", trunk.port_id)
    taken = {s.segmentation_id for s in trunk.sub_ports}
    found: list[Subport] = []
    for given in wanted:
        port, _ = ports_service.find(ctx, tx, given["port_id"], "update")
        subport = _read(given)
        carried.check_free(tx, port.id)
        if port.id == trunk.port_id or any(other.port_id == port.id for other in found):
            raise conflict("DuplicateSubPort", f"Port {port.id} is named twice, or carries the trunk itself.")
        if port.host_id or port.device_id:
            raise conflict("PortInUse", f"Port {port.id} is in use and cannot be a subport.")
        if subport.segmentation_id in taken:
            text = f"segmentation_type {VLAN} and segmentation_id {subport.segmentation_id} already in use on trunk {trunk.id}."
            raise conflict("DuplicateSubPort", text)
        taken.add(subport.segmentation_id)
        found.append(subport)
    store.add(tx, trunk.id, found)
    place = [s.port_id for s in found]
    store.set_place(tx, place, {"device_id": trunk.id, "device_owner": carried.OWNER}) if place else None
    if carrier.host_id:
        carried.place(tx, ctx.cloud, place, carrier.host_id)


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> Trunk:
    """Change a trunk's name, description or administrative state."""

    def check(tx: Connection, ctx: Context, trunk: Trunk, values: Attributes) -> None:
        if "admin_state_up" in values and values["admin_state_up"] != trunk.admin_state_up:
            for port in ports_store.ports_by_id(tx, [s.port_id for s in trunk.sub_ports]).values():
                carried.touch(tx, ctx.cloud, port)

    found: Trunk = plain.change(TRUNK, check, ctx, id, attributes, revision)
    return found


def add_subports(ctx: Context, id: str, wanted: list[dict[str, Any]]) -> Trunk:
    """Let a trunk carry further ports.  :raises Conflict: when it is down, or a port or a VLAN is taken."""

    def work(tx: Connection) -> Trunk:
        trunk = _for(ctx, tx, id, "add_subports")
        _add(tx, ctx, trunk, wanted)
        return _counted(tx, ctx, id)

    return access.transact(ctx.cloud, work)


def remove_subports(ctx: Context, id: str, wanted: list[dict[str, Any]]) -> Trunk:
    """Let a trunk carry ports no more.  :raises NotFound: when it does not carry one of them."""

    def work(tx: Connection) -> Trunk:
        trunk = _for(ctx, tx, id, "remove_subports")
        there = {s.port_id for s in trunk.sub_ports}
        for given in wanted:
            if given["port_id"] not in there:
                fault = missing("port", given["port_id"])
                fault.kind = "SubPortNotFound"
                fault.message = f"SubPort on trunk {id} with parent port {given['port_id']} not found."
                raise fault
        _let_go(tx, ctx, trunk, [given["port_id"] for given in wanted])
        return _counted(tx, ctx, id)

    return access.transact(ctx.cloud, work)


def _for(ctx: Context, tx: Connection, id: str, rule: str) -> Trunk:
    trunk: Trunk = plain.find(TRUNK, ctx, tx, id, "get")
    ctx.require(rule, target_of(trunk.project_id))
    if not trunk.admin_state_up:
        raise conflict("TrunkDisabled", f"Trunk {id} is currently disabled.")
    return trunk


def _counted(tx: Connection, ctx: Context, id: str) -> Trunk:
    rows.update_row(tx, trunks, ctx.cloud.clock.now(), id, {})
    found: Trunk = plain.find(TRUNK, ctx, tx, id, "get")
    return found


def _let_go(tx: Connection, ctx: Context, trunk: Trunk, port_ids: list[str]) -> None:
    carried.place(tx, ctx.cloud, port_ids, "")
    store.set_place(tx, port_ids, {"device_id": "", "device_owner": ""})
    store.take_away(tx, trunk.id, port_ids)


def subports(ctx: Context, id: str) -> tuple[Subport, ...]:
    """Return what a trunk carries."""
    with ctx.cloud.db.read() as tx:
        trunk: Trunk = plain.find(TRUNK, ctx, tx, id, "get")
        ctx.require("get_subports", target_of(trunk.project_id))
        return trunk.sub_ports


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a trunk; the ports stay.  :raises Conflict: when the port that carries is on a host."""

    def release(tx: Connection, ctx: Context, trunk: Trunk) -> None:
        bound = ports_store.ports_where(tx, tables.ports.c.id == trunk.port_id, tables.ports.c.host_id != "")
        if bound:
            raise conflict("TrunkInUse", f"Trunk {id} is currently in use.")
        if not trunk.admin_state_up:
            raise conflict("TrunkDisabled", f"Trunk {id} is currently disabled.")
        if trunk.sub_ports:
            _let_go(tx, ctx, trunk, [s.port_id for s in trunk.sub_ports])

    plain.remove(TRUNK, release, ctx, id, revision)
