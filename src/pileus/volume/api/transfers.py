"""/v3/os-volume-transfer, and /v3/volume-transfers which knows of snapshots (3.55)"""

from typing import Any

from msgspec import UNSET

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route
from pileus.volume.api.queries import Cut, cut, links, next_links, read_cut
from pileus.volume.schemas import transfers as schemas
from pileus.volume.schemas.fields import read_bool, read_uuid
from pileus.volume.service import transfers as service

FILTERS = {"name": "name", "volume_id": "volume_id", "id": "id", "source_project_id": "project_id"}
SORTED_BY = {name: lambda row, name=name: getattr(row, name) for name in ("id", "created_at", "name", "volume_id")}
OLD = "os-volume-transfer"


def _wanted(call: Call) -> Cut:
    """Read what part of the list is wanted; markers and orders are known since 3.59, of /volume-transfers."""
    wanted = read_cut(call)
    if call.since("3.59") and not call.route.path.startswith(f"/v3/{OLD}"):
        return wanted
    return Cut(wanted.limit, wanted.offset, None, ())


def _links(call: Call, id: str) -> list[dict[str, str]]:
    return links(call, OLD, id)


def _listed(call: Call, show: Any) -> Any:
    wanted = _wanted(call)
    exact = {column: call.query.get(name) for name, column in FILTERS.items() if name in call.query}
    everyone = "all_tenants" in call.query and read_bool(call.query.get("all_tenants") or "1")
    found = cut(service.list_all(call.ctx, exact, all_projects=everyone), wanted, SORTED_BY)
    answer: dict[str, Any] = {"transfers": [show(row) for row in found]}
    if more := next_links(call, wanted, [row.id for row in found]):
        answer["transfers_links"] = more
    return answer


def index(call: Call) -> Any:
    """List transfers with few words."""
    return _listed(call, lambda row: schemas.show_brief(row, _links(call, row.id)))


def detail(call: Call) -> Any:
    """List transfers."""
    return _listed(call, lambda row: schemas.show(row, _links(call, row.id), call.version))


def show(call: Call) -> Any:
    """Show a transfer."""
    row = service.show(call.ctx, call.path["transfer_id"])
    return {"transfer": schemas.show(row, _links(call, row.id), call.version)}


def create(call: Call) -> Any:
    """Offer a volume."""
    body, newer = call.body.transfer, not call.route.path.startswith(f"/v3/{OLD}")
    if body.no_snapshots is not UNSET and not (newer and call.since("3.55")):
        raise BadRequest("Additional properties are not allowed ('no_snapshots' was unexpected)")
    row, key = service.create(call.ctx, service.Offer(
        read_uuid(body.volume_id, "volume_id"), body.name.strip() if body.name else None,
        no_snapshots=body.no_snapshots is not UNSET and read_bool(body.no_snapshots), encrypted=newer and call.since("3.70"),
    ))  # fmt: skip
    return {"transfer": {**schemas.show(row, _links(call, row.id), call.version), "auth_key": key}}


def accept(call: Call) -> Any:
    """Take a volume that is offered."""
    row = service.accept(call.ctx, call.path["transfer_id"], str(call.body.accept.auth_key))
    return {"transfer": schemas.show_brief(row, _links(call, row.id))}


def delete(call: Call) -> None:
    """Take an offer back."""
    service.delete(call.ctx, call.path["transfer_id"])


ERRORS = (400, 401, 403, 404, 413)


def _routes(root: str) -> tuple[Route, ...]:
    one = root + "/{transfer_id}"
    return (
        Route("GET", root, index, rule="volume:get_all_transfers"),
        Route("POST", root, create, schemas.Create, status=202, rule="volume:create_transfer"),
        Route("GET", root + "/detail", detail, rule="volume:get_all_transfers"),
        Route("GET", one, show, rule="volume:get_transfer"),
        Route("DELETE", one, delete, status=202, rule="volume:delete_transfer"),
        Route("POST", one + "/accept", accept, schemas.Accept, status=202, rule="volume:accept_transfer", errors=ERRORS),
    )


routes = (*_routes(f"/v3/{OLD}"), *_routes("/v3/volume-transfers"))
