"""Creating servers: everything that can be refused is refused before the answer, and one transaction writes it all down."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from pileus.compute import neighbours
from pileus.compute.neighbours.images import ImageFacts
from pileus.compute.policies.servers import SERVERS
from pileus.compute.scheduler import DEFAULT_ZONE
from pileus.compute.service import flavors, quotas, server_access, server_disks
from pileus.compute.service.server_disks import Wish
from pileus.compute.store import hosts, server_actions, server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.flavors import Flavor
from pileus.compute.tasks import servers as work
from pileus.kernel import ids, quota
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound, OverQuota

HOSTNAME = re.compile(r"[^a-zA-Z0-9_.-]+")
MIB_PER_GIB = 1024


@dataclass(frozen=True)
class Wanted:
    """What servers are asked for.

    :param networks: of each network_id, port_id, fixed_ip, tag; "auto", "none", or None where nothing was said.
    :param zone: as given: ZONE, or ZONE:HOST, ZONE:HOST:NODE.
    """

    name: str
    flavor_id: str
    disks: Wish = field(default_factory=Wish)
    description: str | None = None
    hostname: str | None = None
    networks: Sequence[neighbours.network.NicRequest] | str | None = None
    security_groups: Sequence[str] = ("default",)
    key_name: str | None = None
    user_data: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    personality: Sequence[tuple[str, str]] = ()
    config_drive: bool = False
    admin_password: str = ""
    zone: str | None = None
    host: str | None = None
    hypervisor_hostname: str | None = None
    hints: Mapping[str, Any] = field(default_factory=dict)
    trusted_certificates: Sequence[str] | None = None
    access_ipv4: str = ""
    access_ipv6: str = ""
    disk_config: str = "AUTO"
    least: int = 1
    most: int = 1


@dataclass(frozen=True)
class Made:
    """What came of it."""

    ids: Sequence[str]
    reservation_id: str
    admin_password: str


def create(ctx: Context, wanted: Wanted) -> Made:
    """Write new servers down and have them built.

    :raises BadRequest: when something it names is not there or does not fit.
    :raises OverQuota: when the project has no room for them.
    :raises Conflict: when a port or an address is in use, or there are several networks and none is named.
    """
    ctx.require(SERVERS + "create")
    if wanted.trusted_certificates:
        ctx.require(SERVERS + "create:trusted_certs")
    if wanted.networks and not isinstance(wanted.networks, str):
        ctx.require(SERVERS + "create:attach_network")
    if wanted.disks.devices:
        ctx.require(SERVERS + "create:attach_volume")
    wanted_host, zone = _place(ctx, wanted)
    flavor = _flavor(ctx, wanted.flavor_id)
    plan = server_disks.plan(ctx, wanted.disks, flavor, wanted.most)
    if wanted.trusted_certificates and plan.root.is_volume:
        raise BadRequest("Image certificate validation is not supported when booting from volume")
    server_disks.check_fit(ctx, flavor, plan, SERVERS + "create:zero_disk_flavor")
    _require_single(wanted)
    made = Made([], "r-" + ids.hex_id()[:8], wanted.admin_password or ids.secret(9))
    common = _common(ctx, wanted, flavor, plan) | {"wanted_host": wanted_host, "pinned_zone": zone}
    common["reservation_id"] = made.reservation_id

    def write(tx: Connection) -> list[str]:
        return _write(ctx, tx, wanted, common, made, plan)

    return Made(neighbours.network.transact(ctx.cloud, write), made.reservation_id, made.admin_password)


def _place(ctx: Context, wanted: Wanted) -> tuple[dict[str, Any], str | None]:
    """Read where the caller wants it: a zone, and for admins a host, past the filters or through them."""
    zone, _, rest = (wanted.zone or "").partition(":")
    host, _, node = rest.partition(":")
    if rest.count(":") > 1:
        raise BadRequest("Unable to parse availability_zone")
    place: dict[str, Any] = {}
    if host or node:
        ctx.require(SERVERS + "create:forced_host")
        place = {"host": host or node, "forced": True}
    if wanted.host or wanted.hypervisor_hostname:
        ctx.require("compute:servers:create:requested_destination")
        if place:
            raise BadRequest(
                "One mechanism with host and/or hypervisor_hostname and another mechanism with zone:host:node "
                "are mutually exclusive."
            )
        place = {"host": wanted.host} if wanted.host else {}
        place |= {"hypervisor_hostname": wanted.hypervisor_hostname} if wanted.hypervisor_hostname else {}
    if place or zone:
        _require_known(ctx, place, zone)
    return place, None if place.get("forced") else zone or None


def _require_known(ctx: Context, place: Mapping[str, Any], zone: str) -> None:
    with ctx.cloud.db.read() as tx:
        known = {host.name: host.zone for host in hosts.list_hosts(tx)}
    for name in {place.get("host"), place.get("hypervisor_hostname")} - {None}:
        if name not in known:
            raise BadRequest(f"Compute host {name} could not be found.", kind="ComputeHostNotFound")
    if zone and zone not in {*known.values(), DEFAULT_ZONE}:
        raise BadRequest("The requested availability zone is not available")


def _flavor(ctx: Context, flavor_id: str) -> Flavor:
    try:
        found = flavors.get(ctx, flavor_id)
    except NotFound as error:
        raise BadRequest(error.message, kind=error.kind) from None
    if found.disabled:
        raise BadRequest(f"Flavor {flavor_id} could not be found.", kind="FlavorNotFound")
    return found


def _require_single(wanted: Wanted) -> None:
    """Check that what can only be had once is not asked for several servers."""
    if wanted.most == 1:
        return
    if wanted.hostname:
        text = "Unable to allocate a single hostname to multiple instances"
        raise BadRequest(text, kind="AmbiguousHostnameForMultipleInstances")
    for nic in wanted.networks if wanted.networks and not isinstance(wanted.networks, str) else ():
        if nic.port_id:
            text = "Unable to launch multiple instances with a single configured port ID."
            raise BadRequest(text, kind="MultiplePortsNotApplicable")
        if nic.fixed_ip:
            text = "max_count cannot be greater than 1 if an fixed_ip is specified."
            raise BadRequest(text, kind="InvalidFixedIpAndMaxCountRequest")


def embed(flavor: Flavor) -> dict[str, Any]:
    """Return a flavor as it is kept with a server, in the form in which it is shown since 2.47."""
    return {
        "id": flavor.flavor_id, "original_name": flavor.name, "name": flavor.name, "vcpus": flavor.vcpus,
        "ram": flavor.memory_mib, "disk": flavor.disk_gib, "ephemeral": flavor.ephemeral_gib, "swap": flavor.swap_mib,
        "extra_specs": dict(flavor.extra_specs),
    }  # fmt: skip


def room_of(flavor: Flavor, on_volume: bool = False) -> dict[str, int]:
    """Return what a server of a flavor takes of a host.

    :param on_volume: it boots from a volume, so that its root disk takes none.
    """
    swap_gib = -(-flavor.swap_mib // MIB_PER_GIB)
    disk_gib = (0 if on_volume else flavor.disk_gib) + flavor.ephemeral_gib + swap_gib
    return {"vcpus": flavor.vcpus, "memory_mib": flavor.memory_mib, "disk_gib": disk_gib}


def image_kept(image: ImageFacts) -> dict[str, Any]:
    """Return what is kept of an image with a server."""
    return {
        "id": image.id, "name": image.name, "disk_format": image.disk_format, "min_disk": image.min_disk,
        "min_ram": image.min_ram, "properties": dict(image.properties),
    }  # fmt: skip


def _common(ctx: Context, wanted: Wanted, flavor: Flavor, plan: server_disks.Plan) -> dict[str, Any]:
    """The columns that all servers of one request share."""
    now, image, on_volume = ctx.cloud.clock.now(), plan.image, plan.root.is_volume
    return {
        "project_id": ctx.project_id, "user_id": ctx.user_id, "description": wanted.description, "created_at": now,
        "updated_at": now, "vm_state": "building", "task_state": "scheduling", "flavor_id": flavor.flavor_id,
        "flavor": embed(flavor), **room_of(flavor, on_volume), "image_id": "" if on_volume else image.id,
        "image": image_kept(image), "disks": server_disks.local_disks(flavor, plan),
        "security_groups": list(wanted.security_groups), "user_data": wanted.user_data, "metadata": dict(wanted.metadata),
        "personality": [list(pair) for pair in wanted.personality],
        "config_drive": wanted.config_drive or str(image.properties.get("img_config_drive", "")) == "mandatory",
        "access_ipv4": wanted.access_ipv4, "access_ipv6": wanted.access_ipv6, "disk_config": wanted.disk_config,
        "hints": dict(wanted.hints),
        "trusted_certificates": list(wanted.trusted_certificates) if wanted.trusted_certificates else None,
    }  # fmt: skip


def _write(
    ctx: Context, tx: Connection, wanted: Wanted, common: dict[str, Any], made: Made, plan: server_disks.Plan
) -> list[str]:
    """Write servers, ports, volumes, tags, log entries and tasks down; return the ids."""
    quota.lock(tx, quotas.SERVICE, ctx.project_id)
    count = _count(ctx, tx, wanted, common)
    common = common | _key(ctx, tx, wanted.key_name) | {"server_group_id": _group(ctx, tx, wanted.hints, count)}
    requests = neighbours.network.requested_nics(tx, ctx, wanted.networks)
    server_ids, rows = [ids.uuid() for _ in range(count)], []
    for index, id in enumerate(server_ids):
        name = wanted.name if wanted.most == 1 else f"{wanted.name}-{index + 1}"
        host_name = wanted.hostname or make_hostname(name, id)
        device = neighbours.network.Device(id, host_name, wanted.security_groups)
        nics = _ports(tx, ctx, device, requests)
        rows.append({**common, "id": id, "name": name, "hostname": host_name, "launch_index": index, "nics": nics})
    store.add(tx, rows)
    for id in server_ids:
        server_volumes.add(tx, server_disks.make_volumes(tx, ctx, plan, id))
    server_actions.add(tx, server_ids, server_access.asked(ctx, "create"))
    memo = {"admin_password": made.admin_password} if common["config_drive"] else {}
    for id in server_ids:
        if wanted.tags:
            store.set_tags(tx, id, wanted.tags)
        work.go(tx, ctx.cloud, id, memo, "place")
    return server_ids


def _ports(
    tx: Connection, ctx: Context, device: neighbours.network.Device, requests: Sequence[neighbours.network.NicRequest]
) -> list[dict[str, Any]]:
    """Make the ports of a server; what is not there or has an address that is taken is the request's fault here."""
    try:
        return neighbours.network.make_ports(tx, ctx, device, requests)
    except NotFound as error:
        raise BadRequest(error.message, kind=error.kind) from None
    except Conflict as error:
        if error.kind == "IpAddressAlreadyAllocated":
            raise BadRequest(error.message, kind="FixedIpAlreadyInUse") from None
        raise


