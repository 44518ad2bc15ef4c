"""What compute takes from image and network, in the few shapes that it needs.  The only module of compute that knows them."""

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update

from pileus.compute.driver import DiskFormat
from pileus.image.service import images, snapshots
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden, NotFound
from pileus.network import tables
from pileus.network.driver import NetworkDriverError
from pileus.network.service import access, ports
from pileus.network.service import groups as groups_service
from pileus.network.store import groups as groups_store
from pileus.network.store import networks as networks_store
from pileus.network.store import ports as ports_store
from pileus.network.store import routers as routers_store
from pileus.network.store.records import Fixed, Port
from pileus.network.store.rows import Wanted
from pileus.network.tasks import converge, specs

REFUSALS: tuple[type[Exception], ...] = (NetworkDriverError,)
RAW_FORMATS = {"raw", "iso", "ami"}

transact = access.transact


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a NIC, with what a guest must know of its subnet.

    mode says how a guest comes by it: dhcp4, static, slaac, dhcpv6-stateful or dhcpv6-stateless.
    """

    ip: str
    version: int
    subnet_id: str = ""
    cidr: str = ""
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    mode: str = "dhcp4"
    floating: str | None = None


@dataclass(frozen=True, slots=True)
class Nic:
    """A port, as a server sees it.  groups are names."""

    port_id: str
    network_id: str
    network_name: str
    mac: str
    mtu: int
    tap: str
    status: str
    addresses: tuple[Address, ...]
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NicRequest:
    """A NIC that a user asks for: in a network, or a port that is there already."""

    network_id: str | None = None
    port_id: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """The server that ports are made for.  groups are names or ids of security groups."""

    id: str
    hostname: str
    groups: Sequence[str] = ()


@dataclass(frozen=True)
class ImageFacts:
    """What compute must know of an image.  min_disk in GiB, min_ram in MiB."""

    id: str
    name: str
    disk_format: str
    min_disk: int
    min_ram: int
    virtual_size_bytes: int
    properties: Mapping[str, str] = field(default_factory=dict)


# ---- images


def image_to_boot(ctx: Context, image_id: str) -> ImageFacts:
    """Return an image that the caller may boot.

    :raises NotFound: when there is none.
    :raises BadRequest: when it is not active, or is no disk.
    """
    image = images.get_active(ctx, image_id)
    if image.disk_format not in RAW_FORMATS | {"qcow2"}:
        text = f"Image {image_id} is unacceptable: {image.disk_format} is no disk format of this cloud."
        raise BadRequest(text, kind="ImageUnacceptable")
    size = image.virtual_size or image.size or 0
    return ImageFacts(image.id, image.name or "", image.disk_format or "", image.min_disk, image.min_ram, size, image.properties)


def image_file(cloud: Cloud, image_id: str) -> tuple[str, DiskFormat]:
    """Return the read-only file of an image, and its format.

    The file is a second name of the image's content: guests go on when the image is deleted.

    :raises NotFound: when the image is gone, and no guest was ever made of it here.
    """
    folder = _bases(cloud)
    for form in ("qcow2", "raw"):
        if (kept := folder / f"{image_id}.{form}").exists():
            return str(kept), "raw" if form == "raw" else "qcow2"
    try:
        found = images.path(cloud, image_id)
    except (NotFound, Conflict):
        raise NotFound(f"Image {image_id} could not be found.", kind="ImageNotFound") from None
    disk_format: DiskFormat = "raw" if found.disk_format in RAW_FORMATS else "qcow2"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{image_id}.{disk_format}"
    try:
        os.link(found.path, target)
    except FileExistsError:
        pass  # another server's task was quicker
    except FileNotFoundError:
        raise NotFound(f"Image {image_id} could not be found.", kind="ImageNotFound") from None
    except OSError:
        shutil.copyfile(found.path, f"{target}.new")
        os.rename(f"{target}.new", target)
    return str(target), disk_format


def _bases(cloud: Cloud) -> Path:
    return Path(cloud.settings.state_dir) / "bases"


def sweep_bases(cloud: Cloud, used: Collection[str]) -> None:
    """Remove the files of images of which no server is made."""
    for file in _bases(cloud).glob("*.*"):
        if file.stem not in used:
            with contextlib.suppress(FileNotFoundError):
                file.unlink()


def reserve_image(
    tx: Connection, ctx: Context, name: str, base: Mapping[str, Any], properties: Mapping[str, str], disk_gib: int
) -> str:
    """Write down an image of a server that is about to be made; returns its id.

    :param base: the image that the server was made of: its properties are handed down.
    :raises Forbidden: when the caller may not make images.
    """
    handed_down = {key: str(value) for key, value in (base.get("properties") or {}).items() if not key.startswith("os_hash")}
    smallest = max(disk_gib, int(base.get("min_disk") or 0))
    wanted = snapshots.Wanted(
        name=name, disk_format=snapshot_format(base), min_disk=smallest, min_ram=int(base.get("min_ram") or 0),
        properties={**handed_down, **properties},
    )  # fmt: skip
    return snapshots.reserve(tx, ctx, wanted).id


def snapshot_format(base: Mapping[str, Any]) -> DiskFormat:
    """Return the format in which an image is made of a server: that of its own image."""
    return "raw" if base.get("disk_format") in RAW_FORMATS else "qcow2"


def fill_image(cloud: Cloud, image_id: str, disk_format: str, write: Callable[[str], None]) -> None:
    """Make what `write` writes to a path the content of a reserved image.  May be repeated.

    :raises NotFound: when the image was deleted meanwhile.
    """
    folder = Path(cloud.settings.state_dir) / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{image_id}.{disk_format}"
    file.unlink(missing_ok=True)
    try:
        write(str(file))
        snapshots.fill_from_file(cloud, image_id, file)
    finally:
        file.unlink(missing_ok=True)


def drop_image(cloud: Cloud, image_id: str) -> None:
    """Forget a reserved image that could not be made."""
    snapshots.fail(cloud, image_id)


# ---- network


def usable_networks(tx: Connection, ctx: Context) -> list[str]:
    """Return the networks in which a server of the caller's project goes when none is named: its own, else shared ones."""
    found = networks_store.list_networks(tx, networks_store.visible_networks(ctx.project_id), Wanted())
    inside = [network for network in found if not network.external and network.subnets]
    own = [network.id for network in inside if network.project_id == ctx.project_id]
    return own or [network.id for network in inside]


