"""What changes a server's form: resize, rescue, shelve and their ways back; and backups."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.compute import neighbours, states
from pileus.compute.block_devices import BUSES, local_name, next_name
from pileus.compute.policies.servers import API, SERVERS
from pileus.compute.service import flavors, moves, quotas
from pileus.compute.service import server_access as access
from pileus.compute.service.server_actions import reserve_snapshot
from pileus.compute.service.server_create import embed, room_of
from pileus.compute.store import hosts, migrations, server_actions, server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.flavors import Flavor
from pileus.compute.store.servers import Server
from pileus.compute.tasks import guests, placing
from pileus.compute.tasks.moves import is_moving
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound

ROOM = ("vcpus", "memory_mib", "disk_gib")
RESCUE_PROPERTIES = {"hw_rescue_bus", "hw_rescue_device"}
RESCUE_BUSES = {"disk": BUSES | {"usb"}, "cdrom": {"ide", "scsi"}}


def resize(ctx: Context, id: str, flavor_id: str, disk_config: str | None) -> None:
    """Give a server another flavor, which it keeps when the user confirms it.

    :raises BadRequest: when the flavor is not there, is the same, has a smaller disk, or its host has no room for it.
    :raises OverQuota: when the project has no room for it.
    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, id, SERVERS + "resize")
    flavor = _flavor(ctx, flavor_id)
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, SERVERS + "resize", "resize")
        _require_fit(server, flavor)
        before = {name: getattr(server, name) for name in (*ROOM, "flavor_id", "flavor", "disks")}
        wanted = room_of(flavor, not server.image_id)
        room = {name: max(before[name], amount) for name, amount in wanted.items()}
        more = {name: room[name] - before[name] for name in ROOM}
        quotas.require_room(tx, ctx.cloud, server.project_id, server.user_id, {"cores": more["vcpus"], "ram": more["memory_mib"]})
        values: dict[str, Any] = {"flavor_id": flavor.flavor_id, "flavor": embed(flavor)}
        config = {"disk_config": disk_config} if disk_config else {}
        if why := _why_not_here(ctx, tx, server, flavor, more):
            wish = placing.Wish(wanted["vcpus"], wanted["memory_mib"], wanted["disk_gib"], embed(flavor))
            after = {**values, "disks": _grown(tx, server, flavor, held=False)}
            moves.start(ctx, tx, server, migrations.RESIZE, wish, after, flavor.id, why, **config)
            return
        values |= {"disks": _grown(tx, server, flavor), **config}
        plan = migrations.Plan(migrations.RESIZE, server.host, moves.address_of(ctx.cloud, server.host), flavor.id)
        migrations.add(tx, server, ctx.user_id, plan, ctx.cloud.clock.now())
        aside = {"before": before, "vm_state": server.vm_state}
        access.begin(ctx, tx, server, "resize", "resize", task_state="resize_migrating", aside=aside, **room, **values)


def _why_not_here(ctx: Context, tx: Connection, server: Server, flavor: Flavor, more: Mapping[str, int]) -> str:
    """Return why a server cannot have another flavor where it is; "": it can."""
    if not ctx.cloud.settings.allow_resize_to_same_host:
        return "servers that are resized leave their host"
    return placing.refusal_of_growth(tx, ctx.cloud, server, embed(flavor), more)


def _flavor(ctx: Context, flavor_id: str) -> Flavor:
    try:
        found = flavors.get(ctx, flavor_id)
    except NotFound as error:
        raise BadRequest(error.message, kind=error.kind) from None
    if found.disabled:
        raise BadRequest(f"Flavor {flavor_id} could not be found.", kind="FlavorNotFound")
    return found


def _require_fit(server: Server, flavor: Flavor) -> None:
    if server.flavor_id == flavor.flavor_id:
        raise BadRequest("When resizing, instances must change flavor!", kind="CannotResizeToSameFlavor")
    on_host = bool(server.image_id)
    if on_host and server.flavor["disk"] and not flavor.disk_gib:
        raise BadRequest("Resize to zero disk flavor is not allowed.", kind="CannotResizeDisk")
    if (on_host and flavor.disk_gib < server.flavor["disk"]) or flavor.ephemeral_gib < server.flavor["ephemeral"]:
        raise BadRequest("Resize error: Unable to resize disk down.", kind="CannotResizeDisk")
    if int(server.image.get("min_ram") or 0) > flavor.memory_mib:
        raise BadRequest("Flavor's memory is too small for requested image.", kind="FlavorMemoryTooSmall")


