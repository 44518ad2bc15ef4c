"""/v2.1/flavors"""

from typing import Any

from pileus.compute import extra_specs
from pileus.compute.api.queries import check_names, links, read_page
from pileus.compute.schemas import flavors as schemas
from pileus.compute.schemas.fields import read_bool
from pileus.compute.service import flavors
from pileus.compute.store.flavors import SORT_KEYS, Filters, Flavor
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route
from pileus.kernel.paging import next_link, read_sort

SPEC_PATH = "/v2.1/flavors/{flavor_id}/os-extra_specs"
ADMIN_ERRORS = (400, 401, 403, 404, 409)


def index(call: Call) -> Any:
    found, more = _find(call)
    shown = [schemas.show_brief(flavor, _links(call, flavor), call.version) for flavor in found]
    return _listed(call, shown, more)


def detail(call: Call) -> Any:
    found, more = _find(call)
    with_specs = call.since("2.61") and flavors.shows_specs(call.ctx)
    return _listed(call, [schemas.show(flavor, _links(call, flavor), call.version, with_specs) for flavor in found], more)


def show(call: Call) -> Any:
    return _shown(call, flavors.get(call.ctx, call.path["flavor_id"]))


def create(call: Call) -> Any:
    return _shown(call, flavors.create(call.ctx, schemas.read_create(call.body)))


def update(call: Call) -> Any:
    return _shown(call, flavors.describe(call.ctx, call.path["flavor_id"], call.body.flavor.description))


def delete(call: Call) -> None:
    flavors.delete(call.ctx, call.path["flavor_id"])


def list_access(call: Call) -> Any:
    flavor_id = call.path["flavor_id"]
    return schemas.show_access(flavor_id, flavors.list_access(call.ctx, flavor_id))


def act(call: Call) -> Any:
    flavor_id, action = call.path["flavor_id"], call.body
    if action.add and not action.remove:
        projects = flavors.add_access(call.ctx, flavor_id, action.add.tenant, refuse_public=call.since("2.7"))
    elif action.remove and not action.add:
        projects = flavors.remove_access(call.ctx, flavor_id, action.remove.tenant)
    else:
        raise BadRequest("There is no such action.")
    return schemas.show_access(flavor_id, projects)


def list_specs(call: Call) -> Any:
    return {"extra_specs": flavors.get_specs(call.ctx, call.path["flavor_id"])}


def show_spec(call: Call) -> Any:
    key = call.path["key"]
    return {key: flavors.get_spec(call.ctx, call.path["flavor_id"], key)}


def create_specs(call: Call) -> Any:
    specs = _valid_specs(call, call.body.extra_specs)
    flavors.set_specs(call.ctx, call.path["flavor_id"], specs)
    return {"extra_specs": specs}


def update_spec(call: Call) -> Any:
    specs = _valid_specs(call, call.body)
    call.require_one(specs)
    flavors.set_specs(call.ctx, call.path["flavor_id"], specs, rule="update")
    return specs


def delete_spec(call: Call) -> None:
    flavors.delete_spec(call.ctx, call.path["flavor_id"], call.path["key"])


def _valid_specs(call: Call, body: Any) -> dict[str, str]:
    specs = schemas.read_specs(body)
    if call.since("2.86"):
        for key, value in specs.items():
            if reason := extra_specs.explain_invalid(key, value):
                raise BadRequest(reason)
    return specs


def _find(call: Call) -> tuple[list[Flavor], bool]:
    check_names(call, "limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir")
    query = call.query
    wanted = Filters(
        is_public=_read_public(query.get("is_public")),
        min_memory_mib=_read_number(query.get("minRam"), "minRam"),
        min_disk_gib=_read_number(query.get("minDisk"), "minDisk"),
        name=query.get("name"),
    )
    sort = read_sort([query.get("sort_key") or "flavorid"], [query.get("sort_dir") or "asc"], SORT_KEYS)
    return flavors.list_all(call.ctx, wanted, sort[0], read_page(call))


def _read_public(text: str | None) -> bool | None:
    if text is None:
        return True
    if text.strip().lower() in ("none", ""):
        return None
    try:
        return read_bool(text)
    except BadRequest:
        raise BadRequest(f"Invalid is_public filter [{text}]") from None


def _read_number(text: str | None, name: str) -> int:
    try:
        number = int(text or 0)
    except ValueError:
        raise BadRequest(f"Invalid {name} filter [{text}]") from None
    return min(max(number, 0), 2**31 - 1)


def _links(call: Call, flavor: Flavor) -> list[dict[str, str]]:
    return links(call, "flavors", flavor.flavor_id)


def _shown(call: Call, flavor: Flavor) -> Any:
    with_specs = call.since("2.61") and flavors.shows_specs(call.ctx)
    return {"flavor": schemas.show(flavor, _links(call, flavor), call.version, with_specs)}


def _listed(call: Call, shown: list[dict[str, Any]], more: bool) -> Any:
    answer: dict[str, Any] = {"flavors": shown}
    if more and shown:
        answer["flavors_links"] = [{"rel": "next", "href": next_link(call.path_url, call.query.pairs, shown[-1]["id"])}]
    return answer


routes = (
    Route("GET", "/v2.1/flavors", index),
    Route("GET", "/v2.1/flavors/detail", detail),
    Route("POST", "/v2.1/flavors", create, schemas.Create, until="2.54", errors=ADMIN_ERRORS),
    Route("POST", "/v2.1/flavors", create, schemas.CreateDescribed, since="2.55", errors=ADMIN_ERRORS),
    Route("GET", "/v2.1/flavors/{flavor_id}", show),
    Route("PUT", "/v2.1/flavors/{flavor_id}", update, schemas.Update, since="2.55"),
    Route("DELETE", "/v2.1/flavors/{flavor_id}", delete, status=202),
    Route("GET", "/v2.1/flavors/{flavor_id}/os-flavor-access", list_access),
    Route("POST", "/v2.1/flavors/{flavor_id}/action", act, schemas.Action, errors=ADMIN_ERRORS),
    Route("GET", SPEC_PATH, list_specs),
    Route("POST", SPEC_PATH, create_specs, schemas.CreateSpecs),
    Route("GET", SPEC_PATH + "/{key}", show_spec),
    Route("PUT", SPEC_PATH + "/{key}", update_spec, schemas.Specs),
    Route("DELETE", SPEC_PATH + "/{key}", delete_spec),
)
