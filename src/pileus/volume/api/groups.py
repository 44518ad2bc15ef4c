"""/v3/groups and /v3/group_snapshots"""

from collections.abc import Callable
from typing import Any

from pileus.kernel.http import Call, Route
from pileus.volume.api.actions import Action, dispatcher
from pileus.volume.api.queries import cut, fits, next_links, read_cut
from pileus.volume.api.resource_filters import FILTERS
from pileus.volume.api.volume_queries import everyone, given_filters
from pileus.volume.schemas import groups as schemas
from pileus.volume.schemas.fields import read_bool, read_uuid
from pileus.volume.service import group_snapshots, groups
from pileus.volume.service.groups import Shown
from pileus.volume.store.groups import GroupSnapshot

ERRORS = (400, 401, 403, 404, 413)


def _key(name: str) -> Callable[[Any], Any]:
    return lambda item: getattr(item.group if isinstance(item, Shown) else item, name)


SORT_KEYS = {
    name: _key(name) for name in ("id", "name", "created_at", "updated_at", "status", "description", "project_id", "user_id")
}


def index(call: Call) -> Any:
    return _listed(call, lambda shown: {"id": shown.group.id, "name": shown.group.name})


def detail(call: Call) -> Any:
    with_volumes, with_project = _with_volumes(call), groups.sees_project(call.ctx)
    return _listed(call, lambda shown: schemas.show(shown, call.version, with_volumes, with_project))


def show(call: Call) -> Any:
    found = groups.get(call.ctx, call.path["group_id"])
    return {"group": schemas.show(found, call.version, _with_volumes(call), groups.sees_project(call.ctx))}


def create(call: Call) -> Any:
    made = groups.create(call.ctx, schemas.read_group(call.body))
    return {"group": {"id": made.id, "name": made.name}}


def create_from(call: Call) -> Any:
    made = groups.create_from(call.ctx, *schemas.read_source(call.body))
    return {"group": {"id": made.id, "name": made.name}}


def update(call: Call) -> None:
    columns, add, remove = schemas.read_changes(call.body)
    groups.update(call.ctx, call.path["group_id"], columns, add, remove)


def delete(call: Call, group_id: str, asked: schemas.Delete) -> None:
    groups.delete(call.ctx, group_id, with_volumes=read_bool(asked.with_volumes))


def reset(call: Call, group_id: str, asked: schemas.Reset) -> None:
    groups.reset_status(call.ctx, group_id, asked.status.strip().lower())


def _replicate(word: str, body: Any = dict) -> Action:
    return Action(lambda call, group_id, _: groups.refuse_replication(call.ctx, group_id, word), body, since="3.38")


def index_snapshots(call: Call) -> Any:
    return _listed_snapshots(call, lambda row: {"id": row.id, "name": row.name})


def detail_snapshots(call: Call) -> Any:
    with_project = group_snapshots.sees_project(call.ctx)
    return _listed_snapshots(call, lambda row: schemas.show_snapshot(row, call.version, with_project))


def show_snapshot(call: Call) -> Any:
    found = group_snapshots.get(call.ctx, call.path["group_snapshot_id"])
    return {"group_snapshot": schemas.show_snapshot(found, call.version, group_snapshots.sees_project(call.ctx))}


def create_snapshot(call: Call) -> Any:
    asked = call.body.group_snapshot
    made = group_snapshots.create(call.ctx, read_uuid(asked.group_id, "group_id"), asked.name, asked.description)
    return {"group_snapshot": {"id": made.id, "name": made.name, "group_type_id": made.group_type_id}}


def delete_snapshot(call: Call) -> None:
    group_snapshots.delete(call.ctx, call.path["group_snapshot_id"])


def reset_snapshot(call: Call, id: str, asked: schemas.Reset) -> None:
    group_snapshots.reset_status(call.ctx, id, asked.status.strip().lower())


def _with_volumes(call: Call) -> bool:
    return read_bool(call.query.get("list_volume") or "0")


def _listed(call: Call, view: Callable[[Shown], dict[str, Any]]) -> Any:
    wanted = read_cut(call)
    filters = given_filters(call, {*FILTERS["group"], "list_volume"})
    filters.pop("list_volume", None)
    found = [each for each in groups.list_all(call.ctx, everyone=everyone(call)) if fits(each.group, filters)]
    part = cut(found, wanted, SORT_KEYS)
    answer: dict[str, Any] = {"groups": [view(each) for each in part]}
    if links := next_links(call, wanted, [each.group.id for each in part]):
        answer["group_links"] = links
    return answer


def _listed_snapshots(call: Call, view: Callable[[GroupSnapshot], dict[str, Any]]) -> Any:
    found = list(group_snapshots.list_all(call.ctx, everyone=everyone(call)))
    if not call.since("3.29"):
        return {"group_snapshots": [view(row) for row in found]}
    wanted = read_cut(call)
    filters = given_filters(call, set(FILTERS["group_snapshot"]))
    part = cut([row for row in found if fits(row, filters)], wanted, SORT_KEYS)
    answer: dict[str, Any] = {"group_snapshots": [view(row) for row in part]}
    if links := next_links(call, wanted, [row.id for row in part]):
        answer["group_snapshot_links"] = links
    return answer


ACTIONS = {
    "delete": Action(delete, schemas.Delete),
    "reset_status": Action(reset, schemas.Reset, since="3.20"),
    "enable_replication": _replicate("enable_replication"),
    "disable_replication": _replicate("disable_replication"),
    "failover_replication": _replicate("failover_replication", schemas.Failover),
    "list_replication_targets": _replicate("list_replication_targets"),
}
SNAPSHOT_ACTIONS = {"reset_status": Action(reset_snapshot, schemas.Reset, since="3.19")}

ONE = "/v3/groups/{group_id}"
SNAPSHOT = "/v3/group_snapshots/{group_snapshot_id}"

routes = (
    Route("GET", "/v3/groups", index, since="3.13"),
    Route("POST", "/v3/groups", create, schemas.Create, status=202, since="3.13", errors=ERRORS),
    Route("GET", "/v3/groups/detail", detail, since="3.13"),
    Route("POST", "/v3/groups/action", create_from, schemas.CreateFrom, status=202, since="3.14", errors=ERRORS),
    Route("GET", ONE, show, since="3.13"),
    Route("PUT", ONE, update, schemas.Update, status=202, since="3.13"),
    Route("POST", ONE + "/action", dispatcher("group_id", ACTIONS), status=202, since="3.13"),
    Route("GET", "/v3/group_snapshots", index_snapshots, since="3.14"),
    Route("POST", "/v3/group_snapshots", create_snapshot, schemas.CreateSnapshot, status=202, since="3.14", errors=ERRORS),
    Route("GET", "/v3/group_snapshots/detail", detail_snapshots, since="3.14"),
    Route("GET", SNAPSHOT, show_snapshot, since="3.14"),
    Route("DELETE", SNAPSHOT, delete_snapshot, status=202, since="3.14"),
    Route("POST", SNAPSHOT + "/action", dispatcher("group_snapshot_id", SNAPSHOT_ACTIONS), status=202, since="3.19"),
)
