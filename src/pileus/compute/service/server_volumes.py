"""The volumes of a server, attached and detached while it runs, rests or lies on a shelf."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.compute import block_devices, neighbours
from pileus.compute.block_devices import BlockDevice
from pileus.compute.neighbours.volumes import VolumeFacts
from pileus.compute.policies.servers import API
from pileus.compute.service import server_access as access
from pileus.compute.service.server_disks import OLD_MULTIATTACH, row_of
from pileus.compute.store import server_actions, servers
from pileus.compute.store import server_volumes as store
from pileus.compute.store.server_volumes import Mapped
from pileus.compute.store.servers import Server
from pileus.compute.tasks import disks, guests
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound

ROOT = API + "os-volumes-attachments:"
SHELVED = ("shelved", "shelved_offloaded")


@dataclass(frozen=True)
class Wanted:
    """A volume that a server is to have.

    :param shares: the caller knows that a volume may be attached to several servers (2.60).
    :param of_shelved: the caller knows that a server may be on a shelf (2.20).
    """

    volume_id: str
    device: str = ""
    tag: str | None = None
    delete_on_termination: bool = False
    shares: bool = True
    of_shelved: bool = True


def list_volumes(ctx: Context, server_id: str) -> Sequence[Mapped]:
    """Return the volumes of a server, in the order of their devices."""
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, server_id, ROOT + "index")
        return store.of(tx, server_id)


def show(ctx: Context, server_id: str, volume_id: str) -> Mapped:
    """Return a volume of a server.  :raises NotFound: when the server has it not."""
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, server_id, ROOT + "show")
        return _find(tx, server_id, volume_id)


def _find(tx: Connection, server_id: str, volume_id: str) -> Mapped:
    found = store.get(tx, server_id, volume_id)
    if found is None:
        raise NotFound(f"Instance {server_id} is not attached to volume {volume_id}")
    return found


def attach(ctx: Context, server_id: str, wanted: Wanted) -> Mapped:
    """Give a server a volume: it is kept for it at once, and plugged in a moment after the answer.

    :raises NotFound: when there is no such volume.
    :raises BadRequest: when the volume cannot be had.
    :raises Conflict: when the device is taken, or the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, server_id, ROOT + "create")
        _require_ready(ctx, server, "attach_volume", wanted.of_shelved)
        servers.change(tx, server_id, updated_at=ctx.cloud.clock.now())
        facts = neighbours.volumes.facts(tx, ctx, wanted.volume_id)
        _require_free(tx, server, facts, wanted)
        rows = store.of(tx, server_id)
        used = [block_devices.local_name(disk, number) for number, disk in enumerate(server.disks)]
        name = block_devices.next_name([*used, *(row.device_name for row in rows)], wanted.device)
        attachment_id = neighbours.volumes.reserve(tx, ctx, facts.id, server_id, device=name)
        device = BlockDevice(
            "volume", "volume", facts.id, boot_index=None, name=name, tag=wanted.tag,
            delete_on_termination=wanted.delete_on_termination,
        )  # fmt: skip
        made = row_of(ctx, server_id, facts.id, attachment_id, device)
        away = server.vm_state == "shelved_offloaded"
        made |= {"size_gib": facts.size_gib, "request_id": ctx.request_id, "state": "attached" if away else "attaching"}
        store.add(tx, [made])
        if away:
            neighbours.volumes.attached(tx, ctx.cloud, attachment_id, name)
            _log(ctx, tx, server, "attach_volume")
        else:
            access.begin(ctx, tx, server, "attach_volume", "plug")
        return _find(tx, server_id, facts.id)


def _require_ready(ctx: Context, server: Server, action: str, of_shelved: bool) -> None:
    access.require_unlocked(ctx, server)
    if server.vm_state in SHELVED and not of_shelved:
        raise Conflict(f"Cannot '{action}' instance {server.id} while it is in vm_state {server.vm_state}")
    access.require_state(server, action)


def _log(ctx: Context, tx: Connection, server: Server, action: str) -> None:
    """Write down what is done already: the server is on no host that would have to do anything."""
    server_actions.add(tx, [server.id], access.asked(ctx, action))
    guests.log_event(tx, ctx.cloud, server, "", f"api_{action}", ctx.request_id)


