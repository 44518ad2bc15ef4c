"""The calls of what is built upon networks, ports and routers that are no plain collection."""

from typing import Any

from msgspec import UNSET, Struct

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Answer, Call, Route
from pileus.network.api import listing
from pileus.network.errors import bad_attribute
from pileus.network.schemas import answers, shown
from pileus.network.schemas import further as f
from pileus.network.schemas.clean import attributes_of
from pileus.network.schemas.requests import envelope
from pileus.network.service import (
    address_groups,
    availability,
    flavors,
    forwardings,
    qos,
    schedulers,
    subnet_pools,
    topology,
    trunks,
)  # fmt: skip

INT_MAX = 2**31 - 1
BODIES: dict[str, type[Struct]] = {
    qos.LIMIT: f.BandwidthLimit, qos.MARK: f.DscpMarking, qos.MINIMUM: f.MinimumBandwidth,
}  # fmt: skip
NEEDED = {qos.LIMIT: "max_kbps", qos.MARK: "dscp_mark", qos.MINIMUM: "min_kbps"}


def _figures(call: Call, noun: str) -> dict[str, Any]:
    body = getattr(call.body, noun)
    if body is UNSET:
        raise BadRequest(f"Unable to find '{noun}' in request body", kind="HTTPBadRequest")
    found, _ = attributes_of(body)
    found.pop("project_id", None)
    found.pop("tenant_id", None)
    for name in ("max_kbps", "max_burst_kbps", "min_kbps"):
        if name in found and not 0 <= found[name] <= INT_MAX:
            raise bad_attribute(name, f"'{found[name]}' is not in range 0 to {INT_MAX}")
    return found


def _qos_routes(kind: str) -> list[Route]:
    """Return the routes of one kind of rules: under their policy, and by their own id."""
    noun, plural = f"{kind}_rule", f"{kind}_rules"

    def index(call: Call) -> Any:
        pick, wanted = listing.pick(call), listing.read(call)
        return {plural: [pick(shown.qos_rule(rule)) for rule in qos.list_rules(call.ctx, call.path["policy_id"], kind, wanted)]}

    def show(call: Call) -> Any:
        rule = qos.show_rule(call.ctx, call.path.get("policy_id"), kind, call.path["id"])
        return {_named(call, noun): listing.pick(call)(shown.qos_rule(rule))}

    def create(call: Call) -> Any:
        facts = _figures(call, noun)
        if NEEDED[kind] not in facts:
            raise BadRequest(f"Failed to parse request. Required attribute '{NEEDED[kind]}' not specified", kind="HTTPBadRequest")
        return {noun: shown.qos_rule(qos.create_rule(call.ctx, call.path["policy_id"], kind, facts))}

    def update(call: Call) -> Any:
        facts, revision = _figures(call, _named(call, noun)), listing.revision(call)
        rule = qos.change_rule(call.ctx, call.path.get("policy_id"), kind, call.path["id"], facts, revision)
        return {_named(call, noun): shown.qos_rule(rule)}

    def remove(call: Call) -> Answer:
        qos.remove_rule(call.ctx, call.path.get("policy_id"), kind, call.path["id"], listing.revision(call))
        return Answer()

    base, alias = f"/v2.0/qos/policies/{{policy_id}}/{plural}", f"/v2.0/qos/alias_{plural}/{{id}}"
    body, other = envelope(noun, BODIES[kind]), envelope(f"alias_{noun}", BODIES[kind])
    named = {verb: f"{verb}_policy_{kind}_rule" for verb in ("get", "create", "update", "delete")}
    return [
        Route("GET", base, index, rule=named["get"], summary=f"List {plural} of a policy"),
        Route("POST", base, create, body=body, status=201, rule=named["create"], summary=f"Make a {noun}"),
        Route("GET", base + "/{id}", show, rule=named["get"], summary=f"Show a {noun}"),
        Route("PUT", base + "/{id}", update, body=body, rule=named["update"], summary=f"Change a {noun}"),
        Route("DELETE", base + "/{id}", remove, status=204, rule=named["delete"], summary=f"Remove a {noun}"),
        Route("GET", alias, show, rule=named["get"]),
        Route("PUT", alias, update, body=other, rule=named["update"]),
        Route("DELETE", alias, remove, status=204, rule=named["delete"]),
    ]


def _named(call: Call, noun: str) -> str:
    """Return the noun of a rule as it is called by its own id, or under its policy."""
    return noun if "policy_id" in call.path else f"alias_{noun}"


def _rule_types(call: Call) -> Any:
    return {"rule_types": [{"type": name} for name in qos.rule_types(call.ctx)]}


def _rule_type(call: Call) -> Any:
    return {"rule_type": qos.rule_type(call.ctx, call.path["name"])}


def _add_addresses(call: Call) -> Any:
    group = address_groups.add_addresses(call.ctx, call.path["id"], call.body.addresses)
    return {"address_group": shown.address_groups(call.ctx)(group)}


