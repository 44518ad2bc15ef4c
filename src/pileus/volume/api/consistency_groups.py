"""/v3/consistencygroups and /v3/cgsnapshots: the older API to groups, whose type is the one that is kept for them."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route
from pileus.volume.api.groups import SORT_KEYS
from pileus.volume.api.queries import cut, fits, next_links, read_cut
from pileus.volume.api.volume_queries import PAGING, everyone
from pileus.volume.schemas.fields import Bool, Description, LooseName, read_bool, show_time
from pileus.volume.schemas.groups import read_ids, strip
from pileus.volume.service import group_snapshots, group_types, groups
from pileus.volume.service.groups import NewGroup, Shown, Source
from pileus.volume.store.groups import GroupSnapshot

ERRORS = (400, 401, 403, 404, 413)


class _New(Struct):
    volume_types: str
    name: LooseName = None
    description: Description = None
    availability_zone: str | None = None


class Create(Struct):
    consistencygroup: _New


class _Source(Struct):
    name: LooseName = None
    description: Description = None
    cgsnapshot_id: str | None = None
    source_cgid: str | None = None


class CreateFrom(Struct, rename={"source": "consistencygroup-from-src"}):
    source: _Source


class _Changes(Struct):
    name: LooseName = None
    description: Description = None
    add_volumes: str | None = None
    remove_volumes: str | None = None


class Update(Struct):
    consistencygroup: _Changes


class _Force(Struct, frozen=True):
    force: Bool = False


class Delete(Struct):
    consistencygroup: _Force = _Force()


class _NewSnapshot(Struct):
    consistencygroup_id: str
    name: LooseName = None
    description: Description = None


class CreateSnapshot(Struct):
    cgsnapshot: _NewSnapshot


def index(call: Call) -> Any:
    return _listed(call, lambda shown: {"id": shown.group.id, "name": shown.group.name})


def detail(call: Call) -> Any:
    return _listed(call, _show)


def show(call: Call) -> Any:
    return {"consistencygroup": _show(groups.get(call.ctx, call.path["id"], reserved=True))}


def create(call: Call) -> Any:
    asked = call.body.consistencygroup
    types = read_ids(asked.volume_types)
    if not types:
        raise BadRequest(f"volume_types must be provided to create consistency group {asked.name}.")
    wanted = NewGroup(
        strip(asked.name), strip(asked.description), group_types.RESERVED_NAME, types, asked.availability_zone or None
    )
    made = groups.create(call.ctx, wanted, reserved=True)
    return {"consistencygroup": {"id": made.id, "name": made.name}}


def create_from(call: Call) -> Any:
    asked = call.body.source
    if not asked.cgsnapshot_id and not asked.source_cgid:
        told = f"Either 'cgsnapshot_id' or 'source_cgid' must be provided to create consistency group {asked.name} from source."
        raise BadRequest(told)
    if asked.cgsnapshot_id and asked.source_cgid:
        told = f"Cannot provide both 'cgsnapshot_id' and 'source_cgid' to create consistency group {asked.name} from source."
        raise BadRequest(told)
    source = Source(asked.cgsnapshot_id, asked.source_cgid)
    made = groups.create_from(call.ctx, source, strip(asked.name), strip(asked.description), reserved=True)
    return {"consistencygroup": {"id": made.id, "name": made.name}}


def update(call: Call) -> None:
    asked = call.body.consistencygroup
    columns, add, remove = (
        {"name": strip(asked.name), "description": strip(asked.description)},
        read_ids(asked.add_volumes),
        read_ids(asked.remove_volumes),
    )
    if call.since("3.6"):
        if asked.name is None and asked.description is None and not add and not remove:
            told = "Must specify one or more of the following keys to update: name, description, add_volumes, remove_volumes."
            raise BadRequest(told)
    elif not (asked.name or asked.description or add or remove):
        raise BadRequest("Name, description, add_volumes, and remove_volumes can not be all empty in the request body.")
    groups.update(call.ctx, call.path["id"], columns, add, remove, reserved=True)


def delete(call: Call) -> None:
    force = read_bool(call.body.consistencygroup.force)
    groups.delete(call.ctx, call.path["id"], with_volumes=force, reserved=True)


def index_snapshots(call: Call) -> Any:
    return _listed_snapshots(call, lambda row: {"id": row.id, "name": row.name})


def detail_snapshots(call: Call) -> Any:
    return _listed_snapshots(call, _show_snapshot)


def show_snapshot(call: Call) -> Any:
    return {"cgsnapshot": _show_snapshot(group_snapshots.get(call.ctx, call.path["id"], reserved=True))}


def create_snapshot(call: Call) -> Any:
    asked = call.body.cgsnapshot
    made = group_snapshots.create(
        call.ctx, asked.consistencygroup_id, strip(asked.name), strip(asked.description), reserved=True
    )  # fmt: skip
    return {"cgsnapshot": {"id": made.id, "name": made.name}}


def delete_snapshot(call: Call) -> None:
    group_snapshots.delete(call.ctx, call.path["id"], reserved=True)


def _show(shown: Shown) -> dict[str, Any]:
    group = shown.group
    return {
        "id": group.id,
        "status": group.status,
        "availability_zone": group.availability_zone,
        "created_at": show_time(group.created_at),
        "name": group.name,
        "description": group.description,
        "volume_types": list(shown.type_ids),
    }


def _show_snapshot(row: GroupSnapshot) -> dict[str, Any]:
    return {
        "id": row.id,
        "consistencygroup_id": row.group_id,
        "status": row.status,
        "created_at": show_time(row.created_at),
        "name": row.name,
        "description": row.description,
    }


def _listed(call: Call, view: Callable[[Shown], dict[str, Any]]) -> Any:
    wanted = read_cut(call)
    filters = {name: value for name, value in call.query.pairs if name not in PAGING}
    found = groups.list_all(call.ctx, everyone=everyone(call), reserved=True)
    part = cut([each for each in found if fits(each.group, filters)], wanted, SORT_KEYS)
    answer: dict[str, Any] = {"consistencygroups": [view(each) for each in part]}
    if links := next_links(call, wanted, [each.group.id for each in part]):
        answer["consistencygroup_links"] = links
    return answer


def _listed_snapshots(call: Call, view: Callable[[GroupSnapshot], dict[str, Any]]) -> Any:
    wanted = read_cut(call)
    found = group_snapshots.list_all(call.ctx, everyone=everyone(call), reserved=True)
    part = cut(found, wanted, SORT_KEYS)
    return {"cgsnapshots": [view(row) for row in part]}


GROUPS, SNAPSHOTS = "/v3/consistencygroups", "/v3/cgsnapshots"

routes = (
    Route("GET", GROUPS, index),
    Route("POST", GROUPS, create, Create, status=202, errors=ERRORS),
    Route("GET", GROUPS + "/detail", detail),
    Route("POST", GROUPS + "/create_from_src", create_from, CreateFrom, status=202, errors=ERRORS),
    Route("GET", GROUPS + "/{id}", show),
    Route("POST", GROUPS + "/{id}/delete", delete, Delete, status=202),
    Route("PUT", GROUPS + "/{id}/update", update, Update, status=202),
    Route("PUT", GROUPS + "/{id}", update, Update, status=202),
    Route("GET", SNAPSHOTS, index_snapshots),
    Route("POST", SNAPSHOTS, create_snapshot, CreateSnapshot, status=202, errors=ERRORS),
    Route("GET", SNAPSHOTS + "/detail", detail_snapshots),
    Route("GET", SNAPSHOTS + "/{id}", show_snapshot),
    Route("DELETE", SNAPSHOTS + "/{id}", delete_snapshot, status=202),
)
