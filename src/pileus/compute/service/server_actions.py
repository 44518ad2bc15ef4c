"""What may be asked of a server that is there: each checks the right, the lock and the state, writes the task state down and
has the work done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.compute import neighbours
from pileus.compute.driver import DriverError
from pileus.compute.policies.servers import API, SERVERS
from pileus.compute.service import moves, quotas, volume_images
from pileus.compute.service import server_access as access
from pileus.compute.service.server_create import image_kept, make_hostname
from pileus.compute.service.servers import Shown, gather, sight
from pileus.compute.store import server_actions, server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.servers import Server
from pileus.compute.tasks import guests
from pileus.kernel import ids
from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound, OverQuota


@dataclass(frozen=True)
class Kind:
    """An action that changes the power of a guest: its rule, and the task state while it is under way."""

    rule: str
    task_state: str


POWER = {
    "start": Kind(SERVERS + "start", "powering-on"),
    "stop": Kind(SERVERS + "stop", "powering-off"),
    "pause": Kind(API + "os-pause-server:pause", "pausing"),
    "unpause": Kind(API + "os-pause-server:unpause", "unpausing"),
    "suspend": Kind(API + "os-suspend-server:suspend", "suspending"),
    "resume": Kind(API + "os-suspend-server:resume", "resuming"),
}


def change_power(ctx: Context, id: str, action: str) -> None:
    """Start, stop, pause, unpause, suspend or resume.

    :raises Conflict: when the server's state or lock is against it.
    """
    kind = POWER[action]
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, kind.rule, action)
        access.begin(ctx, tx, server, action, "power", task_state=kind.task_state)


def reboot(ctx: Context, id: str, hard: bool) -> None:
    """Start the guest again.

    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, SERVERS + "reboot", "reboot_hard" if hard else "reboot")
        access.begin(ctx, tx, server, "reboot", "reboot", task_state="rebooting_hard" if hard else "rebooting")


def lock(ctx: Context, id: str, reason: str | None) -> None:
    """Let nobody but an admin and the one who locks change the server."""
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, id, API + "os-lock-server:lock")
        by = "owner" if server.project_id == ctx.project_id else "admin"
        if not (server.locked_by == "admin" and by == "owner"):
            store.change(tx, id, locked_by=by, locked_reason=reason)
        server_actions.add(tx, [id], access.asked(ctx, "lock"))


def unlock(ctx: Context, id: str) -> None:
    """Take the lock away; an admin's lock only an admin."""
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, id, API + "os-lock-server:unlock")
        if server.locked_by == "admin":
            target = {"project_id": server.project_id, "user_id": server.user_id}
            ctx.require(API + "os-lock-server:unlock:unlock_override", target)
        store.change(tx, id, locked_by=None, locked_reason=None)
        server_actions.add(tx, [id], access.asked(ctx, "unlock"))


def reset_state(ctx: Context, id: str, vm_state: str) -> None:
    """Say what a server is, for an admin who knows better; what was under way is forgotten."""
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, id, API + "os-admin-actions:reset_state")
        moves.release_lost(tx, server)
        store.change(tx, id, vm_state=vm_state, task_state=None, updated_at=ctx.cloud.clock.now())
        server_actions.add(tx, [id], access.asked(ctx, "resetState"))


def console_output(ctx: Context, id: str, lines: int | None) -> str:
    """Return the last lines of the guest's serial console.

    :raises Conflict: when it has no host yet.
    """
    with ctx.cloud.db.read() as tx:
        server = access.find(ctx, tx, id, API + "os-console-output")
    if server.host is None:
        raise Conflict(f"Instance {id} is not ready", kind="InstanceNotReady")
    try:
        return guests.hypervisor(ctx.cloud, server.host).console_log(id, lines)
    except (DriverError, HostUnknown) as error:
        raise NotFound(f"Unable to get console: {error}") from error


