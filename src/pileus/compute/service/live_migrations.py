"""Servers that go to another host while they run: asked for, followed, hurried, aborted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.compute.policies.servers import API
from pileus.compute.policies.servers_migrations import MIGRATIONS
from pileus.compute.service import server_access as access
from pileus.compute.service.moves import address_of
from pileus.compute.store import hosts, migrations, server_actions, server_volumes
from pileus.compute.store.hosts import Host
from pileus.compute.store.migrations import LIVE, Held, Migration, Plan
from pileus.compute.store.servers import Server
from pileus.compute.tasks import guests, live_migrations, placing
from pileus.compute.tasks.placing import Place, Wish
from pileus.kernel import tasks
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, Fault, NotFound

RULE = "os-migrate-server:migrate_live"
UNDER_WAY = ("queued", "preparing", "running", "post-migrating")


@dataclass(frozen=True)
class Wanted:
    """How a server is to go.

    :param host: where to; "": where it fits best.
    :param copies: whether its own disks are copied; None: if it has any.
    :param forced: to that host whatever its room and rules say.
    :param told: whether what speaks against it is an answer; else the log of actions says so.
    """

    host: str = ""
    copies: bool | None = None
    forced: bool = False
    told: bool = False


def migrate(ctx: Context, id: str, wanted: Wanted) -> None:
    """Have a server that runs go to another host without a stop.

    :raises BadRequest: when the host will not do, or (where that is to be told) none will.
    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.ready(ctx, tx, id, API + RULE, "os-migrateLive")
        if wanted.host:
            ctx.require(API + RULE + ":host", {"project_id": server.project_id})
            _require_other(tx, server, wanted.host)
        require_settled(tx, server)
        place, why = _place(tx, ctx, server, wanted)
        if why is not None and wanted.told:
            raise why
        number = _write_down(ctx, tx, server, place)
        if why is None:
            _begin(ctx, tx, server, place, number)
        else:
            server_actions.add(tx, [id], access.asked(ctx, "live-migration"))
            guests.log_event(tx, ctx.cloud, server, why.message, "conductor_live_migrate_instance", ctx.request_id)


def _require_other(tx: Connection, server: Server, host: str) -> None:
    if hosts.find(tx, name=host) is None:
        raise BadRequest(f"Compute host {host} could not be found.", kind="ComputeHostNotFound")
    if host == server.host:
        raise BadRequest(f"Unable to migrate instance ({server.id}) to current host ({host}).", kind="UnableToMigrateToSelf")


def require_settled(tx: Connection, server: Server) -> None:
    """Check that no volume of a server is on its way.  :raises Conflict: when one is."""
    if busy := [row for row in server_volumes.of(tx, server.id) if row.state != "attached"]:
        raise Conflict(f"Cannot 'os-migrateLive' instance {server.id} while its volume {busy[0].volume_id} is {busy[0].state}")


def _place(tx: Connection, ctx: Context, server: Server, wanted: Wanted) -> tuple[Place, Fault | None]:
    """Return where a server is to go, or what speaks against it."""
    if why := obstacle(tx, ctx, server, wanted):
        return Place(), why
    refused = {str(server.host): "it is to leave this host", **_unlike(tx, str(server.host))}
    if wanted.host in refused:
        return Place(), BadRequest(f"Host {wanted.host} {refused[wanted.host]}.", kind="MigrationPreCheckError")
    wish = Wish(server.vcpus, server.memory_mib, server.disk_gib, server.flavor, wanted.host, wanted.forced)
    place = placing.claim(tx, ctx.cloud, server, refused, wish)
    return place, None if place.host else BadRequest(place.why, kind="NoValidHost")


def obstacle(tx: Connection, ctx: Context, server: Server, wanted: Wanted) -> Fault | None:
    """Return what speaks against a server's leaving its host while it runs, wherever to."""
    now = ctx.cloud.clock.now()
    for name in (str(server.host), wanted.host):
        found = hosts.find(tx, name=name) if name else None
        if name and (found is None or not found.is_up(now)):
            return BadRequest(f"Compute service of {name} is unavailable at this time.", kind="ComputeServiceUnavailable")
    if wanted.copies is False and server.disks:
        text = (
            f"{server.host} is not on shared storage: Shared storage live-migration requires either shared storage or "
            "boot-from-volume with no local disks."
        )
        return BadRequest(text, kind="InvalidSharedStorage")
    if wanted.copies and not server.disks:
        text = f"{server.host} is not on local storage: Block migration can not be used with shared storage."
        return BadRequest(text, kind="InvalidLocalStorage")
    return None


def _unlike(tx: Connection, name: str) -> dict[str, str]:
    """Return the hosts on which a guest of one host cannot go on, each with the reason."""
    every = {host.name: host for host in hosts.list_hosts(tx)}
    here = every.get(name)
    if here is None:
        return {}
    return {host.name: why for host in every.values() if (why := _unlikeness(here, host))}