def _remove_addresses(call: Call) -> Any:
    group = address_groups.remove_addresses(call.ctx, call.path["id"], call.body.addresses)
    return {"address_group": shown.address_groups(call.ctx)(group)}


FORWARD = "/v2.0/floatingips/{floatingip_id}/port_forwardings"
FORWARD_BODY = envelope("port_forwarding", f.ForwardingFacts)


def _forwarding(call: Call) -> dict[str, Any]:
    body = call.body.port_forwarding
    if body is UNSET:
        raise BadRequest("Unable to find 'port_forwarding' in request body", kind="HTTPBadRequest")
    found, _ = attributes_of(body)
    return {name: value for name, value in found.items() if name not in ("project_id", "tenant_id")}


def _list_forwardings(call: Call) -> Any:
    pick, show, wanted = listing.pick(call), answers.forwardings(call.ctx), listing.read(call)
    found = forwardings.list_forwardings(call.ctx, call.path["floatingip_id"], wanted)
    return {"port_forwardings": [pick(show(each)) for each in found]}


def _show_forwarding(call: Call) -> Any:
    found = forwardings.show(call.ctx, call.path["floatingip_id"], call.path["id"])
    return {"port_forwarding": listing.pick(call)(answers.forwardings(call.ctx)(found))}


def _create_forwarding(call: Call) -> Any:
    made = forwardings.create(call.ctx, call.path["floatingip_id"], _forwarding(call))
    return {"port_forwarding": answers.forwardings(call.ctx)(made)}


def _change_forwarding(call: Call) -> Any:
    facts, revision = _forwarding(call), listing.revision(call)
    found = forwardings.change(call.ctx, call.path["floatingip_id"], call.path["id"], facts, revision)
    return {"port_forwarding": answers.forwardings(call.ctx)(found)}


def _remove_forwarding(call: Call) -> Any:
    forwardings.remove(call.ctx, call.path["floatingip_id"], call.path["id"], listing.revision(call))
    return Answer()


def _bind_profile(call: Call) -> Any:
    flavors.bind(call.ctx, call.path["id"], call.body.service_profile.id)
    return {"service_profile": {"id": call.body.service_profile.id}}


def _unbind_profile(call: Call) -> Any:
    flavors.unbind(call.ctx, call.path["id"], call.path["profile_id"])
    return Answer()


def _next_provider(call: Call) -> Any:
    return {"next_providers": flavors.next_provider(call.ctx, call.path["id"])}


def _subports(call: Call) -> list[dict[str, Any]]:
    return [attributes_of(each)[0] for each in call.body.sub_ports]


def _add_subports(call: Call) -> Any:
    return shown.trunks(call.ctx)(trunks.add_subports(call.ctx, call.path["id"], _subports(call)))


def _remove_subports(call: Call) -> Any:
    return shown.trunks(call.ctx)(trunks.remove_subports(call.ctx, call.path["id"], _subports(call)))


def _get_subports(call: Call) -> Any:
    return {"sub_ports": [shown.subport(each) for each in trunks.subports(call.ctx, call.path["id"])]}


def _dhcp_networks(call: Call) -> Any:
    return {"networks": [answers.networks(call.ctx)(each) for each in schedulers.networks_of(call.ctx, call.path["id"])]}


def _add_dhcp_network(call: Call) -> Any:
    schedulers.add_network(call.ctx, call.path["id"], call.body.network_id)
    return {}


def _remove_dhcp_network(call: Call) -> Any:
    schedulers.remove_network(call.ctx, call.path["id"], call.path["network_id"])
    return Answer()


def _dhcp_agents(call: Call) -> Any:
    show, pick = answers.agents(call.ctx), listing.pick(call)
    return {"agents": [pick(show(each)) for each in schedulers.agents_of_network(call.ctx, call.path["id"])]}


def _l3_routers(call: Call) -> Any:
    return {"routers": [answers.routers(call.ctx)(each) for each in schedulers.routers_of(call.ctx, call.path["id"])]}


def _add_l3_router(call: Call) -> Any:
    schedulers.add_router(call.ctx, call.path["id"], call.body.router_id)
    return {}


def _remove_l3_router(call: Call) -> Any:
    schedulers.remove_router(call.ctx, call.path["id"], call.path["router_id"])
    return Answer()


def _l3_agents(call: Call) -> Any:
    show, pick = answers.agents(call.ctx), listing.pick(call)
    found = schedulers.agents_of_router(call.ctx, call.path["id"])
    return {"agents": [pick(show(each) | {"ha_state": None}) for each in found]}


def _availabilities(call: Call) -> Any:
    pick, filters = listing.pick(call), dict(listing.read(call).filters)
    return {"network_ip_availabilities": [pick(each) for each in availability.list_all(call.ctx, filters)]}


def _availability(call: Call) -> Any:
    return {"network_ip_availability": listing.pick(call)(availability.show(call.ctx, call.path["id"]))}


