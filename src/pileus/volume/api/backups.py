"""/v3/backups"""

from typing import Any

from msgspec import UNSET

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route
from pileus.volume.api.actions import Action, dispatcher
from pileus.volume.api.queries import links, next_links, read_cut
from pileus.volume.api.volume_queries import everyone, given_filters, slice_of
from pileus.volume.schemas import backups as schemas
from pileus.volume.schemas.fields import read_bool
from pileus.volume.service import backup_records as records
from pileus.volume.service import backups
from pileus.volume.service.backups import Shown
from pileus.volume.store.backups import COLUMNS, Backup, Search

ALL, ONE = "/v3/backups", "/v3/backups/{backup_id}"
MINE = {"name", "status", "volume_id"}
OWNER = "backup:backup_project_attribute"


def index(call: Call) -> Any:
    return _listed(call, lambda shown: _brief(call, shown.backup))


def detail(call: Call) -> Any:
    owner = call.ctx.can(OWNER)
    return _listed(call, lambda shown: schemas.show(shown, _links(call, shown.backup), call.version, owner=owner))


def _listed(call: Call, view: Any) -> Any:
    cut = read_cut(call)
    if not call.since("3.37") and any(name == "name" for name, _ in cut.sort):
        raise BadRequest("Invalid input received: Sort key supplied is not valid.", kind="InvalidInput")
    counted = call.since("3.45") and "with_count" in call.query and read_bool(call.query.get("with_count") or "")
    found, count = backups.list_backups(call.ctx, _search(call), slice_of(cut), everyone=everyone(call), counted=counted)
    answer: dict[str, Any] = {"backups": [view(shown) for shown in found]}
    if more := next_links(call, cut, [shown.backup.id for shown in found]):
        answer["backups_links"] = more
    if count is not None:
        answer["count"] = count
    return answer


def _search(call: Call) -> Search:
    exact: dict[str, Any] = {}
    parts: dict[str, str] = {}
    nothing = False
    for name, value in given_filters(call, MINE).items():
        if name in COLUMNS and name not in ("created_at", "updated_at", "data_timestamp"):
            exact[name] = value
        elif call.since("3.34") and name.endswith("~") and name[:-1] in MINE:
            parts[name[:-1]] = value
        else:
            nothing = True
    for name in ("size", "object_count"):
        if name in exact:
            nothing = nothing or not exact[name].isdecimal()
            exact[name] = int(exact[name]) if exact[name].isdecimal() and len(exact[name]) < 10 else -1
    return Search(None, exact, parts, nothing)


def _links(call: Call, backup: Backup) -> list[dict[str, str]]:
    return links(call, "backups", backup.id)


def _brief(call: Call, backup: Backup) -> dict[str, Any]:
    return schemas.show_brief(backup, _links(call, backup))


def show(call: Call) -> Any:
    shown: Shown = backups.show(call.ctx, call.path["backup_id"])
    owner = call.ctx.can(OWNER, {"project_id": shown.backup.project_id})
    return {"backup": schemas.show(shown, _links(call, shown.backup), call.version, owner=owner)}


def create(call: Call) -> Any:
    return {"backup": _brief(call, backups.create(call.ctx, schemas.read_create(call.body.backup)))}


def update(call: Call) -> Any:
    given = call.body.backup
    metadata = getattr(given, "metadata", UNSET)
    changed = backups.update(
        call.ctx, call.path["backup_id"], schemas.read_changes(given), None if metadata is UNSET else metadata
    )
    return {"backup": _brief(call, changed)}


def delete(call: Call) -> None:
    backups.delete(call.ctx, call.path["backup_id"])


def restore(call: Call) -> Any:
    backup_id = call.path["backup_id"]
    volume_id, name = backups.restore(call.ctx, backup_id, *schemas.read_destination(call.body.restore))
    return {"restore": {"backup_id": backup_id, "volume_id": volume_id, "volume_name": name}}


def export_record(call: Call) -> Any:
    return {"backup-record": records.export(call.ctx, call.path["backup_id"])}


def import_record(call: Call) -> Any:
    given = call.body.backup_record
    return {"backup": _brief(call, records.import_(call.ctx, given.backup_service, given.backup_url))}


def _reset(call: Call, id: str, given: schemas.Status) -> None:
    backups.reset_status(call.ctx, id, schemas.read_status(given))


def _force_delete(call: Call, id: str, _: Any) -> None:
    backups.delete(call.ctx, id, force=True)


ACTIONS = {
    "os-reset_status": Action(_reset, schemas.Status),
    "os-force_delete": Action(_force_delete),
}

routes = (
    Route("GET", ALL, index),
    Route("GET", ALL + "/detail", detail),
    Route("POST", ALL, create, schemas.Create, until="3.42", status=202, errors=(400, 401, 403, 404, 413)),
    Route("POST", ALL, create, schemas.Create343, since="3.43", until="3.50", status=202, errors=(400, 401, 403, 404, 413)),
    Route("POST", ALL, create, schemas.Create351, since="3.51", status=202, errors=(400, 401, 403, 404, 413)),
    Route("POST", ALL + "/import_record", import_record, schemas.Import, status=201, errors=(400, 401, 403, 413)),
    Route("GET", ONE, show),
    Route("PUT", ONE, update, schemas.Update, since="3.9", until="3.42"),
    Route("PUT", ONE, update, schemas.Update343, since="3.43"),
    Route("DELETE", ONE, delete, status=202),
    Route("POST", ONE + "/restore", restore, schemas.Restore, status=202, errors=(400, 401, 403, 404, 413)),
    Route("GET", ONE + "/export_record", export_record),
    Route("POST", ONE + "/action", dispatcher("backup_id", ACTIONS), status=202),
)
