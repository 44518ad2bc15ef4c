"""Servers that go to another host while they are off: asked for, confirmed, taken back."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from pileus.compute.policies.servers import API
from pileus.compute.service import server_access as access
from pileus.compute.store import hosts, migrations, server_volumes
from pileus.compute.store import servers as store
from pileus.compute.store.migrations import Held, Plan
from pileus.compute.store.servers import Server
from pileus.compute.tasks import guests, moves, placing
from pileus.compute.tasks.placing import Place, Wish
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict

KEPT = (*moves.ROOM, "flavor_id", "flavor", "disks")


def migrate(ctx: Context, id: str, host: str | None = None) -> None:
    """Have a server go to another host; it stays there when that is confirmed.

    :param host: where it is to go; None: where it fits best.
    :raises BadRequest: when no host will do.
    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, API + "os-migrate-server:migrate", "migrate")
        if host is not None:
            ctx.require(API + "os-migrate-server:migrate:host", {"project_id": server.project_id})
            _require_other(tx, server, host)
        disks = [{**disk, "held": False} for disk in server.disks]
        wish = Wish(server.vcpus, server.memory_mib, server.disk_gib, server.flavor, host or "")
        start(ctx, tx, server, migrations.MIGRATION, wish, {"disks": disks})


def _require_other(tx: Connection, server: Server, host: str) -> None:
    if host == server.host:
        text = f"Unable to migrate instance ({server.id}) to current host ({host})."
        raise BadRequest(text, kind="CannotMigrateToSameHost")
    if hosts.find(tx, name=host) is None:
        raise BadRequest(f"Compute host {host} could not be found.", kind="ComputeHostNotFound")


def start(
    ctx: Context, tx: Connection, server: Server, kind: str, wish: Wish, after: Mapping[str, Any],
    new_flavor: int | None = None, why_not_here: str = "", **values: Any,
) -> None:  # fmt: skip
    """Claim room for a server on another host and have it go there.

    :param after: columns that it has from then on, beside its room.
    :param why_not_here: why it leaves its host, for who is told that no host will do.
    :raises BadRequest: when none will.
    :raises Conflict: when one of its volumes is being moved.
    """
    require_settled(tx, server)
    place = find_place(tx, ctx.cloud, server, wish, why_not_here)
    room = {"vcpus": wish.vcpus, "memory_mib": wish.memory_mib, "disk_gib": wish.disk_gib}
    address = address_of(ctx.cloud, place.host)
    plan = Plan(kind, place.host, address, new_flavor, "pre-migrating")
    number = migrations.add(tx, server, ctx.user_id, plan, ctx.cloud.clock.now(), Held(place.host, **room))
    before = {name: getattr(server, name) for name in (*KEPT, "host", "availability_zone")}
    move = {"id": number, "ticket": ids.uuid(), "host": place.host, "zone": place.zone, "after": {**after, **room}}
    aside = {"before": before, "vm_state": server.vm_state, "move": move}
    action = "migrate" if kind == migrations.MIGRATION else "resize"
    access.begin(ctx, tx, server, action, "resize", task_state="resize_migrating", aside=aside, **values)
    for event in ("conductor_migrate_server", "compute_prep_resize"):
        guests.log_event(tx, ctx.cloud, server, event=event)


def find_place(tx: Connection, cloud: Cloud, server: Server, wish: Wish, why_not_here: str = "") -> Place:
    """Return another host for a server.  :raises BadRequest: when none will do."""
    refused = {str(server.host): why_not_here or "it is to leave this host"}
    place = placing.claim(tx, cloud, server, refused, wish)
    if not place.host:
        raise BadRequest(place.why, kind="NoValidHost")
    return place


def require_settled(tx: Connection, server: Server) -> None:
    """Check that no volume of a server is being carried to another back end.  :raises Conflict: when one is."""
    if busy := [row.volume_id for row in server_volumes.of(tx, server.id) if row.state == "moving"]:
        raise Conflict(f"Volume {busy[0]} of instance {server.id} is being moved to another back end.")


def address_of(cloud: Cloud, host: str) -> str | None:
    """Return the address of a host, where it has an agent that says so."""
    return cloud.bus.facts(host).get("tunnel") or None


def confirm(ctx: Context, tx: Connection, server: Server, disks: Sequence[Mapping[str, Any]]) -> None:
    """Have what is left of a server that has moved removed where it was."""
    _note(tx, server, "confirming", ctx)
    access.begin(ctx, tx, server, "confirmResize", "confirm", task_state="resize_confirming", disks=list(disks))


def revert(ctx: Context, tx: Connection, server: Server) -> None:
    """Have a server that has moved go back to where it was."""
    _note(tx, server, "reverting", ctx)
    access.begin(ctx, tx, server, "revertResize", "revert", task_state="resize_reverting")


def _note(tx: Connection, server: Server, status: str, ctx: Context) -> None:
    migrations.change(tx, server.aside["move"]["id"], ctx.cloud.clock.now(), status=status)


def release_lost(tx: Connection, server: Server) -> None:
    """Hold no room any more for a server whose state somebody has set by hand."""
    if moves.is_moving(server):
        migrations.release(tx, server.id)
        store.change(tx, server.id, aside=None)
