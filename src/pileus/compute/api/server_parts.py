"""What lies under /servers/{server_id}: metadata, tags, addresses, interfaces, the log of actions, and further small things."""

from typing import Any

from msgspec import UNSET

from pileus.compute.api.given import given
from pileus.compute.api.queries import check_names, read_page
from pileus.compute.neighbours.network import NicRequest
from pileus.compute.policies.servers import API
from pileus.compute.schemas import diagnostics
from pileus.compute.schemas import servers as schemas
from pileus.compute.schemas.server_views import addresses, host_id
from pileus.compute.service import action_log, interfaces, old_groups, servers
from pileus.compute.service import server_actions as actions
from pileus.compute.service.interfaces import Interface
from pileus.kernel.clock import from_iso, to_iso
from pileus.kernel.errors import BadRequest, NotFound
from pileus.kernel.http import Answer, Call, Route
from pileus.kernel.paging import next_link

ONE = "/v2.1/servers/{server_id}"


def _id(call: Call) -> str:
    return call.path["server_id"]


def show_metadata(call: Call) -> Any:
    """Show a server's metadata."""
    return {"metadata": servers.get_metadata(call.ctx, _id(call))}


def add_metadata(call: Call) -> Any:
    """Add items to a server's metadata."""
    return {"metadata": servers.set_metadata(call.ctx, _id(call), call.body.metadata, rule="create", keep=True)}


def replace_metadata(call: Call) -> Any:
    """Replace a server's metadata."""
    return {"metadata": servers.set_metadata(call.ctx, _id(call), call.body.metadata, rule="update_all", keep=False)}


def show_item(call: Call) -> Any:
    """Show one item of metadata."""
    key = call.path["key"]
    return {"meta": {key: servers.get_metadata_item(call.ctx, _id(call), key)}}


def set_item(call: Call) -> Any:
    """Set one item of metadata."""
    call.require_one(call.body.meta)
    servers.set_metadata(call.ctx, _id(call), call.body.meta, rule="update", keep=True)
    return {"meta": call.body.meta}


def delete_item(call: Call) -> None:
    """Remove one item of metadata."""
    servers.delete_metadata_item(call.ctx, _id(call), call.path["key"])


def show_tags(call: Call) -> Any:
    """List a server's tags."""
    return {"tags": servers.get_tags(call.ctx, _id(call))}


def show_tag(call: Call) -> None:
    """Tell whether a server has a tag."""
    if call.path["tag"] not in servers.get_tags(call.ctx, _id(call), "show"):
        raise _no_tag(call)


def replace_tags(call: Call) -> Any:
    """Replace a server's tags."""
    _, after = servers.change_tags(call.ctx, _id(call), "update_all", lambda before: call.body.tags)
    return {"tags": after}


def add_tag(call: Call) -> Answer:
    """Add a tag to a server."""
    tag = call.path["tag"]
    if not 1 <= len(tag) <= 60 or "," in tag or "/" in tag:
        raise BadRequest(f"Tag '{tag}' is invalid. It must be a non empty string without characters '/' and ','.")
    before, after = servers.change_tags(call.ctx, _id(call), "update", lambda tags: [*tags, tag])
    location = {"Location": call.path_url}
    return Answer(None, status=204 if before == after else 201, headers=location)


def delete_tag(call: Call) -> None:
    """Remove a tag from a server."""
    before, after = servers.change_tags(call.ctx, _id(call), "delete", lambda tags: [t for t in tags if t != call.path["tag"]])
    if before == after:
        raise _no_tag(call)


def delete_tags(call: Call) -> None:
    """Remove all tags from a server."""
    servers.change_tags(call.ctx, _id(call), "delete_all", lambda tags: [])


def _no_tag(call: Call) -> NotFound:
    return NotFound(f"Server {_id(call)} has no tag '{call.path['tag']}'")


def list_ips(call: Call) -> Any:
    """List a server's addresses by network."""
    shown = servers.show(call.ctx, _id(call), API + "ips:index")
    return {"addresses": {} if shown.server.vm_state == "building" else addresses(shown.nics, extended=False)}


def show_ips(call: Call) -> Any:
    """List a server's addresses in one network."""
    found = addresses(servers.show(call.ctx, _id(call), API + "ips:show").nics, extended=False)
    label = call.path["label"]
    if label not in found:
        raise NotFound("Instance is not a member of specified network")
    return {label: found[label]}


def list_groups(call: Call) -> Any:
    """List the security groups of a server."""
    return {"security_groups": old_groups.list_of_server(call.ctx, _id(call))}