def create_image(ctx: Context, id: str, name: str, metadata: Mapping[str, str], most: int | None = None) -> str:
    """Have an image made of the root disk; returns the image's id.

    :param most: how many items of metadata there may be, in the old microversions where that is limited.
    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, SERVERS + "create_image", "createImage")
        limit = quotas.limits_of(tx, ctx.cloud, server.project_id)["metadata_items"]
        if most is not None and 0 <= limit < len(metadata):
            raise OverQuota("Image metadata limit exceeded", kind="MetadataLimitExceeded")
        if not server.image_id:
            ctx.require(
                SERVERS + "create_image:allow_volume_backed", {"project_id": server.project_id, "user_id": server.user_id}
            )
        aside = reserve_snapshot(tx, ctx, server, name, dict(metadata))
        access.begin(ctx, tx, server, "createImage", "capture", task_state="image_snapshot", aside=aside)
    return str(aside["image_id"])


def reserve_snapshot(tx: Connection, ctx: Context, server: Server, name: str, properties: dict[str, str]) -> dict[str, Any]:
    """Write down an image that is about to be made of a server; returns what its row keeps aside meanwhile."""
    facts = {"instance_uuid": server.id, "user_id": server.user_id, "image_type": "snapshot"}
    if not server.image_id:
        return volume_images.reserve(tx, ctx, server, name, facts | properties)
    facts["base_image_ref"] = server.image_id
    image_id = neighbours.images.reserve_image(tx, ctx, name, server.image, facts | properties, server.disks[0]["size_gib"])
    return {"image_id": image_id, "disk_format": neighbours.images.snapshot_format(server.image)}


@dataclass(frozen=True)
class Rebuild:
    """What a server is rebuilt as; values are columns to change, key_name "" takes the key away.

    reimages: a volume that it boots from is to have the image's content, too (2.93).
    """

    image_id: str
    values: Mapping[str, Any]
    key_name: str | None = None
    admin_password: str = ""
    trusted_certificates: bool = False
    reimages: bool = False


def rebuild(ctx: Context, id: str, wanted: Rebuild) -> tuple[Shown, str]:
    """Make the server anew of an image; returns it and its administrator's password.

    :raises BadRequest: when the image or the key is not there or does not fit.
    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, id, SERVERS + "rebuild")
    try:
        image = neighbours.images.image_to_boot(ctx, wanted.image_id)
    except NotFound:
        raise BadRequest("Cannot find image for rebuild") from None
    password = wanted.admin_password or ids.secret(9)
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, SERVERS + "rebuild", "rebuild")
        if server.image_id:
            neighbours.images.require_direct(image)
        if wanted.trusted_certificates:
            ctx.require(SERVERS + "rebuild:trusted_certs", {"project_id": server.project_id, "user_id": server.user_id})
        _require_room(ctx, tx, server, image, wanted)
        values = {**wanted.values, "image_id": image.id, "image": image_kept(image), "root_image_id": None}
        if not server.image_id:
            values |= {"image_id": "", "aside": _on_volume(ctx, tx, server, image, wanted)}
        if "name" in values and "hostname" not in values:
            values["hostname"] = make_hostname(str(values["name"]), id)
        if wanted.key_name is not None:
            values |= _key(ctx, tx, wanted.key_name)
        memo = {"admin_password": password} if server.config_drive else {}
        access.begin(ctx, tx, server, "rebuild", "rebuild", memo, task_state="rebuilding", **values)
        found = store.get(tx, id)
        return gather(ctx, tx, [found or server], sight(ctx, server).host_status)[0], password


def _require_room(ctx: Context, tx: Connection, server: Server, image: neighbours.images.ImageFacts, wanted: Rebuild) -> None:
    if image.min_ram > server.memory_mib:
        raise BadRequest("Flavor's memory is too small for requested image.", kind="FlavorMemoryTooSmall")
    root = server.flavor["disk"] if server.image_id else 0
    if root and (image.min_disk > root or image.virtual_size_bytes > root << 30):
        raise BadRequest("Flavor's disk is too small for requested image.", kind="FlavorDiskTooSmall")
    most = quotas.limits_of(tx, ctx.cloud, server.project_id)["metadata_items"]
    if 0 <= most < len(wanted.values.get("metadata", ())):
        raise OverQuota("Maximum number of metadata items exceeds quota", kind="MetadataLimitExceeded")