def _require_free(tx: Connection, server: Server, facts: VolumeFacts, wanted: Wanted) -> None:
    """Check that the volume may be attached to this server, beside those it is attached to."""
    rows = store.of_volume(tx, facts.id)
    if any(row.server_id == server.id for row in rows):
        raise BadRequest(f"Invalid volume: volume {facts.id} already attached", kind="InvalidVolume")
    if rows and not facts.multiattach:
        others = " ".join(row.server_id for row in rows)
        text = f"Invalid volume: volume {facts.id} is already attached to instances: {others}"
        raise BadRequest(text, kind="InvalidVolume")
    if server.vm_state == "shelved_offloaded":
        if wanted.tag:
            text = "Tagged volume attachment is not supported for shelved-offloaded instances."
            raise BadRequest(text, kind="VolumeTaggedAttachToShelvedNotSupported")
        if facts.multiattach:
            text = "Attaching multiattach volumes is not supported for shelved-offloaded instances."
            raise BadRequest(text, kind="MultiattachToShelvedNotSupported")
    if facts.multiattach and not wanted.shares:
        raise OLD_MULTIATTACH


def detach(ctx: Context, server_id: str, volume_id: str, of_shelved: bool = True) -> None:
    """Take a volume from a server, once the guest lets go of it.

    :raises NotFound: when the server has it not.
    :raises BadRequest: when it is the disk that the server boots from, or it is not attached now.
    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, server_id, ROOT + "delete")
        access.require_unlocked(ctx, server)
        row = _find(tx, server_id, volume_id)
        if row.boot_index == 0:
            raise BadRequest("Cannot detach a root device volume")
        _require_ready(ctx, server, "detach_volume", of_shelved)
        if server.vm_state == "shelved_offloaded":
            disks.release_one(tx, ctx.cloud, row)
            if row.delete_on_termination:
                neighbours.volumes.delete(tx, ctx.cloud, server.project_id, row.volume_id)
            _log(ctx, tx, server, "detach_volume")
            return
        if row.state != "attached":
            raise _not_attached(volume_id, row.state)
        try:
            neighbours.volumes.begin_detach(tx, ctx, row.attachment_id)
        except Conflict as error:
            raise BadRequest(f"Invalid volume: {error.message}", kind="InvalidVolume") from None
        store.change(tx, row.id, state="detaching", request_id=ctx.request_id)
        access.begin(ctx, tx, server, "detach_volume", "plug")


def _not_attached(volume_id: str, state: str) -> BadRequest:
    text = f"Invalid volume: Invalid input received: Invalid volume: Unable to detach volume {volume_id}: it is {state}."
    return BadRequest(text, kind="InvalidVolume")


def update(ctx: Context, server_id: str, volume_id: str, values: Mapping[str, Any], new_volume_id: str) -> None:
    """Change what becomes of a volume when its server goes (2.85).  What else is named must be as it is.

    :param values: id, serverId, device, tag, delete_on_termination, as far as they were given.
    :raises NotFound: when the server has it not.
    :raises BadRequest: when something is named that cannot be changed.
    :raises Conflict: when another volume is named: only the volume service moves servers from one to another.
    """
    with ctx.cloud.db.begin() as tx:
        if new_volume_id != volume_id:
            ctx.require(ROOT + "swap", {})
            server = access.find(ctx, tx, server_id, ROOT + "show")
        else:
            server = access.find(ctx, tx, server_id, ROOT + "update")
        if values or new_volume_id == volume_id:
            row = _find(tx, server.id, volume_id)
            fixed = {"id": volume_id, "serverId": server.id, "device": row.device_name, "tag": row.tag}
            for name, value in fixed.items():
                if values.get(name, value) != value:
                    raise BadRequest(f"The {name} property is not mutable")
            if "delete_on_termination" in values:
                store.change(tx, row.id, delete_on_termination=values["delete_on_termination"])
    if new_volume_id != volume_id:
        refuse_swap(ctx, volume_id)


def swap(ctx: Context, server_id: str, volume_id: str) -> None:
    """Refuse to move a server from one volume to another, after all that would be checked anyway (until 2.84 all that PUT does).

    :raises NotFound: when there is no such server or volume.
    :raises Conflict: as the volume is not being migrated.
    """
    ctx.require(ROOT + "swap", {})
    with ctx.cloud.db.read() as tx:
        if servers.get(tx, server_id) is None:
            raise access.missing(server_id)
    refuse_swap(ctx, volume_id)


def refuse_swap(ctx: Context, volume_id: str) -> None:
    """Say that servers are moved to other volumes by the volume service alone.

    :raises NotFound: when there is no such volume.
    :raises Conflict: else.
    """
    with ctx.cloud.db.read() as tx:
        neighbours.volumes.status_of(tx, ctx.cloud, ctx.project_id, volume_id)
    raise Conflict(f"volume {volume_id} is not migrating; this API should only be called by Cinder")