def requested_nics(tx: Connection, ctx: Context, wanted: Sequence[NicRequest] | str | None) -> list[NicRequest]:
    """Return the NICs to be made; where none is named, one in the only network that the project has.

    :raises Conflict: when there are several networks to choose from.
    :raises BadRequest: when one was asked for and there is none.
    """
    if wanted == "none":
        return []
    if wanted and not isinstance(wanted, str):
        return list(wanted)
    mine = usable_networks(tx, ctx)
    if len(mine) > 1:
        raise Conflict("Multiple possible networks found, use a Network ID to be more specific.", kind="NetworkAmbiguous")
    if not mine and wanted == "auto":
        text = f"Unable to automatically allocate a network for project {ctx.project_id}"
        raise BadRequest(text, kind="UnableToAutoAllocateNetwork")
    return [NicRequest(network_id=id) for id in mine]


def make_ports(tx: Connection, ctx: Context, device: Device, wanted: Sequence[NicRequest]) -> list[dict[str, Any]]:
    """Make or take the ports of a server; returns what its row keeps of each.

    :raises BadRequest: when a network, a port or a security group is not there or cannot be used.
    :raises Conflict: when a port or an address is in use.
    """
    made = []
    for nic in wanted:
        try:
            port_id = _take_port(tx, ctx, nic.port_id, device) if nic.port_id else _make_port(tx, ctx, nic, device)
        except NotFound as error:
            raise BadRequest(error.message, kind=error.kind) from None
        made.append({"port_id": port_id, "tag": nic.tag, "ours": nic.port_id is None})
    return made