def _topology(call: Call) -> Any:
    project_id = _project(call)
    found = topology.describe(call.ctx, project_id, call.query.all("fields"))
    return {"auto_allocated_topology": found}


def _remove_topology(call: Call) -> Any:
    topology.remove(call.ctx, _project(call))
    return Answer()


def _project(call: Call) -> str:
    return call.ctx.project_id if call.path["project_id"] in ("None", "null") else call.path["project_id"]


def _onboard(call: Call) -> Any:
    subnet_pools.onboard(call.ctx, call.path["id"], call.body.subnetpool.network_id)
    found = answers.subnet_pools(call.ctx)(subnet_pools.show(call.ctx, call.path["id"]))
    return {"subnetpool": found}


AGENT, NETWORK, ROUTER, TRUNK = "/v2.0/agents/{id}", "/v2.0/networks/{id}", "/v2.0/routers/{id}", "/v2.0/trunks/{id}"
TOPOLOGY, GROUP, FLAVOR = "/v2.0/auto-allocated-topology/{project_id}", "/v2.0/address-groups/{id}", "/v2.0/flavors/{id}"
CHANGING = (400, 401, 403, 404, 409, 412)

ROUTES = (
    *(route for kind in BODIES for route in _qos_routes(kind)),
    Route("GET", "/v2.0/qos/rule-types", _rule_types, rule="get_rule_type"),
    Route("GET", "/v2.0/qos/rule-types/{name}", _rule_type, rule="get_rule_type_details"),
    Route("PUT", f"{GROUP}/add_addresses", _add_addresses, body=f.AddressesBody, rule="update_address_group"),
    Route("PUT", f"{GROUP}/remove_addresses", _remove_addresses, body=f.AddressesBody, rule="update_address_group"),
    Route("GET", FORWARD, _list_forwardings, rule="get_floatingip_port_forwarding"),
    Route("POST", FORWARD, _create_forwarding, body=FORWARD_BODY, status=201, rule="create_floatingip_port_forwarding"),
    Route("GET", FORWARD + "/{id}", _show_forwarding, rule="get_floatingip_port_forwarding"),
    Route("PUT", FORWARD + "/{id}", _change_forwarding, body=FORWARD_BODY, rule="update_floatingip_port_forwarding",
          errors=CHANGING),
    Route("DELETE", FORWARD + "/{id}", _remove_forwarding, status=204, rule="delete_floatingip_port_forwarding"),
    Route("POST", f"{FLAVOR}/service_profiles", _bind_profile, body=f.BoundBody, status=201,
          rule="create_flavor_service_profile"),
    Route("DELETE", FLAVOR + "/service_profiles/{profile_id}", _unbind_profile, status=204,
          rule="delete_flavor_service_profile"),
    Route("GET", f"{FLAVOR}/next_provider", _next_provider, rule="get_flavor"),
    Route("PUT", f"{TRUNK}/add_subports", _add_subports, body=f.SubportsBody, rule="add_subports", errors=CHANGING),
    Route("PUT", f"{TRUNK}/remove_subports", _remove_subports, body=f.SubportsBody, rule="remove_subports", errors=CHANGING),
    Route("GET", f"{TRUNK}/get_subports", _get_subports, rule="get_subports"),
    Route("GET", f"{AGENT}/dhcp-networks", _dhcp_networks, rule="get_dhcp-networks"),
    Route("POST", f"{AGENT}/dhcp-networks", _add_dhcp_network, body=f.NetworkOfAgent, status=201, rule="create_dhcp-network"),
    Route("DELETE", AGENT + "/dhcp-networks/{network_id}", _remove_dhcp_network, status=204, rule="delete_dhcp-network"),
    Route("GET", f"{NETWORK}/dhcp-agents", _dhcp_agents, rule="get_dhcp-agents"),
    Route("GET", f"{AGENT}/l3-routers", _l3_routers, rule="get_l3-routers"),
    Route("POST", f"{AGENT}/l3-routers", _add_l3_router, body=f.RouterOfAgent, status=201, rule="create_l3-router"),
    Route("DELETE", AGENT + "/l3-routers/{router_id}", _remove_l3_router, status=204, rule="delete_l3-router"),
    Route("GET", f"{ROUTER}/l3-agents", _l3_agents, rule="get_l3-agents"),
    Route("GET", "/v2.0/network-ip-availabilities", _availabilities, rule="get_network_ip_availability"),
    Route("GET", "/v2.0/network-ip-availabilities/{id}", _availability, rule="get_network_ip_availability"),
    Route("GET", TOPOLOGY, _topology, rule="get_auto_allocated_topology"),
    Route("DELETE", TOPOLOGY, _remove_topology, status=204, rule="delete_auto_allocated_topology"),
    Route("PUT", "/v2.0/subnetpools/{id}/onboard_network_subnets", _onboard, body=f.OnboardBody,
          rule="onboard_network_subnets"),
)  # fmt: skip