def _interface(call: Call, found: Interface) -> dict[str, Any]:
    nic = found.nic
    fixed = [{"ip_address": address.ip, "subnet_id": address.subnet_id} for address in nic.addresses]
    shown: dict[str, Any] = {
        "net_id": nic.network_id, "port_id": nic.port_id, "mac_addr": nic.mac, "port_state": nic.status, "fixed_ips": fixed,
    }  # fmt: skip
    return shown | ({"tag": found.tag} if call.since("2.70") else {})


def list_interfaces(call: Call) -> Any:
    """List the NICs of a server."""
    return {"interfaceAttachments": [_interface(call, found) for found in interfaces.list_interfaces(call.ctx, _id(call))]}


def show_interface(call: Call) -> Any:
    """Show a NIC of a server."""
    return {"interfaceAttachment": _interface(call, interfaces.show(call.ctx, _id(call), call.path["port_id"]))}


def attach_interface(call: Call) -> Any:
    """Give a server another NIC."""
    body = given(call.body.attachment, schemas.Attachment())
    if body.tag is not UNSET and not call.since("2.49"):
        raise schemas.unexpected("tag")
    schemas.check_uuid("port_id", body.port_id)
    schemas.check_uuid("net_id", body.net_id)
    fixed_ip = given(body.fixed_ips, [None])[0]
    if fixed_ip is not None:
        schemas.check_address("ip_address", fixed_ip.ip_address)
    if body.net_id is not UNSET and body.port_id is not UNSET:
        raise BadRequest("Must not input both network_id and port_id")
    if fixed_ip is not None and body.net_id is UNSET:
        raise BadRequest("Must input network_id when request IP address")
    request = NicRequest(given(body.net_id), given(body.port_id), fixed_ip and fixed_ip.ip_address, given(body.tag))
    return {"interfaceAttachment": _interface(call, interfaces.attach(call.ctx, _id(call), request))}


def detach_interface(call: Call) -> None:
    """Take a NIC from a server."""
    interfaces.detach(call.ctx, _id(call), call.path["port_id"])


def _action(call: Call, row: Any) -> dict[str, Any]:
    shown = {
        "action": row.action, "instance_uuid": row.server_id, "request_id": row.request_id, "user_id": row.user_id,
        "project_id": row.project_id, "start_time": _moment(row.started_at), "message": row.message,
    }  # fmt: skip
    return shown | ({"updated_at": _moment(row.updated_at)} if call.since("2.58") else {})


def _moment(seconds: float) -> str:
    return to_iso(seconds)[:-1] + ".000000"


