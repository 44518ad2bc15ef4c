"""/v3/snapshots"""

from typing import Any

from pileus.kernel.http import Call, Route
from pileus.volume.api.actions import Action, dispatcher
from pileus.volume.api.queries import next_links, read_cut
from pileus.volume.api.volume_queries import everyone, given_filters, read_pairs, slice_of
from pileus.volume.schemas import snapshots as schemas
from pileus.volume.schemas.fields import TRUE, read_bool
from pileus.volume.schemas.volumes import MetaBody, MetadataBody
from pileus.volume.service import adoption, snapshots
from pileus.volume.service.snapshots import Shown
from pileus.volume.store.snapshot_search import COLUMNS, Search

ONE = "/v3/snapshots/{snapshot_id}"
MINE = {"name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota"}


def index(call: Call) -> Any:
    return _listed(call, lambda shown: schemas.show(shown, (3, 0)))


def detail(call: Call) -> Any:
    extended = call.ctx.can("volume_extension:extended_snapshot_attributes")

    def view(shown: Shown) -> dict[str, Any]:
        found = schemas.show(shown, call.version)
        return schemas.extend(found, shown) if extended else found

    return _listed(call, view)


def _listed(call: Call, view: Any) -> Any:
    cut = read_cut(call)
    counted = call.since("3.45") and "with_count" in call.query and read_bool(call.query.get("with_count") or "")
    found, count = snapshots.list_snapshots(call.ctx, _search(call), slice_of(cut), everyone=everyone(call), counted=counted)
    answer: dict[str, Any] = {"snapshots": [view(shown) for shown in found]}
    if more := next_links(call, cut, [snapshot.id for snapshot, _ in found]):
        answer["snapshots_links"] = more
    if count is not None:
        answer["count"] = count
    return answer


def _search(call: Call) -> Search:
    given = given_filters(call, MINE)
    for name, since in (("metadata", "3.22"), ("consumes_quota", "3.65")):
        if not call.since(since):
            given.pop(name, None)
    exact: dict[str, Any] = {}
    parts: dict[str, str] = {}
    nothing = False
    for name, value in given.items():
        if name in ("metadata", "availability_zone"):
            continue
        if name in COLUMNS:
            exact[name] = value.strip().lower() in TRUE if name == "consumes_quota" else value
        elif call.since("3.34") and name.endswith("~") and name[:-1] in COLUMNS:
            parts[name[:-1]] = value
        else:
            nothing = True
    pairs = read_pairs(given["metadata"]) if "metadata" in given else {}
    return Search(None, exact, parts, pairs, given.get("availability_zone"), nothing)


def create(call: Call) -> Any:
    return {"snapshot": schemas.show(snapshots.create(call.ctx, schemas.read_create(call.body, call.version)), call.version)}


def show(call: Call) -> Any:
    shown = snapshots.show(call.ctx, call.path["snapshot_id"])
    found = schemas.show(shown, call.version)
    target = {"project_id": shown[0].project_id}
    extended = call.ctx.can("volume_extension:extended_snapshot_attributes", target)
    return {"snapshot": schemas.extend(found, shown) if extended else found}


def update(call: Call) -> Any:
    values = schemas.read_changes(call.body.snapshot)
    return {"snapshot": schemas.show(snapshots.update(call.ctx, call.path["snapshot_id"], values), call.version)}


def delete(call: Call) -> None:
    snapshots.delete(call.ctx, call.path["snapshot_id"])


def _reset(call: Call, id: str, given: schemas.Status) -> None:
    snapshots.reset(call.ctx, id, given.status)


def _force_delete(call: Call, id: str, _: Any) -> None:
    snapshots.delete(call.ctx, id, force=True)


def _tell(call: Call, id: str, given: schemas.Progress) -> None:
    snapshots.tell(call.ctx, id, given.status, given.progress)


def _unmanage(call: Call, id: str, _: Any) -> None:
    adoption.unmanage_snapshot(call.ctx, id)


ACTIONS = {
    "os-unmanage": Action(_unmanage),
    "os-reset_status": Action(_reset, schemas.Status),
    "os-force_delete": Action(_force_delete),
    "os-update_snapshot_status": Action(_tell, schemas.Progress),
}


def list_metadata(call: Call) -> Any:
    return {"metadata": snapshots.get_metadata(call.ctx, call.path["snapshot_id"])}


def create_metadata(call: Call) -> Any:
    return {"metadata": snapshots.put_metadata(call.ctx, call.path["snapshot_id"], call.body.metadata)}


def replace_metadata(call: Call) -> Any:
    return {"metadata": snapshots.put_metadata(call.ctx, call.path["snapshot_id"], call.body.metadata, whole=True)}


def show_metadata(call: Call) -> Any:
    key = call.path["key"]
    return {"meta": {key: snapshots.get_metadatum(call.ctx, call.path["snapshot_id"], key)}}


def update_metadata(call: Call) -> Any:
    call.require_one(call.body.meta)
    snapshots.put_metadata(call.ctx, call.path["snapshot_id"], call.body.meta)
    return {"meta": call.body.meta}


def delete_metadata(call: Call) -> None:
    snapshots.drop_metadata(call.ctx, call.path["snapshot_id"], call.path["key"])


routes = (
    Route("GET", "/v3/snapshots", index),
    Route("POST", "/v3/snapshots", create, schemas.Create, status=202, errors=(400, 401, 403, 404, 413)),
    Route("GET", "/v3/snapshots/detail", detail),
    Route("GET", ONE, show),
    Route("PUT", ONE, update, schemas.Update),
    Route("DELETE", ONE, delete, status=202),
    Route("POST", ONE + "/action", dispatcher("snapshot_id", ACTIONS), status=202),
    Route("GET", ONE + "/metadata", list_metadata),
    Route("POST", ONE + "/metadata", create_metadata, MetadataBody),
    Route("PUT", ONE + "/metadata", replace_metadata, MetadataBody),
    Route("GET", ONE + "/metadata/{key}", show_metadata),
    Route("PUT", ONE + "/metadata/{key}", update_metadata, MetaBody),
    Route("DELETE", ONE + "/metadata/{key}", delete_metadata),
)