def _make_port(tx: Connection, ctx: Context, nic: NicRequest, device: Device) -> str:
    network = access.find_network(ctx, tx, str(nic.network_id))
    if network.external and not network.shared and not ctx.can("network:attach_external_network"):
        text = f"It is not allowed to create an interface on external network {network.id}"
        raise Forbidden(text, kind="ExternalNetworkAttachForbidden")
    if not network.subnets:
        text = f"Network {network.id} requires a subnet in order to boot instances on."
        raise BadRequest(text, kind="NetworkRequiresSubnet")
    groups = None
    if network.port_security_enabled and list(device.groups) != ["default"]:
        groups = [_group_id(tx, ctx, name) for name in device.groups]
    attributes = {
        "name": "", "description": "", "admin_state_up": True, "device_id": device.id, "device_owner": "compute:nova",
        "fixed_ips": [{"ip_address": nic.fixed_ip}] if nic.fixed_ip else None, "mac_address": None,
        "security_groups": groups, "port_security_enabled": None, "allowed_address_pairs": [], "extra_dhcp_opts": [],
        "dns_name": device.hostname, "binding:host_id": "", "binding:vnic_type": "normal", "binding:profile": {},
    }  # fmt: skip
    return ports.make(tx, ctx, ctx.project_id, network, attributes).id


def _group_id(tx: Connection, ctx: Context, name: str) -> str:
    if name == "default":
        return groups_service.ensure_default(tx, ctx.cloud, ctx.project_id)
    found = groups_store.list_groups(tx, tables.groups.c.project_id == ctx.project_id, Wanted())
    for group in found:
        if name in (group.id, group.name):
            return group.id
    raise NotFound(f"Security group {name} not found for project {ctx.project_id}.", kind="SecurityGroupNotFound")


def _take_port(tx: Connection, ctx: Context, port_id: str, device: Device) -> str:
    port, network = ports.find(ctx, tx, port_id, "get")
    if port.device_id and port.device_id != device.id:
        raise Conflict(f"Port {port_id} is still in use.", kind="PortInUse")
    if not port.fixed_ips and network.subnets:
        raise BadRequest(f"Port {port_id} requires a FixedIP in order to be used.", kind="PortRequiresFixedIP")
    ports.write_change(tx, ctx.cloud, port, {"device_id": device.id, "device_owner": "compute:nova"})
    return port_id


def bind(tx: Connection, cloud: Cloud, port_ids: Sequence[str], host: str) -> None:
    """Say on which host ports will be; "" for none."""
    if port_ids:
        status = "BUILD" if host else "DOWN"
        tx.execute(update(tables.ports).where(tables.ports.c.id.in_(port_ids)).values(host_id=host, status=status))


def plug(cloud: Cloud, host: str, port_ids: Sequence[str]) -> list[Nic]:
    """Make the ports on a host, with their taps; returns them in the given order.  May be repeated.

    :raises NetworkDriverError: when the host cannot.
    """
    for port_id in port_ids:
        converge.port(cloud, port_id)
    with cloud.db.read() as tx:
        found = {port.id: port for port in ports_store.ports_by_id(tx, port_ids).values()}
        shown = {nic.port_id: nic for nic in _nics(tx, list(found.values()))}
    return [shown[id] for id in port_ids if id in shown]


def unplug(cloud: Cloud, host: str, port_ids: Sequence[str]) -> None:
    """Remove the taps of ports from a host.  May be repeated."""
    driver = cloud.bus.host(host, "network")
    for port_id in port_ids:
        driver.destroy_port(port_id)


def release(tx: Connection, cloud: Cloud, server_id: str, nics: Sequence[Mapping[str, Any]]) -> None:
    """Delete the ports that were made for a server, and give the others back."""
    for nic in nics:
        port = ports_store.find_port(tx, nic["port_id"])
        if port is None or port.device_id != server_id:
            continue
        if nic["ours"]:
            ports.discard(tx, cloud, port)
        else:
            ports.write_change(tx, cloud, port, {"device_id": "", "device_owner": "", "host_id": "", "status": "DOWN"})


