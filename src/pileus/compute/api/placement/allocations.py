"""/allocations and /usages"""

from typing import Any

from pileus.compute.api.placement.names import fresh
from pileus.compute.schemas import placement as schemas
from pileus.compute.service import allocations
from pileus.compute.service.allocations import ANY, NEW, Claim
from pileus.kernel import ids
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Answer, Call, Route

NOBODY = "00000000-0000-0000-0000-000000000000"
MANY = (400, 401, 403, 404, 409)


def show(call: Call) -> Any:
    found, generations = allocations.get(call.ctx, call.path["consumer"])
    body: dict[str, Any] = {"allocations": {}}
    if found is not None:
        body["allocations"] = {
            uuid: {"generation": generations.get(uuid, 0), "resources": many} for uuid, many in found.resources.items()
        }
        if call.since("1.12"):
            body |= {"project_id": found.project_id, "user_id": found.user_id}
        if call.since("1.28"):
            body["consumer_generation"] = found.generation
        if call.since("1.38"):
            body["consumer_type"] = found.type or "unknown"
    return Answer(body, headers=fresh(call))


def put(call: Call) -> None:
    consumer = call.path["consumer"]
    if not ids.is_uuid(consumer):
        raise BadRequest(f"Malformed consumer_uuid: {consumer}")
    body = call.body
    if isinstance(body, schemas.Allocations):
        resources: dict[str, dict[str, int]] = {}
        for each in body.allocations:
            resources.setdefault(each.resource_provider.uuid, {}).update(each.resources)
        project_id, user_id = getattr(body, "project_id", NOBODY), getattr(body, "user_id", NOBODY)
        claim = Claim(consumer, resources, project_id, user_id)
    else:
        claim = _read(consumer, body)
    allocations.claim(call.ctx, [claim])


def post(call: Call) -> None:
    for consumer in call.body:
        if not ids.is_uuid(consumer):
            raise BadRequest(f"Malformed consumer_uuid: {consumer}")
    allocations.claim(call.ctx, [_read(consumer, body) for consumer, body in call.body.items()], rule="manage")


def delete(call: Call) -> None:
    allocations.delete(call.ctx, call.path["consumer"])


def usages(call: Call) -> Any:
    project_id, user_id, kind = (call.query.get(name) for name in ("project_id", "user_id", "consumer_type"))
    known = {"project_id", "user_id", *(["consumer_type"] if call.since("1.38") else [])}
    if not project_id or call.query.names() - known:
        raise BadRequest("Invalid query string parameters: 'project_id' is a required property")
    found = allocations.usages(call.ctx, project_id, user_id)
    if not call.since("1.38"):
        return Answer({"usages": _sum(found)}, headers=fresh(call))
    if kind == "all":
        count = sum(many.get("consumer_count", 0) for many in found.values())
        found = {"all": {"consumer_count": count, **_sum(found)}} if found else {}
    elif kind:
        found = {name: many for name, many in found.items() if name == kind}
    return Answer({"usages": found}, headers=fresh(call))


def _sum(found: dict[str, dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for many in found.values():
        for name, amount in many.items():
            if name != "consumer_count":
                total[name] = total.get(name, 0) + amount
    return total


def _read(consumer: str, body: Any) -> Claim:
    resources = {uuid: each.resources for uuid, each in body.allocations.items()}
    generation = ANY
    if isinstance(body, schemas.Allocations128):
        generation = NEW if body.consumer_generation is None else body.consumer_generation
    kind = getattr(body, "consumer_type", None)
    return Claim(consumer, resources, body.project_id, body.user_id, generation, kind)


ONE = "/allocations/{consumer}"

routes = (
    Route("GET", ONE, show),
    Route("PUT", ONE, put, schemas.Allocations, until="1.7", status=204, errors=MANY),
    Route("PUT", ONE, put, schemas.Allocations108, since="1.8", until="1.11", status=204, errors=MANY),
    Route("PUT", ONE, put, schemas.Allocations112, since="1.12", until="1.27", status=204, errors=MANY),
    Route("PUT", ONE, put, schemas.Allocations128, since="1.28", until="1.33", status=204, errors=MANY),
    Route("PUT", ONE, put, schemas.Allocations134, since="1.34", until="1.37", status=204, errors=MANY),
    Route("PUT", ONE, put, schemas.Allocations138, since="1.38", status=204, errors=MANY),
    Route("DELETE", ONE, delete, status=204, errors=MANY),
    Route("POST", "/allocations", post, dict[str, schemas.AllocationsMany], since="1.13", until="1.27", status=204, errors=MANY),
    Route("POST", "/allocations", post, dict[str, schemas.Allocations128], since="1.28", until="1.33", status=204, errors=MANY),
    Route("POST", "/allocations", post, dict[str, schemas.Allocations134], since="1.34", until="1.37", status=204, errors=MANY),
    Route("POST", "/allocations", post, dict[str, schemas.Allocations138], since="1.38", status=204, errors=MANY),
    Route("GET", "/usages", usages, since="1.9"),
)
