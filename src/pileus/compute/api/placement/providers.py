"""/resource_providers and all below"""

from dataclasses import asdict
from typing import Any

from msgspec import UNSET

from pileus.compute.api.placement.names import fresh, root
from pileus.compute.api.placement.wishes import bad, read_group
from pileus.compute.placement import Provider
from pileus.compute.schemas import placement as schemas
from pileus.compute.schemas.placement import read_inventory
from pileus.compute.service import allocations, providers
from pileus.kernel import ids
from pileus.kernel.errors import BadRequest, NotFound
from pileus.kernel.http import Answer, Call, Route

SINCE = {"member_of": "1.3", "resources": "1.4", "in_tree": "1.14", "required": "1.18"}


def index(call: Call) -> Any:
    known = {"name", "uuid"} | {name for name, version in SINCE.items() if call.since(version)}
    if unknown := call.query.names() - known:
        raise BadRequest(f"Invalid query string parameters: '{min(unknown)}' is not known.")
    uuid = call.query.get("uuid")
    if uuid is not None and not ids.is_uuid(uuid):
        raise bad(f"Invalid query string parameters: Invalid uuid {uuid}")
    found = providers.list_all(call.ctx, read_group(call), uuid, call.query.get("name"))
    return Answer({"resource_providers": [_show(call, each) for each in found]}, headers=fresh(call))


def show(call: Call) -> Any:
    return Answer(_show(call, providers.get(call.ctx, call.path["uuid"])), headers=fresh(call))


def create(call: Call) -> Any:
    parent = getattr(call.body, "parent_provider_uuid", None)
    made = providers.create(call.ctx, call.body.name, call.body.uuid, parent)
    headers = {"Location": f"{call.root_url}{root(call)}/resource_providers/{made.uuid}"}
    return Answer(_show(call, made), 200, headers) if call.since("1.20") else Answer(None, 201, headers)


def update(call: Call) -> Any:
    uuid, parent = call.path["uuid"], getattr(call.body, "parent_provider_uuid", UNSET)
    if parent is UNSET:
        parent = providers.get(call.ctx, uuid).parent_uuid
    return _show(call, providers.update(call.ctx, uuid, call.body.name, parent, call.since("1.37")))


def delete(call: Call) -> None:
    providers.delete(call.ctx, call.path["uuid"])


def list_inventories(call: Call) -> Any:
    return Answer(_inventories(providers.get(call.ctx, call.path["uuid"], "inventories:list")), headers=fresh(call))


def show_inventory(call: Call) -> Any:
    found, name = providers.get(call.ctx, call.path["uuid"], "inventories:show"), call.path["name"]
    if name not in found.inventories:
        raise NotFound(f"No inventory of class {name} for {found.uuid}")
    return Answer(_inventory(found, name), headers=fresh(call))


def set_inventories(call: Call) -> Any:
    wanted = {name: read_inventory(one, call.since("1.26")) for name, one in call.body.inventories.items()}
    generation = call.body.resource_provider_generation
    return _inventories(providers.set_inventories(call.ctx, call.path["uuid"], generation, wanted))


def add_inventory(call: Call) -> Any:
    body, uuid = call.body, call.path["uuid"]
    wanted = read_inventory(body, call.since("1.26"))
    found = providers.add_inventory(call.ctx, uuid, body.resource_provider_generation, body.resource_class, wanted)
    place = f"{call.root_url}{root(call)}/resource_providers/{uuid}/inventories/{body.resource_class}"
    return Answer(_inventory(found, body.resource_class), headers={"Location": place})


def set_inventory(call: Call) -> Any:
    name, body = call.path["name"], call.body
    wanted = read_inventory(body, call.since("1.26"))
    found = providers.set_inventory(call.ctx, call.path["uuid"], body.resource_provider_generation, name, wanted)
    return _inventory(found, name)


def delete_inventory(call: Call) -> None:
    providers.delete_inventory(call.ctx, call.path["uuid"], call.path["name"])


def delete_inventories(call: Call) -> None:
    providers.delete_inventories(call.ctx, call.path["uuid"])


def usages(call: Call) -> Any:
    found = providers.get(call.ctx, call.path["uuid"], "usages")
    return Answer({"resource_provider_generation": found.generation, "usages": found.used}, headers=fresh(call))


def list_allocations(call: Call) -> Any:
    found, taken = allocations.of_provider(call.ctx, call.path["uuid"])
    shown: dict[str, Any] = {consumer: {"resources": many} for consumer, (many, _) in taken.items()}
    if call.since("1.28"):
        shown = {uuid: {**shown[uuid], "consumer_generation": generation} for uuid, (_, generation) in taken.items()}
    return Answer({"allocations": shown, "resource_provider_generation": found.generation}, headers=fresh(call))