def make_hostname(name: str, id: str) -> str:
    """Return a name that may be a host's, made of a server's."""
    made = HOSTNAME.sub("", name.replace(" ", "-").replace("_", "-")).lower().strip(".-").replace(".", "-")[:63].strip("-")
    return made or f"server-{id}"


def _count(ctx: Context, tx: Connection, wanted: Wanted, common: Mapping[str, Any]) -> int:
    """Return how many servers the project has room for, at least those that are wanted at least."""
    limit, used = quotas.limits_of(tx, ctx.cloud, ctx.project_id), store.usage(tx, ctx.project_id)
    if 0 <= limit["metadata_items"] < len(wanted.metadata):
        raise OverQuota(f"Maximum number of metadata items exceeds {limit['metadata_items']}", kind="MetadataLimitExceeded")

    def needs(count: int) -> dict[str, int]:
        return {"instances": count, "cores": count * common["vcpus"], "ram": count * common["memory_mib"]}

    for count in range(wanted.most, wanted.least, -1):
        if not quota.exceeded(limit, used, needs(count)):
            return count
    quota.require_room(limit, used, needs(wanted.least))
    return wanted.least


def _key(ctx: Context, tx: Connection, key_name: str | None) -> dict[str, Any]:
    if key_name is None:
        return {"key_name": None, "key_type": None, "key_public": None}
    found = store.key_of(tx, ctx.user_id, key_name)
    if found is None:
        raise BadRequest("Invalid key_name provided.", kind="KeypairNotFound")
    return {"key_name": key_name, "key_type": found.type, "key_public": found.public_key}


def _group(ctx: Context, tx: Connection, hints: Mapping[str, Any], count: int) -> str | None:
    hint = hints.get("group")
    if hint is None:
        return None
    group_id = str(hint[0] if isinstance(hint, list) and hint else hint)
    if not store.is_group(tx, group_id, ctx.project_id):
        raise BadRequest(f"Instance group {group_id} could not be found.", kind="InstanceGroupNotFound")
    most = quotas.limits_of(tx, ctx.cloud, ctx.project_id)["server_group_members"]
    if 0 <= most < store.group_size(tx, group_id) + count:
        raise OverQuota("Quota exceeded, too many servers in group", kind="OverQuota")
    return group_id