def _unlikeness(here: Host, there: Host) -> str:
    if here.hypervisor_type != there.hypervisor_type or here.arch != there.arch or here.virt_type != there.virt_type:
        return f"runs guests by {there.hypervisor_type}/{there.virt_type} on {there.arch}"
    if there.hypervisor_version < here.hypervisor_version:
        return f"has an older hypervisor ({there.hypervisor_version}) than {here.name} ({here.hypervisor_version})"
    if here.virt_type == "kvm":
        lacking = set(here.cpu.get("features") or ()) - set(there.cpu.get("features") or ())
        if here.cpu.get("vendor") != there.cpu.get("vendor") or lacking:
            return f"has another processor: it lacks {', '.join(sorted(lacking)) or 'the same maker'}"
    return ""


def _write_down(ctx: Context, tx: Connection, server: Server, place: Place) -> int:
    held = Held(place.host, server.vcpus, server.memory_mib, server.disk_gib) if place.host else None
    status = "queued" if place.host else "error"
    plan = Plan(LIVE, place.host or None, address_of(ctx.cloud, place.host) if place.host else None, None, status)
    return migrations.add(tx, server, ctx.user_id, plan, ctx.cloud.clock.now(), held)


def _begin(ctx: Context, tx: Connection, server: Server, place: Place, number: int) -> None:
    live = {
        "id": number, "source": server.host, "host": place.host, "zone": place.zone, "request_id": ctx.request_id,
        "vm_state": server.vm_state, "moved": False, "attachments": {},
    }  # fmt: skip
    aside = {**(server.aside or {}), "live": live}
    task_state = live_migrations.MIGRATING
    access.begin(ctx, tx, server, "live-migration", "make_ready", task_state=task_state, aside=aside)
    guests.log_event(tx, ctx.cloud, server, "", "conductor_live_migrate_instance", ctx.request_id)


# ---- migrations that are under way


def list_under_way(ctx: Context, server_id: str) -> list[Migration]:
    """Return the live migrations of a server that are under way."""
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, server_id, MIGRATIONS + "index")
        return [row for row in migrations.of_server(tx, server_id, (LIVE,)) if row.status in UNDER_WAY]


def show(ctx: Context, server_id: str, number: str) -> Migration:
    """Return a live migration of a server that is under way.  :raises NotFound: when there is none of that number."""
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, server_id, MIGRATIONS + "show")
        found = _find(tx, server_id, number)
        if found.migration_type != LIVE:
            raise NotFound(f"Migration {number} for server {server_id} is not live-migration.")
        if found.status not in UNDER_WAY:
            raise NotFound(f"Migration {number} for server {server_id} is not in progress.")
        return found


def hurry(ctx: Context, server_id: str, number: str) -> None:
    """Have a server's live migration come to an end, though its guest is halted for longer.

    :raises BadRequest: when there is none of that number, or it is in no state for that.
    :raises Conflict: when the server is not migrating, or locked.
    """
    with ctx.cloud.db.begin() as tx:
        server = _migrating(ctx, tx, server_id, MIGRATIONS + "force_complete", "force_complete")
        try:
            found = _find(tx, server_id, number)
        except NotFound as error:
            raise BadRequest(error.message, kind="MigrationNotFoundForInstance") from None
        _require_status(found, server, ("running",), "force complete")
        server_actions.add(tx, [server_id], access.asked(ctx, "live_migration_force_complete"))
        tasks.signal(tx, ctx.cloud, server_id, live_migrations.HURRY)


def abort(ctx: Context, server_id: str, number: str, *, early: bool) -> None:
    """Have a server stay where it is.

    :param early: also one whose guest is not on its way yet (2.65).
    :raises NotFound: when there is none of that number.
    :raises BadRequest: when it is in no state for that.
    :raises Conflict: when the server is not migrating, or locked.
    """
    with ctx.cloud.db.begin() as tx:
        server = _migrating(ctx, tx, server_id, MIGRATIONS + "delete", "abort live migration")
        found = _find(tx, server_id, number)
        _require_status(found, server, ("running", "queued", "preparing") if early else ("running",), "abort live migration")
        server_actions.add(tx, [server_id], access.asked(ctx, "live_migration_cancel"))
        tasks.signal(tx, ctx.cloud, server_id, live_migrations.ABORT)


def _migrating(ctx: Context, tx: Connection, server_id: str, rule: str, word: str) -> Server:
    server = access.find(ctx, tx, server_id, rule)
    access.require_unlocked(ctx, server)
    if server.task_state != live_migrations.MIGRATING or live_migrations.plan_of(server) is None:
        raise Conflict(f"Cannot '{word}' instance {server_id} while it is in task_state {server.task_state}")
    return server


def _require_status(found: Migration, server: Server, allowed: tuple[str, ...], word: str) -> None:
    plan: Mapping[str, Any] = live_migrations.plan_of(server) or {}
    if found.migration_type != LIVE or found.status not in allowed or plan.get("id") != found.id:
        now = f"Migration {found.id} state of instance {server.id} is {found.status}."
        text = f"{now} Cannot {word} while the migration is in this state."
        raise BadRequest(text, kind="InvalidMigrationState")


def _find(tx: Connection, server_id: str, number: str) -> Migration:
    found = migrations.one(tx, int(number)) if number.isdecimal() and len(number) < 10 else None
    if found is None or found.server_id != server_id:
        text = f"Migration {number} not found for instance {server_id}"
        raise NotFound(text, kind="MigrationNotFoundForInstance")
    return found
