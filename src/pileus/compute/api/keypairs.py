"""/v2.1/os-keypairs"""

from typing import Any

from msgspec import UNSET

from pileus.compute.api.queries import check_names, read_page
from pileus.compute.schemas import keypairs as schemas
from pileus.compute.service import keypairs
from pileus.kernel.http import Answer, Call, Route
from pileus.kernel.paging import Page, next_link


def index(call: Call) -> Any:
    check_names(call, "user_id", "limit", "marker")
    page = read_page(call) if call.since("2.35") else Page()
    found, more = keypairs.list_all(call.ctx, page, _user(call))
    answer: dict[str, Any] = {"keypairs": [{"keypair": schemas.show_brief(key, call.version)} for key in found]}
    if more and found:
        href = next_link(call.path_url, call.query.pairs, found[-1].name)
        answer["keypairs_links"] = [{"rel": "next", "href": href}]
    return answer


def show(call: Call) -> Any:
    check_names(call, "user_id")
    return schemas.show(keypairs.get(call.ctx, call.path["name"], _user(call)), call.version)


def create(call: Call) -> Any:
    asked = call.body.keypair
    public_key = None if asked.public_key is UNSET else asked.public_key
    kind, user_id = getattr(asked, "type", "ssh"), getattr(asked, "user_id", "")
    key, private_key = keypairs.create(call.ctx, asked.name, kind, public_key, user_id)
    return schemas.show_created(key, private_key, call.version)


def delete(call: Call) -> Any:
    check_names(call, "user_id")
    keypairs.delete(call.ctx, call.path["name"], _user(call))
    return Answer(status=204 if call.since("2.2") else 202)


def _user(call: Call) -> str:
    return (call.query.get("user_id") or "") if call.since("2.10") else ""


ROOT = "/v2.1/os-keypairs"
ERRORS = (400, 401, 403, 404, 409)

routes = (
    Route("GET", ROOT, index),
    Route("POST", ROOT, create, schemas.Create, until="2.1", errors=ERRORS),
    Route("POST", ROOT, create, schemas.Create202, since="2.2", until="2.9", status=201, errors=ERRORS),
    Route("POST", ROOT, create, schemas.Create210, since="2.10", until="2.91", status=201, errors=ERRORS),
    Route("POST", ROOT, create, schemas.Create292, since="2.92", status=201, errors=ERRORS),
    Route("GET", ROOT + "/{name}", show),
    Route("DELETE", ROOT + "/{name}", delete, status=204),
)