def nics_of(tx: Connection, server_ids: Sequence[str]) -> dict[str, list[Nic]]:
    """Return the NICs of servers."""
    found = ports_store.ports_of_devices(tx, server_ids)
    owner = {port.id: port.device_id for port in found}
    nics: dict[str, list[Nic]] = {}
    for nic in _nics(tx, found):
        nics.setdefault(owner[nic.port_id], []).append(nic)
    return nics


def _nics(tx: Connection, found: Sequence[Port]) -> list[Nic]:
    if not found:
        return []
    network_ids = {port.network_id for port in found}
    n, s, f = tables.networks.c, tables.subnets.c, tables.floating_ips.c
    networks = {row.id: row for row in tx.execute(select(n.id, n.name, n.mtu).where(n.id.in_(network_ids)))}
    subnets = {row.id: row for row in tx.execute(select(tables.subnets).where(s.network_id.in_(network_ids)))}
    query = select(f.port_id, f.fixed_ip_address, f.floating_ip_address).where(f.port_id.is_not(None))
    query = query.join(tables.ports, tables.ports.c.id == f.port_id).where(tables.ports.c.network_id.in_(network_ids))
    floating = {(row.port_id, row.fixed_ip_address): row.floating_ip_address for row in tx.execute(query)}
    g = tables.groups.c
    wanted = {id for port in found for id in port.security_groups}
    names = {row.id: row.name for row in tx.execute(select(g.id, g.name).where(g.id.in_(wanted)))} if wanted else {}

    def addresses(port: Port) -> tuple[Address, ...]:
        return tuple(_address(ip, subnets[ip.subnet_id], floating.get((port.id, ip.ip_address))) for ip in port.fixed_ips)

    return [
        Nic(
            port.id, port.network_id, networks[port.network_id].name, port.mac_address, networks[port.network_id].mtu,
            specs.tap_name(port.id), port.status,
            addresses(port),
            tuple(names[id] for id in port.security_groups if id in names),
        )
        for port in found
    ]  # fmt: skip


def _address(fixed: Fixed, subnet: Any, floating: str | None) -> Address:
    mode = ("dhcp4" if subnet.enable_dhcp else "static") if subnet.ip_version == 4 else subnet.ipv6_address_mode or "static"
    routes = tuple((route["destination"], route["nexthop"]) for route in subnet.host_routes)
    return Address(
        fixed.ip_address, subnet.ip_version, subnet.id, subnet.cidr, subnet.gateway_ip, tuple(subnet.dns_nameservers), routes,
        mode, floating,
    )  # fmt: skip


def device_at(tx: Connection, network_id: str | None, router_id: str | None, ip: str) -> str | None:
    """Return the id of the server that has an address in a network, or behind a router."""
    inside = [network_id] if network_id else []
    if router_id:
        inside = [leg.network_id for leg in routers_store.interfaces_of(tx, router_id)]
    port = ports_store.port_of_address(tx, inside, ip) if inside else None
    return port.device_id if port is not None else None


def change_group(tx: Connection, ctx: Context, server_id: str, name: str, add: bool) -> None:
    """Put the ports of a server into a security group, or take them out.

    :raises NotFound: when there is no such group, or no port is in it.
    """
    group_id = _group_id(tx, ctx, name)
    mine = ports_store.ports_of_devices(tx, [server_id])
    if not add and not any(group_id in port.security_groups for port in mine):
        text = f"Security group {name} not associated with the instance {server_id}"
        raise NotFound(text, kind="SecurityGroupNotExistsForInstance")
    for port in mine:
        kept = [id for id in port.security_groups if id != group_id]
        ports_store.set_groups(tx, port.id, [*kept, group_id] if add else kept)
        ports.write_change(tx, ctx.cloud, port, {})


def groups_of(ctx: Context, server_id: str) -> list[dict[str, Any]]:
    """Return the security groups of a server, in the form of the old API."""
    with ctx.cloud.db.read() as tx:
        ids = {id for port in ports_store.ports_of_devices(tx, [server_id]) for id in port.security_groups}
        found = groups_store.groups_by_id(tx, ids).values() if ids else ()
    return [
        {"id": group.id, "name": group.name, "description": group.description, "tenant_id": group.project_id, "rules": []}
        for group in sorted(found, key=lambda group: group.name)
    ]
