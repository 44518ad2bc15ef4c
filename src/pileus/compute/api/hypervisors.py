"""/v2.1/os-hypervisors"""

from typing import Any

from pileus.compute import uptime
from pileus.compute.api.queries import check_names, read_page
from pileus.compute.schemas import hosts as schemas
from pileus.compute.schemas.fields import read_bool
from pileus.compute.service import hosts
from pileus.compute.store.hosts import Host
from pileus.kernel import ids
from pileus.kernel.errors import BadRequest, NotFound, NotImplementedHere
from pileus.kernel.http import Call, Route
from pileus.kernel.paging import next_link


def index(call: Call) -> Any:
    return _list(call, "list", detailed=False)


def detail(call: Call) -> Any:
    return _list(call, "list-detail", detailed=True)


def show(call: Call) -> Any:
    check_names(call, "with_servers", since="2.53")
    with_servers = _with_servers(call)
    host, servers = hosts.get_hypervisor(call.ctx, "show", with_servers, **_key(call))
    return {"hypervisor": _show(call, host, True, servers, with_servers)}


def show_uptime(call: Call) -> Any:
    host, _ = hosts.get_hypervisor(call.ctx, "uptime", **_key(call))
    if not host.is_up(call.cloud.clock.now()):
        raise BadRequest(f"Compute service of {host.name} is unavailable at this time.")
    spell = _uptime(call, host)
    if spell is None:
        raise NotImplementedHere("Unable to get the uptime of this host, functionality not implemented")
    return {"hypervisor": {**schemas.show_brief(host, call.version, call.cloud.clock.now()), "uptime": spell}}


def search(call: Call) -> Any:
    found, _ = hosts.list_hypervisors(call.ctx, "search", call.path["hypervisor_id"])
    return {"hypervisors": [_show(call, host, False) for host in found]}


def list_servers(call: Call) -> Any:
    found, servers = hosts.list_hypervisors(call.ctx, "servers", call.path["hypervisor_id"], with_servers=True)
    return {"hypervisors": [_show(call, host, False, servers, True) for host in found]}


def statistics(call: Call) -> Any:
    return schemas.show_statistics(hosts.list_hypervisors(call.ctx, "statistics")[0])


def _list(call: Call, rule: str, detailed: bool) -> Any:
    check_names(call, "limit", "marker", "hypervisor_hostname_pattern", "with_servers", since="2.53")
    pattern = call.query.get("hypervisor_hostname_pattern") if call.since("2.53") else None
    with_servers = _with_servers(call)
    if pattern is not None and ("limit" in call.query or "marker" in call.query):
        raise BadRequest(
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.",
        )
    found, servers = hosts.list_hypervisors(call.ctx, rule, pattern, with_servers)
    more = False
    if call.since("2.33"):
        found, more = hosts.cut(found, read_page(call), lambda host: _id(call, host))
    answer: dict[str, Any] = {"hypervisors": [_show(call, host, detailed, servers, with_servers) for host in found]}
    if more and found:
        href = next_link(call.path_url, call.query.pairs, _id(call, found[-1]))
        answer["hypervisors_links"] = [{"rel": "next", "href": href}]
    return answer


def _show(
    call: Call, host: Host, detailed: bool, servers: hosts.Servers | None = None, with_servers: bool = False
) -> dict[str, Any]:
    now = call.cloud.clock.now()
    if detailed:
        spell = _uptime(call, host) if call.since("2.88") else None
        address = call.cloud.settings.listen.rpartition(":")[0].strip("[]") or "127.0.0.1"
        shown = schemas.show_hypervisor(host, call.version, now, spell, address)
    else:
        shown = schemas.show_brief(host, call.version, now)
    mine = (servers or {}).get(host.name, [])
    if mine or (with_servers and call.since("2.75")):
        shown["servers"] = schemas.show_servers(mine)
    return shown


def _uptime(call: Call, host: Host) -> str | None:
    here = host.name == call.cloud.settings.host and host.is_up(call.cloud.clock.now())
    return uptime.read(call.cloud.clock.now()) if here else None


def _id(call: Call, host: Host) -> str:
    return host.hypervisor_uuid if call.since("2.53") else str(host.id)


def _with_servers(call: Call) -> bool:
    return call.since("2.53") and read_bool(call.query.get("with_servers") or "false")


def _key(call: Call) -> dict[str, Any]:
    text = call.path["hypervisor_id"]
    if call.since("2.53"):
        if not ids.is_uuid(text):
            raise BadRequest(f"Invalid uuid {text}")
        return {"hypervisor_uuid": text}
    if not (text.isascii() and text.isdecimal()) or int(text) > 2**31 - 1:
        raise NotFound(f"Hypervisor with ID '{text}' could not be found.")
    return {"id": int(text)}


ROOT = "/v2.1/os-hypervisors"

routes = (
    Route("GET", ROOT, index),
    Route("GET", ROOT + "/detail", detail),
    Route("GET", ROOT + "/statistics", statistics, until="2.87"),
    Route("GET", ROOT + "/{hypervisor_id}", show),
    Route("GET", ROOT + "/{hypervisor_id}/uptime", show_uptime, until="2.87", errors=(400, 401, 403, 404, 501)),
    Route("GET", ROOT + "/{hypervisor_id}/search", search, until="2.52"),
    Route("GET", ROOT + "/{hypervisor_id}/servers", list_servers, until="2.52"),
)
