"""/v3/qos-specs"""

from typing import Any

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route
from pileus.volume.api.queries import cut, links, next_links, read_cut
from pileus.volume.schemas import qos as schemas
from pileus.volume.schemas.fields import read_bool
from pileus.volume.service import qos
from pileus.volume.store.qos import Qos

ERRORS = (400, 401, 403, 404, 409)
SORT_KEYS = {
    "id": lambda row: row.id, "name": lambda row: row.name, "consumer": lambda row: row.consumer,
    "created_at": lambda row: row.created_at, "updated_at": lambda row: row.updated_at,
}  # fmt: skip
FILTERS = ("id", "name", "consumer")


def index(call: Call) -> Any:
    wanted = read_cut(call)
    found = qos.list_all(call.ctx, {key: value for key, value in call.query.pairs if key in FILTERS})
    part = cut(found, wanted, SORT_KEYS)
    answer: dict[str, Any] = {"qos_specs": [schemas.show(row) for row in part]}
    if more := next_links(call, wanted, [row.id for row in part]):
        answer["qos_specs_links"] = more
    return answer


def show(call: Call) -> Any:
    return _shown(call, qos.get(call.ctx, call.path["qos_id"]))


def create(call: Call) -> Any:
    return _shown(call, qos.create(call.ctx, *schemas.read_create(call.body)))


def update(call: Call) -> Any:
    qos.update(call.ctx, call.path["qos_id"], *schemas.read_update(call.body))
    return {"qos_specs": call.body.qos_specs}


def delete(call: Call) -> None:
    force = call.query.get("force")
    qos.delete(call.ctx, call.path["qos_id"], read_bool(force) if force is not None else False)


def delete_keys(call: Call) -> None:
    qos.delete_keys(call.ctx, call.path["qos_id"], schemas.read_keys(call.body))


def list_types(call: Call) -> Any:
    return schemas.show_types(qos.list_types(call.ctx, call.path["qos_id"]))


def associate(call: Call) -> None:
    qos.associate(call.ctx, call.path["qos_id"], _type(call))


def disassociate(call: Call) -> None:
    qos.disassociate(call.ctx, call.path["qos_id"], _type(call))


def disassociate_all(call: Call) -> None:
    qos.disassociate_all(call.ctx, call.path["qos_id"])


def _type(call: Call) -> str:
    type_id = call.query.get("vol_type_id")
    if not type_id:
        raise BadRequest("Volume Type id must not be None.")
    return type_id


def _shown(call: Call, row: Qos) -> Any:
    return {"qos_specs": schemas.show(row), "links": links(call, "qos-specs", row.id)}


ONE = "/v3/qos-specs/{qos_id}"

routes = (
    Route("GET", "/v3/qos-specs", index),
    Route("POST", "/v3/qos-specs", create, schemas.Create, errors=ERRORS),
    Route("GET", ONE, show),
    Route("PUT", ONE, update, schemas.Update),
    Route("DELETE", ONE, delete, status=202),
    Route("PUT", ONE + "/delete_keys", delete_keys, schemas.DeleteKeys, status=202),
    Route("GET", ONE + "/associations", list_types),
    Route("GET", ONE + "/associate", associate, status=202),
    Route("GET", ONE + "/disassociate", disassociate, status=202),
    Route("GET", ONE + "/disassociate_all", disassociate_all, status=202),
)
