"""The action os-migrateLive, and /v2.1/servers/{server_id}/migrations."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from pileus.compute.api.given import given
from pileus.compute.policies.servers_migrations import MIGRATIONS
from pileus.compute.schemas.fields import Bool, HostName, read_bool, show_time
from pileus.compute.schemas.servers import unexpected
from pileus.compute.service import live_migrations as service
from pileus.compute.store.migrations import Migration
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route

BYTES = tuple(f"{what}_{part}" for what in ("memory", "disk") for part in ("total", "processed", "remaining"))


class MigrateLive(Struct, forbid_unknown_fields=True):
    """How and where a server goes while it runs; force 2.30 to 2.67, disk_over_commit to 2.24."""

    host: HostName | None
    block_migration: Bool
    over_commit: Bool | UnsetType = field(default=UNSET, name="disk_over_commit")
    force: Bool | UnsetType = UNSET


class ForceComplete(Struct, forbid_unknown_fields=True):
    """What is to be done with a migration: nothing more is said of it."""

    force_complete: None


def migrate(call: Call, id: str, body: MigrateLive) -> None:
    """Have a server go to another host while it runs."""
    older = not call.since("2.25")
    if older and body.over_commit is UNSET:
        raise BadRequest("Invalid input for field/attribute os-migrateLive. 'disk_over_commit' is a required property")
    if not older and body.over_commit is not UNSET:
        raise unexpected("disk_over_commit")
    if body.force is not UNSET and (not call.since("2.30") or call.since("2.68")):
        raise unexpected("force")
    if body.over_commit is not UNSET:
        read_bool(body.over_commit)
    copies = None if not older and body.block_migration == "auto" else read_bool(body.block_migration)
    forced = not call.since("2.30") or read_bool(given(body.force, False))
    wanted = service.Wanted(body.host or "", copies, forced and bool(body.host), told=not call.since("2.34"))
    service.migrate(call.ctx, id, wanted)


def index(call: Call) -> Any:
    """List the live migrations of a server that are under way."""
    return {"migrations": [_view(call, row) for row in service.list_under_way(call.ctx, call.path["server_id"])]}


def show(call: Call) -> Any:
    """Show a live migration of a server that is under way."""
    return {"migration": _view(call, service.show(call.ctx, call.path["server_id"], call.path["migration_id"]))}


def act(call: Call) -> None:
    """Have a live migration come to an end."""
    service.hurry(call.ctx, call.path["server_id"], call.path["migration_id"])


def abort(call: Call) -> None:
    """Have a server stay where it is."""
    service.abort(call.ctx, call.path["server_id"], call.path["migration_id"], early=call.since("2.65"))


def _view(call: Call, row: Migration) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.id, "status": row.status, "server_uuid": row.server_id, "created_at": show_time(row.created_at),
        "updated_at": show_time(row.updated_at), "source_compute": None, "source_node": None, "dest_compute": None,
        "dest_node": None, "dest_host": None,
    }  # fmt: skip
    if call.ctx.can(MIGRATIONS + "index:host", {"project_id": row.project_id}):
        shown |= {"source_compute": row.host, "source_node": row.host, "dest_compute": row.dest_compute}
        shown |= {"dest_node": row.dest_compute, "dest_host": row.dest_host}
    shown |= {f"{name}_bytes": getattr(row, name) for name in BYTES}
    shown |= {"uuid": row.uuid} if call.since("2.59") else {}
    return shown | ({"user_id": row.user_id, "project_id": row.project_id} if call.since("2.80") else {})


MANY = "/v2.1/servers/{server_id}/migrations"
ONE = MANY + "/{migration_id}"
BAD = (400, 401, 403, 404, 409)

routes = (
    Route("GET", MANY, index, since="2.23", rule=MIGRATIONS + "index"),
    Route("GET", ONE, show, since="2.23", rule=MIGRATIONS + "show"),
    Route(
        "POST", f"{ONE}/action", act, status=202, since="2.22", body=ForceComplete, rule=MIGRATIONS + "force_complete",
        errors=BAD,
    ),
    Route("DELETE", ONE, abort, status=202, since="2.24", rule=MIGRATIONS + "delete", errors=BAD),
)  # fmt: skip