def _time(call: Call, name: str) -> float | None:
    text = call.query.get(name)
    if text is None:
        return None
    try:
        return from_iso(text.replace(" ", "+"))
    except (ValueError, OverflowError):
        raise BadRequest(f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'date-time'") from None


def list_actions(call: Call) -> Any:
    """List what was asked of a server."""
    page, since, before = read_page(call), None, None
    if call.since("2.58"):
        names = ("limit", "marker", "changes-since") + (("changes-before",) if call.since("2.66") else ())
        check_names(call, *names, since="2.58")
        since, before = _time(call, "changes-since"), _time(call, "changes-before")
        if since is not None and before is not None and since > before:
            raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    found = action_log.list_actions(call.ctx, _id(call), page, since, before, deleted=call.since("2.21"))
    body: dict[str, Any] = {"instanceActions": [_action(call, row) for row in found]}
    if call.since("2.58") and found and page.limit is not None and len(found) >= page.limit:
        href = next_link(call.path_url, call.query.pairs, found[-1].request_id)
        body["links"] = [{"rel": "next", "href": href}]
    return body


def show_action(call: Call) -> Any:
    """Show what a request asked of a server, and how it went."""
    row, sight = action_log.show(call.ctx, _id(call), call.path["request_id"], deleted=call.since("2.21"))
    body = _action(call, row)
    if sight.events or call.since("2.51"):
        body["events"] = [_event(call, row, event, sight) for event in row.events]
    return {"instanceAction": body}


def _event(call: Call, row: Any, event: dict[str, Any], sight: action_log.Sight) -> dict[str, Any]:
    shown = {
        "event": event["event"], "start_time": _moment(event["started_at"]), "finish_time": _moment(event["finished_at"]),
        "result": event["result"],
    }  # fmt: skip
    if sight.events:
        shown["traceback"] = event.get("traceback")
        if call.since("2.62"):
            shown["host"] = event.get("host")
    if call.since("2.62"):
        shown["hostId"] = host_id(event.get("host"), row.project_id)
    if sight.details and call.since("2.84"):
        shown["details"] = event.get("details")
    return shown


def show_password(call: Call) -> Any:
    """Show the password that the guest posted."""
    return {"password": servers.get_password(call.ctx, _id(call))}


def clear_password(call: Call) -> None:
    """Forget the password that the guest posted."""
    servers.clear_password(call.ctx, _id(call))


def topology(call: Call) -> Any:
    """Show the NUMA topology of a server."""
    actions.show_rule(call.ctx, _id(call), "compute:server:topology:index")
    return {"nodes": [], "pagesize_kb": None}


def show_diagnostics(call: Call) -> Any:
    """Show what a server's guest has used."""
    shown, seen = servers.diagnose(call.ctx, _id(call))
    return diagnostics.show(shown, seen) if call.since("2.48") else diagnostics.show_older(shown, seen)


LOG, NICS, TAGS, META = "os-instance-actions:", "os-attach-interfaces:", "os-server-tags:", "server-metadata:"
CHANGE = (400, 401, 403, 404, 409)

routes = (
    Route("GET", f"{ONE}/metadata", show_metadata, rule=API + META + "index"),
    Route("POST", f"{ONE}/metadata", add_metadata, body=schemas.MetadataBody, rule=API + META + "create", errors=CHANGE),
    Route("PUT", f"{ONE}/metadata", replace_metadata, body=schemas.MetadataBody, rule=API + META + "update_all", errors=CHANGE),
    Route("GET", f"{ONE}/metadata/{{key}}", show_item, rule=API + META + "show"),
    Route("PUT", f"{ONE}/metadata/{{key}}", set_item, body=schemas.MetaBody, rule=API + META + "update", errors=CHANGE),
    Route("DELETE", f"{ONE}/metadata/{{key}}", delete_item, status=204, rule=API + META + "delete", errors=CHANGE),
    Route("GET", f"{ONE}/tags", show_tags, since="2.26", rule=API + TAGS + "index"),
    Route("PUT", f"{ONE}/tags", replace_tags, body=schemas.TagsBody, since="2.26", rule=API + TAGS + "update_all", errors=CHANGE),
    Route("DELETE", f"{ONE}/tags", delete_tags, status=204, since="2.26", rule=API + TAGS + "delete_all", errors=CHANGE),
    Route("GET", f"{ONE}/tags/{{tag}}", show_tag, status=204, since="2.26", rule=API + TAGS + "show"),
    Route("PUT", f"{ONE}/tags/{{tag}}", add_tag, status=201, since="2.26", rule=API + TAGS + "update", errors=CHANGE),
    Route("DELETE", f"{ONE}/tags/{{tag}}", delete_tag, status=204, since="2.26", rule=API + TAGS + "delete", errors=CHANGE),
    Route("GET", f"{ONE}/ips", list_ips, rule=API + "ips:index"),
    Route("GET", f"{ONE}/ips/{{label}}", show_ips, rule=API + "ips:show"),
    Route("GET", f"{ONE}/os-security-groups", list_groups, rule=API + "os-security-groups:list"),
    Route("GET", f"{ONE}/os-interface", list_interfaces, rule=API + NICS + "list"),
    Route("GET", f"{ONE}/os-interface/{{port_id}}", show_interface, rule=API + NICS + "show"),
    Route(
        "POST", f"{ONE}/os-interface", attach_interface, body=schemas.AttachInterface, rule=API + NICS + "create", errors=CHANGE,
    ),
    Route("DELETE", f"{ONE}/os-interface/{{port_id}}", detach_interface, status=202, rule=API + NICS + "delete", errors=CHANGE),
    Route("GET", f"{ONE}/os-instance-actions", list_actions, rule=API + LOG + "list"),
    Route("GET", f"{ONE}/os-instance-actions/{{request_id}}", show_action, rule=API + LOG + "show"),
    Route("GET", f"{ONE}/os-server-password", show_password, rule=API + "os-server-password:show"),
    Route("DELETE", f"{ONE}/os-server-password", clear_password, status=204, rule=API + "os-server-password:clear"),
    Route("GET", f"{ONE}/diagnostics", show_diagnostics, rule=API + "os-server-diagnostics", errors=CHANGE),
    Route("GET", f"{ONE}/topology", topology, since="2.78", rule="compute:server:topology:index"),
)  # fmt: skip