def _grown(tx: Connection, server: Server, flavor: Flavor, held: bool = True) -> list[dict[str, Any]]:
    """Return a server's own disks as another flavor has them: larger, never smaller, never fewer.

    :param held: what is written to them from now on can be taken back.
    """
    disks = [
        {**disk, "device": local_name(disk, number), "stage": disk.get("stage", 0) + held, "held": held}
        for number, disk in enumerate(server.disks)
    ]
    used = [disk["device"] for disk in disks] + [row.device_name for row in server_volumes.of(tx, server.id)]
    roots, others = [disk for disk in disks if disk["kind"] == "image"], [disk for disk in disks if disk["kind"] != "image"]
    for root in roots:
        if root["size_gib"]:
            root["size_gib"] = max(root["size_gib"], flavor.disk_gib)
    ephemeral = [disk for disk in others if not disk.get("swap")]
    swap = [disk for disk in others if disk.get("swap")]
    if flavor.ephemeral_gib and not ephemeral:
        used.append(next_name(used))
        others.append({"kind": "blank", "size_gib": flavor.ephemeral_gib, "device": used[-1]})
    elif len(ephemeral) == 1:
        ephemeral[0]["size_gib"] = max(ephemeral[0]["size_gib"], flavor.ephemeral_gib)
    if flavor.swap_mib and not swap:
        others.append({"kind": "blank", "size_mib": flavor.swap_mib, "swap": True, "device": next_name(used)})
    elif len(swap) == 1:
        swap[0]["size_mib"] = max(swap[0]["size_mib"], flavor.swap_mib)
    return [*roots, *others]


def confirm_resize(ctx: Context, id: str) -> None:
    """Keep the flavor and what was written since; what the old flavor took in addition is free again.

    :raises BadRequest: when the server is not being resized; Conflict: when its state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, SERVERS + "confirm_resize", "confirmResize")
        vm_state = "stopped" if server.power_state == states.SHUTDOWN else "active"
        kept = [{**disk, "held": False} for disk in server.disks]
        if is_moving(server):
            return moves.confirm(ctx, tx, server, kept)
        values = {"vm_state": vm_state, "aside": None, "disks": kept, "updated_at": ctx.cloud.clock.now()}
        store.change_if(tx, server, **values, **_room_kept(server))
        migrations.note(tx, server, "confirmed", ctx.cloud.clock.now())
        server_actions.add(tx, [id], access.asked(ctx, "confirmResize"))
        guests.log_event(tx, ctx.cloud, server)
    return None


def _room_kept(server: Server) -> dict[str, int]:
    flavor: Mapping[str, Any] = server.flavor
    disk_gib = (flavor["disk"] if server.image_id else 0) + flavor["ephemeral"] - (-flavor["swap"] // 1024)
    return {"vcpus": flavor["vcpus"], "memory_mib": flavor["ram"], "disk_gib": disk_gib}


def revert_resize(ctx: Context, id: str) -> None:
    """Give a server its old flavor back, and its own disks as they were before; volumes keep what was written to them.

    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, SERVERS + "revert_resize", "revertResize")
        if is_moving(server):
            return moves.revert(ctx, tx, server)
        before = server.aside["before"]
        values = {name: before[name] for name in (*ROOM, "flavor_id", "flavor", "disks")}
        migrations.note(tx, server, "reverting", ctx.cloud.clock.now())
        aside = {"vm_state": server.aside["vm_state"]}
        access.begin(ctx, tx, server, "revertResize", "revert", task_state="resize_reverting", aside=aside, **values)
    return None


