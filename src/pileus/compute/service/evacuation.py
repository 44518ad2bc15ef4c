"""Servers of a host that is gone are made anew on another one; and which guests a host that comes back has lost."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.compute import states
from pileus.compute.policies.servers import API
from pileus.compute.service import moves
from pileus.compute.service import server_access as access
from pileus.compute.store import hosts, migrations
from pileus.compute.store import servers as store
from pileus.compute.store.migrations import Held, Plan
from pileus.compute.store.servers import Server
from pileus.compute.tasks.placing import Wish
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound

FENCING_SECONDS = 15.0  # in which a host halts its guests once its time is over
INTERRUPTED = frozenset({
    None, "powering-off", "powering-on", "pausing", "unpausing", "suspending", "resuming", "rebooting", "rebooting_hard",
})  # fmt: skip
"""What may be under way with a server whose host is gone: it ends there."""


@dataclass(frozen=True)
class Wanted:
    """How a server is evacuated.

    :param host: where it is to go; "": where it fits best.
    :param forced: there whatever speaks against it.
    :param shared: somebody says that its disks are on storage that all hosts share.
    :param stays_off: it is not started there (2.95).
    """

    host: str = ""
    forced: bool = False
    admin_password: str = ""
    shared: bool = False
    stays_off: bool = False


def evacuate(ctx: Context, id: str, wanted: Wanted) -> str:
    """Make a server anew on another host, with its ports and volumes; returns its administrator's password.

    What is on its own disks is lost.

    :raises NotFound: when the host is not there.
    :raises BadRequest: when its host is up, no other will do, or its disks are on no shared storage.
    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, id, API + "os-evacuate")
        access.require_unlocked(ctx, server)
        _require_state(server)
        runs_until = _require_gone(ctx.cloud, tx, server)
        _require_sense(tx, server, wanted)
        password = wanted.admin_password or ids.secret(9)
        wish = Wish(server.vcpus, server.memory_mib, server.disk_gib, server.flavor, wanted.host, wanted.forced)
        place = moves.find_place(tx, ctx.cloud, server, wish, "it is gone")
        plan = Plan(migrations.EVACUATION, place.host, moves.address_of(ctx.cloud, place.host), None, "accepted")
        held = Held(place.host, server.vcpus, server.memory_mib, server.disk_gib)
        number = migrations.add(tx, server, ctx.user_id, plan, ctx.cloud.clock.now(), held)
        move = {"id": number, "host": place.host, "zone": place.zone}
        move["after"] = {"disks": [{**disk, "held": False} for disk in server.disks]}
        before = {name: getattr(server, name) for name in ("host", "availability_zone", "disks")}
        off = wanted.stays_off or server.vm_state == "stopped"
        aside = {"before": before, "vm_state": "stopped" if off else "active", "move": move}
        memo: dict[str, Any] = {"admin_password": password} if server.config_drive else {}
        memo |= {"not_before": runs_until} if runs_until else {}
        access.begin(ctx, tx, server, "evacuate", "rebuild", memo, task_state="rebuilding", aside=aside)
    return password


def _require_state(server: Server) -> None:
    if server.vm_state not in states.ALLOWED["evacuate"] or server.host is None:
        raise Conflict(f"Cannot 'evacuate' instance {server.id} while it is in vm_state {server.vm_state}")
    if server.task_state not in INTERRUPTED:
        raise Conflict(f"Cannot 'evacuate' instance {server.id} while it is in task_state {server.task_state}")


def _require_gone(cloud: Cloud, tx: Connection, server: Server) -> float:
    """Require that a server's host is down; returns until when that may run it at most, though nobody hears of it (0: unknown).

    Nobody notes meanwhile that the host is there: it is that, or the server is on its way, for whoever asks next.
    """
    hosts.hold_row(tx, str(server.host))
    host, seconds = hosts.find(tx, name=server.host), cloud.settings.fence_after_seconds
    if host is not None and host.is_up(cloud.clock.now()):
        raise BadRequest(f"Compute service of {server.host} is still in use.", kind="ComputeServiceInUse")
    return host.seen_at + seconds + FENCING_SECONDS if host is not None and seconds else 0.0


def _require_sense(tx: Connection, server: Server, wanted: Wanted) -> None:
    if wanted.host and hosts.find(tx, name=wanted.host) is None:
        raise NotFound(f"Compute host {wanted.host} not found.", kind="ComputeHostNotFound")
    if wanted.host == server.host:
        raise BadRequest("The target host can't be the same one.")
    if wanted.forced and not wanted.host:
        raise BadRequest("Can't force to a non-provided destination")
    if wanted.shared and wanted.admin_password:
        raise BadRequest("admin password can't be changed on existing disk")
    if wanted.shared and server.image_id:
        text = "Invalid state of instance files on shared storage: the disks of servers are files of their own host."
        raise BadRequest(text, kind="InvalidSharedStorage")


def lost_guests(cloud: Cloud, host: str, guest_ids: Collection[str]) -> tuple[str, ...]:
    """Return those of a host's guests that are its own no longer: they were deleted, or are another's now.

    Guests that nobody knows are not among them.
    """
    with cloud.db.read() as tx:
        return tuple(store.lost(tx, host, guest_ids))


def renew(cloud: Cloud, host: str, guest_ids: Collection[str]) -> tuple[float, tuple[str, ...]]:
    """Note that a host is there; returns for how many seconds it may run its guests (0: for ever), and which not at all.

    Those are the ones that it has lost, and those that are being made anew elsewhere; all, if somebody said that it is down.
    """
    seconds = float(cloud.settings.fence_after_seconds)
    if not seconds:
        return 0.0, ()
    with cloud.db.begin() as tx:
        if not hosts.note_up(tx, host, cloud.clock.now()):
            return seconds, tuple(guest_ids) if hosts.find(tx, name=host) is not None else ()
        return seconds, (*store.lost(tx, host, guest_ids), *store.evacuated_from(tx, host, guest_ids))
