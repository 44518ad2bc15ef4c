"""/v3/volumes"""

from typing import Any

from pileus.kernel.http import Call, Route
from pileus.volume.api.queries import links, next_links, read_cut
from pileus.volume.api.volume_queries import everyone, read_search, slice_of
from pileus.volume.schemas import volumes as schemas
from pileus.volume.schemas.fields import read_bool
from pileus.volume.schemas.volumes import Sight
from pileus.volume.service import volumes
from pileus.volume.service.volumes import Shown

ONE = "/v3/volumes/{volume_id}"


def index(call: Call) -> Any:
    def brief(shown: Shown) -> dict[str, Any]:
        volume = shown.volume
        return {"id": volume.id, "name": volume.name, "links": links(call, "volumes", volume.id)}

    return _listed(call, brief)


def detail(call: Call) -> Any:
    sight = Sight(call.ctx)
    return _listed(call, lambda shown: schemas.extend(_view(call, shown), shown, sight))


def _listed(call: Call, show: Any) -> Any:
    cut = read_cut(call)
    counted = call.since("3.45") and "with_count" in call.query and read_bool(call.query.get("with_count") or "")
    found, count = volumes.list_volumes(call.ctx, read_search(call), slice_of(cut), everyone=everyone(call), counted=counted)
    answer: dict[str, Any] = {"volumes": [show(shown) for shown in found]}
    if more := next_links(call, cut, [shown.volume.id for shown in found]):
        answer["volumes_links"] = more
    if count is not None:
        answer["count"] = count
    return answer


def create(call: Call) -> Any:
    wanted = schemas.read_create(call.body, call.version)
    return {"volume": _view(call, volumes.create(call.ctx, wanted))}


def show(call: Call) -> Any:
    shown = volumes.show(call.ctx, call.path["volume_id"])
    return {"volume": schemas.extend(_view(call, shown), shown, Sight(call.ctx, shown.volume.project_id))}


def update(call: Call) -> Any:
    values, metadata = schemas.read_changes(call.body.volume, call.version)
    return {"volume": _view(call, volumes.update(call.ctx, call.path["volume_id"], values, metadata))}


def delete(call: Call) -> None:
    cascade, force = (read_bool(call.query.get(name) or "0") for name in ("cascade", "force"))
    volumes.delete(call.ctx, call.path["volume_id"], force=force and call.since("3.23"), cascade=cascade)


def summary(call: Call) -> Any:
    number, size_gib, metadata = volumes.summary(call.ctx, everyone=everyone(call))
    found: dict[str, Any] = {"total_count": number, "total_size": size_gib}
    return {"volume-summary": found | ({"metadata": metadata} if call.since("3.36") else {})}


def _view(call: Call, shown: Shown) -> dict[str, Any]:
    return schemas.show(call.ctx, shown, call.version, links(call, "volumes", shown.volume.id))


routes = (
    Route("GET", "/v3/volumes", index),
    Route("POST", "/v3/volumes", create, schemas.Create, status=202, until="3.52", errors=(400, 401, 403, 404, 413)),
    Route("POST", "/v3/volumes", create, schemas.CreateStrict, status=202, since="3.53", errors=(400, 401, 403, 404, 413)),
    Route("GET", "/v3/volumes/detail", detail),
    Route("GET", "/v3/volumes/summary", summary, since="3.12"),
    Route("GET", ONE, show),
    Route("PUT", ONE, update, schemas.Update),
    Route("DELETE", ONE, delete, status=202),
)