def rescue(ctx: Context, id: str, image_id: str | None, password: str, of_volumes: bool = True) -> str:
    """Start a server from another disk, to mend its own; returns the administrator's password.

    :param of_volumes: also one that boots from a volume (2.87).
    :raises BadRequest: when the image is not there or cannot be booted.
    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.read() as tx:
        found = access.find(ctx, tx, id, API + "os-rescue")
    chosen = image_id or found.root_image_id or found.image_id or found.image.get("id", "")
    image = _rescue_image(ctx, chosen).properties if image_id or not found.image_id else found.image.get("properties") or {}
    stable = _stable_device(image)
    password = password or ids.secret(9)
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, API + "os-rescue", "rescue")
        if not server.image_id and not (of_volumes and set(image) >= RESCUE_PROPERTIES):
            text = f"Instance {id} cannot be rescued: Cannot rescue a volume-backed instance"
            raise BadRequest(text, kind="InstanceNotRescuable")
        aside = {"rescue_image_id": chosen, "vm_state": server.vm_state, **stable}
        memo = {"admin_password": password} if server.config_drive else {}
        access.begin(ctx, tx, server, "rescue", "rescue", memo, task_state="rescuing", aside=aside)
    return password


def _rescue_image(ctx: Context, image_id: str) -> neighbours.images.ImageFacts:
    try:
        image = neighbours.images.image_to_boot(ctx, image_id)
    except NotFound:
        raise BadRequest(f"Image {image_id} could not be found.", kind="ImageNotFound") from None
    if image.properties.get("block_device_mapping"):
        raise BadRequest(f"Requested rescue image '{image_id}' cannot be used", kind="UnsupportedRescueImage")
    neighbours.images.require_direct(image)
    return image


def _stable_device(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the disk of a rescue goes whose image asks for a device of its own beside the server's, which stay in place.

    :raises BadRequest: when no guest here can have such a device.
    """
    if not RESCUE_PROPERTIES & set(properties):
        return {}
    device = str(properties.get("hw_rescue_device") or "disk")
    bus = str(properties.get("hw_rescue_bus") or ("ide" if device == "cdrom" else "virtio"))
    if device not in RESCUE_BUSES:
        raise BadRequest(f"Requested rescue device '{device}' is not supported", kind="UnsupportedRescueDevice")
    if bus not in RESCUE_BUSES[device]:
        raise BadRequest(f"Requested rescue bus '{bus}' is not supported for a {device}.", kind="UnsupportedRescueBus")
    return {"rescue_stable": True, "rescue_device": device, "rescue_bus": bus}


def unrescue(ctx: Context, id: str) -> None:
    """Start a server from its own disk again.

    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, API + "os-unrescue", "unrescue")
        access.begin(ctx, tx, server, "unrescue", "unrescue", task_state="unrescuing", aside=None)


def shelve(ctx: Context, id: str) -> None:
    """Put a server away: an image is made of its disk, and its host is free of it.

    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, API + "os-shelve:shelve", "shelve")
        aside = reserve_snapshot(tx, ctx, server, f"{server.name}-shelved", {}) if server.image_id else None
        access.begin(ctx, tx, server, "shelve", "shelve", task_state="shelving", aside=aside)


def unshelve(ctx: Context, id: str, zone: str | None, host: str | None, *, unpin: bool = False) -> None:
    """Take a server from its shelf; the user may name another zone, an admin a host.

    :param unpin: it is bound to no zone from now on (2.91).
    :raises BadRequest: when the zone or the host is not there.
    :raises Conflict: when the server's state or lock is against it, or the host is in another zone than it is bound to.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, id, API + "os-shelve:unshelve")
        if host:
            ctx.require(API + "os-shelve:unshelve_to_host", {"project_id": server.project_id})
        access.require_unlocked(ctx, server)
        access.require_state(server, "unshelve")
        pinned = None if unpin else zone or server.pinned_zone
        _require_place(tx, zone, host, pinned)
        values: dict[str, Any] = {"pinned_zone": pinned, "wanted_host": {"host": host} if host else {}}
        access.begin(ctx, tx, server, "unshelve", "unshelve", task_state="unshelving", **values)


def _require_place(tx: Connection, zone: str | None, host: str | None, pinned: str | None) -> None:
    known = {each.name: each.zone for each in hosts.list_hosts(tx)}
    if host and host not in known:
        raise BadRequest(f"Compute host {host} could not be found.", kind="ComputeHostNotFound")
    if zone and zone not in known.values():
        raise BadRequest(f"The requested availability zone is not available: {zone}")
    if host and pinned and known[host] != pinned:
        text = f'Host "{host}" is not in the availability zone "{pinned}".'
        raise Conflict(text, kind="UnshelveHostNotInAZ")


def create_backup(ctx: Context, id: str, name: str, backup_type: str, rotation: int, metadata: Mapping[str, str]) -> str:
    """Have an image made of the root disk, and the oldest of its kind deleted; returns the image's id.

    :param rotation: how many of its kind are kept.
    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, API + "os-create-backup", "createBackup")
        if not server.image_id:
            raise BadRequest("Backup is not supported for volume-backed instances.")
        facts = {**metadata, "image_type": "backup", "backup_type": backup_type}
        aside = reserve_snapshot(tx, ctx, server, name, facts)
        plan = {**aside, "backup_type": backup_type, "rotation": rotation}
        access.begin(ctx, tx, server, "createBackup", "capture", task_state="image_backup", aside=plan)
    return str(aside["image_id"])