def list_traits(call: Call) -> Any:
    return Answer(_traits(providers.get(call.ctx, call.path["uuid"], "traits:list")), headers=fresh(call))


def set_traits(call: Call) -> Any:
    body = call.body
    found = providers.set_traits(call.ctx, call.path["uuid"], body.resource_provider_generation, set(body.traits))
    return _traits(found)


def delete_traits(call: Call) -> None:
    providers.set_traits(call.ctx, call.path["uuid"], None, (), rule="delete")


def list_aggregates(call: Call) -> Any:
    found = providers.get(call.ctx, call.path["uuid"], "aggregates:list")
    return Answer(_aggregates(call, found), headers=fresh(call))


def set_aggregates(call: Call) -> Any:
    if isinstance(call.body, list):
        found = providers.set_aggregates(call.ctx, call.path["uuid"], None, call.body)
    else:
        generation = call.body.resource_provider_generation
        found = providers.set_aggregates(call.ctx, call.path["uuid"], generation, call.body.aggregates)
    return _aggregates(call, found)


def _show(call: Call, found: Provider) -> dict[str, Any]:
    here = f"{root(call)}/resource_providers/{found.uuid}"
    names = ["inventories", "usages"]
    names += [name for name, since in (("aggregates", "1.1"), ("traits", "1.6"), ("allocations", "1.11")) if call.since(since)]
    links = [{"rel": "self", "href": here}, *({"rel": name, "href": f"{here}/{name}"} for name in names)]
    shown = {"uuid": found.uuid, "name": found.name, "generation": found.generation, "links": links}
    if call.since("1.14"):
        shown |= {"parent_provider_uuid": found.parent_uuid, "root_provider_uuid": found.root_uuid}
    return shown


def _inventories(found: Provider) -> dict[str, Any]:
    shown = {name: asdict(one) for name, one in found.inventories.items()}
    return {"resource_provider_generation": found.generation, "inventories": shown}


def _inventory(found: Provider, name: str) -> dict[str, Any]:
    return {**asdict(found.inventories[name]), "resource_provider_generation": found.generation}


def _traits(found: Provider) -> dict[str, Any]:
    return {"traits": sorted(found.traits), "resource_provider_generation": found.generation}


def _aggregates(call: Call, found: Provider) -> dict[str, Any]:
    shown: dict[str, Any] = {"aggregates": sorted(found.aggregates)}
    return {**shown, "resource_provider_generation": found.generation} if call.since("1.19") else shown


ALL, ONE = "/resource_providers", "/resource_providers/{uuid}"
INVENTORY = ONE + "/inventories/{name}"
ERRORS = (400, 401, 403, 404, 409)

routes = (
    Route("GET", ALL, index),
    Route("POST", ALL, create, schemas.NewProvider, until="1.13", status=201, errors=ERRORS),
    Route("POST", ALL, create, schemas.NewProvider114, since="1.14", errors=ERRORS),
    Route("GET", ONE, show),
    Route("PUT", ONE, update, schemas.ChangeProvider, until="1.13", errors=ERRORS),
    Route("PUT", ONE, update, schemas.ChangeProvider114, since="1.14", errors=ERRORS),
    Route("DELETE", ONE, delete, status=204, errors=ERRORS),
    Route("GET", ONE + "/inventories", list_inventories),
    Route("POST", ONE + "/inventories", add_inventory, schemas.NewInventory, status=201, errors=ERRORS),
    Route("PUT", ONE + "/inventories", set_inventories, schemas.Inventories, errors=ERRORS),
    Route("DELETE", ONE + "/inventories", delete_inventories, since="1.5", status=204, errors=ERRORS),
    Route("GET", INVENTORY, show_inventory),
    Route("PUT", INVENTORY, set_inventory, schemas.ChangeInventory, errors=ERRORS),
    Route("DELETE", INVENTORY, delete_inventory, status=204, errors=ERRORS),
    Route("GET", ONE + "/usages", usages),
    Route("GET", ONE + "/allocations", list_allocations),
    Route("GET", ONE + "/traits", list_traits, since="1.6"),
    Route("PUT", ONE + "/traits", set_traits, schemas.Traits, since="1.6", errors=ERRORS),
    Route("DELETE", ONE + "/traits", delete_traits, since="1.6", status=204, errors=ERRORS),
    Route("GET", ONE + "/aggregates", list_aggregates, since="1.1"),
    Route("PUT", ONE + "/aggregates", set_aggregates, list[schemas.Uuid], since="1.1", until="1.18", errors=ERRORS),
    Route("PUT", ONE + "/aggregates", set_aggregates, schemas.Aggregates119, since="1.19", errors=ERRORS),
)
