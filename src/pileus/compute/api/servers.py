"""/servers: create, list, show, update, delete."""

from typing import Any

from pileus.compute.api import server_bodies as bodies
from pileus.compute.api.given import given
from pileus.compute.api.server_queries import read_query
from pileus.compute.policies.servers import SERVERS
from pileus.compute.schemas import servers as schemas
from pileus.compute.schemas.fields import read_bool
from pileus.compute.schemas.server_views import View
from pileus.compute.service import server_create, servers
from pileus.compute.service.servers import Shown
from pileus.kernel.http import Answer, Call, Route
from pileus.kernel.paging import next_link

ONE = "/v2.1/servers/{server_id}"
CREATE_ERRORS = (400, 401, 403, 409)


def view(call: Call, shown: Shown | None = None) -> View:
    """Return what shows servers to this caller."""
    server = shown.server if shown else None
    return View(call.version, f"{call.base_url}/v2.1", call.base_url, servers.sight(call.ctx, server))


def create(call: Call) -> Any:
    """Create servers."""
    wanted = bodies.read_create(call)
    made = server_create.create(call.ctx, wanted)
    if read_bool(given(call.body.server.return_reservation_id, False)):
        return {"reservation_id": made.reservation_id}
    links = View(call.version, f"{call.base_url}/v2.1", call.base_url, servers.Sight()).links(made.ids[0])
    names = [{"name": name} for name in wanted.security_groups]
    body = {
        "id": made.ids[0], "links": links, "OS-DCF:diskConfig": wanted.disk_config, "security_groups": names,
        "adminPass": made.admin_password,
    }  # fmt: skip
    return Answer({"server": body}, headers={"Location": links[0]["href"]})


def index(call: Call) -> Any:
    """List servers: ids and names."""
    return _list(call, detail=False)


def detail(call: Call) -> Any:
    """List servers with everything about them."""
    return _list(call, detail=True)


def _list(call: Call, detail: bool) -> Any:
    query = read_query(call, detail)
    found = servers.list_servers(call.ctx, query)
    shows = view(call)
    body: dict[str, Any] = {"servers": [shows.full(shown) if detail else shows.brief(shown) for shown in found]}
    if found and query.page.limit is not None and len(found) >= query.page.limit:
        href = next_link(call.path_url, call.query.pairs, found[-1].server.id)
        body["servers_links"] = [{"rel": "next", "href": href}]
    return body


def show(call: Call) -> Any:
    """Show a server."""
    shown = servers.show(call.ctx, call.path["server_id"])
    shows = view(call, shown)
    return {"server": shows.with_groups(shown, shows.full(shown))}


def update(call: Call) -> Any:
    """Change what a server is called or known by."""
    body: schemas.Changes = call.body.server
    schemas.check(call.version, body, schemas.UPDATE_SINCE)
    names = ("name", "description", "hostname", "access_ipv4", "access_ipv6", "disk_config")
    shown = servers.update(call.ctx, call.path["server_id"], bodies.read_values(body, *names))
    return {"server": view(call, shown).changed(shown)}


def delete(call: Call) -> None:
    """Delete a server."""
    servers.delete(call.ctx, call.path["server_id"])


routes = (
    Route("POST", "/v2.1/servers", create, body=schemas.CreateServer, status=202, rule=SERVERS + "create", errors=CREATE_ERRORS),
    Route("GET", "/v2.1/servers", index, rule=SERVERS + "index"),
    Route("GET", "/v2.1/servers/detail", detail, rule=SERVERS + "detail"),
    Route("GET", ONE, show, rule=SERVERS + "show"),
    Route("PUT", ONE, update, body=schemas.UpdateServer, rule=SERVERS + "update"),
    Route("DELETE", ONE, delete, status=204, rule=SERVERS + "delete", errors=(401, 403, 404, 409)),
    Route("POST", "/v2.1/os-volumes_boot", create, body=schemas.CreateServer, status=202, rule=SERVERS + "create"),
)