def _on_volume(
    ctx: Context, tx: Connection, server: Server, image: neighbours.images.ImageFacts, wanted: Rebuild
) -> dict[str, Any] | None:
    """Check that a server that boots from a volume can be rebuilt; returns what its task needs to know."""
    if wanted.values.get("trusted_certificates"):
        raise BadRequest("Image certificate validation is not supported for volume-backed servers.")
    made_of = None
    for row in server_volumes.of(tx, server.id):
        facts = neighbours.volumes.status_of(tx, ctx.cloud, server.project_id, row.volume_id)
        if row.state != "attached":
            text = f"Invalid volume: volume '{row.volume_id}' status must be 'in-use'. Currently in '{facts.status}' status"
            raise BadRequest(text, kind="InvalidVolume")
        if row.boot_index != 0:
            continue
        made_of = facts.image_metadata.get("image_id")
        if wanted.reimages and (image.min_disk > row.size_gib or image.virtual_size_bytes > row.size_gib << 30):
            raise BadRequest(
                f"Volume is smaller than the minimum size specified in image metadata. Volume size is {row.size_gib << 30} "
                f"bytes, minimum size is {max(image.min_disk << 30, image.virtual_size_bytes)} bytes.",
                kind="VolumeSmallerThanMinDisk",
            )
    if wanted.reimages:
        return {"reimage": image.id}
    if made_of != image.id:
        raise BadRequest(
            f"Image {image.id} is unacceptable: Unable to rebuild with a different image for a volume-backed server.",
            kind="ImageUnacceptable",
        )
    return None


def _key(ctx: Context, tx: Connection, key_name: str) -> dict[str, Any]:
    if not key_name:
        return {"key_name": None, "key_type": None, "key_public": None}
    found = store.key_of(tx, ctx.user_id, key_name)
    if found is None:
        raise BadRequest("Invalid key_name provided.", kind="KeypairNotFound")
    return {"key_name": key_name, "key_type": found.type, "key_public": found.public_key}


def change_group(ctx: Context, id: str, name: str, add: bool) -> None:
    """Put all ports of a server into a security group, or take them out.

    :raises NotFound: when there is no such group, or the server is not in it.
    """
    rule = API + ("os-security-groups:add" if add else "os-security-groups:remove")

    def work(tx: Connection) -> None:
        server = access.find(ctx, tx, id, rule)
        access.require_unlocked(ctx, server)
        neighbours.network.change_group(tx, ctx, id, name, add)
        names = [one for one in server.security_groups if one != name]
        store.change(tx, id, security_groups=[*names, name] if add else names, updated_at=ctx.cloud.clock.now())

    neighbours.network.transact(ctx.cloud, work)


def refuse_password(ctx: Context, id: str) -> None:
    """Refuse to change a password inside a guest: there is no agent in it.

    :raises Conflict: always.
    """
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, id, API + "os-admin-password")
    raise Conflict("Failed to set admin password on the instance: no agent runs in it.", kind="InstancePasswordSetFailed")


REFUSED: dict[str, tuple[str, str, type[Exception], str]] = {
    "shelveOffload": ("os-shelve:shelve_offload", "shelveOffload", BadRequest, ""),
    "restore": ("os-deferred-delete:restore", "restore", BadRequest, ""),
    "trigger_crash_dump": (
        "servers:trigger_crash_dump", "trigger_crash_dump", BadRequest, "Triggering crash dump is not supported",
    ),
}  # fmt: skip


def refuse(ctx: Context, id: str, action: str) -> None:
    """Answer an action that this cloud cannot do, after all that would be checked anyway.

    :raises Conflict: when the server's state or lock is against it.
    :raises BadRequest: when no host could do it; NotImplementedHere: when nothing could.
    """
    rule, state, kind, why = REFUSED[action]
    with ctx.cloud.db.read() as tx:
        server = access.find(ctx, tx, id, API + rule)
        access.require_unlocked(ctx, server)
        if state:
            access.require_state(server, state)
    raise kind(why)


def show_rule(ctx: Context, id: str, rule: str) -> Server:
    """Return a server's row, under a rule of its own."""
    with ctx.cloud.db.read() as tx:
        return access.find(ctx, tx, id, rule)


def inject_network_info(ctx: Context, id: str) -> None:
    """Accept the wish that a guest be told of its network: guests ask for that themselves here."""
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, id, API + "os-admin-actions:inject_network_info")
        access.require_unlocked(ctx, server)
        server_actions.add(tx, [id], access.asked(ctx, "injectNetworkInfo"))
