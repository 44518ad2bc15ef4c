"""The policy of the network API: neutron's rule names, with its defaults by role and project.

A rule `ACTION_THING:ATTRIBUTE` guards one attribute: on create and update when it is given, on get whether it is shown.
Beside the thing's own project, targets carry `shared` and `external` (of its network), `network:project_id` and
`security_group:project_id` (who owns what it belongs to), and `network_device` (whether its owner is the network itself).
"""

from pileus.kernel.policy import Rule

ANYONE = "@"
ADMIN = "rule:admin_required"
SERVICE_OR_ADMIN = "rule:service_or_admin"
MEMBER = "rule:project_member_or_admin"
READER = "rule:project_reader_or_admin"
MEMBER_OR_SERVICE = f"{MEMBER} or role:service"
SHARED, EXTERNAL = "True:%(shared)s", "True:%(external)s"
NET_MEMBER = f"{ADMIN} or (role:member and project_id:%(network:project_id)s)"
NET_READER = f"{ADMIN} or (role:reader and project_id:%(network:project_id)s)"
NET_MEMBER_OR_SERVICE = f"{NET_MEMBER} or role:service"
GROUP_MEMBER = f"{ADMIN} or (role:member and project_id:%(security_group:project_id)s)"
GROUP_READER = f"{MEMBER.replace('member', 'reader')} or (role:reader and project_id:%(security_group:project_id)s)"

VERBS = {"create": "POST", "update": "PUT", "delete": "DELETE", "get": "GET"}


def _rules(noun: str, plural: str, verbs: dict[str, str], attributes: dict[str, str] | None = None) -> list[Rule]:
    """Return the rules of a resource: by verb, and by VERB:ATTRIBUTE."""
    made = []
    for verb, check in verbs.items():
        paths = (f"POST /v2.0/{plural}",) if verb == "create" else (f"{VERBS[verb]} /v2.0/{plural}/{{id}}",)
        made.append(Rule(f"{verb}_{noun}", check, paths if verb != "get" else (f"GET /v2.0/{plural}", *paths)))
    for name, check in (attributes or {}).items():
        verb, _, attribute = name.partition(":")
        made.append(Rule(f"{verb}_{noun}:{attribute}", check, (f"{VERBS[verb]} /v2.0/{plural}",)))
    return made


def _each(verbs: str, attributes: str, check: str) -> dict[str, str]:
    return {f"{verb}:{attribute}": check for verb in verbs.split() for attribute in attributes.split()}


NETWORK = _rules(
    "network", "networks",
    {"create": MEMBER, "get": f"{READER} or {SHARED} or {EXTERNAL} or role:service", "update": MEMBER, "delete": MEMBER},
    {
        **_each("create update", "shared router:external is_default", ADMIN),
        **_each("create update", "port_security_enabled", MEMBER),
        **_each("create update get", "provider:network_type provider:physical_network provider:segmentation_id", ADMIN),
    },
)  # fmt: skip

SUBNET = _rules(
    "subnet", "subnets",
    {
        "create": NET_MEMBER, "get": f"{READER} or {NET_READER} or {SHARED} or {EXTERNAL} or role:service",
        "update": f"{MEMBER} or {NET_MEMBER}", "delete": f"{MEMBER} or {NET_MEMBER}",
    },
)  # fmt: skip

SUBNET_POOL = _rules(
    "subnetpool", "subnetpools",
    {"create": MEMBER, "get": f"{READER} or {SHARED}", "update": MEMBER, "delete": MEMBER},
    {**_each("create", "shared", ADMIN), **_each("create update", "is_default", ADMIN)},
) + [
    Rule(f"{name}_prefixes", MEMBER, (f"PUT /v2.0/subnetpools/{{id}}/{name}_prefixes",)) for name in ("add", "remove")
]  # fmt: skip

ADDRESS_SCOPE = _rules(
    "address_scope", "address-scopes",
    {"create": MEMBER, "get": f"{READER} or {SHARED}", "update": MEMBER, "delete": MEMBER},
    _each("create update", "shared", ADMIN),
)  # fmt: skip

PORT = _rules(
    "port", "ports",
    {
        "create": MEMBER_OR_SERVICE, "get": f"{READER} or {NET_READER} or role:service", "update": MEMBER_OR_SERVICE,
        "delete": f"{MEMBER} or {NET_MEMBER_OR_SERVICE}",
    },
    {
        **_each("create update", "device_owner", f"not True:%(network_device)s or {NET_MEMBER_OR_SERVICE}"),
        "create:mac_address": NET_MEMBER_OR_SERVICE,
        "update:mac_address": SERVICE_OR_ADMIN,
        **_each("create update", "fixed_ips fixed_ips:subnet_id", f"{NET_MEMBER_OR_SERVICE} or {SHARED}"),
        **_each("create update", "fixed_ips:ip_address", NET_MEMBER_OR_SERVICE),
        **_each("create update", "port_security_enabled allowed_address_pairs", NET_MEMBER_OR_SERVICE),
        **_each("create update get", "binding:host_id binding:profile", SERVICE_OR_ADMIN),
        **_each("create update", "binding:vnic_type", MEMBER_OR_SERVICE),
        **_each("get", "binding:vif_type binding:vif_details", SERVICE_OR_ADMIN),
    },
)  # fmt: skip

ROUTER = _rules(
    "router", "routers",
    {"create": MEMBER, "get": READER, "update": MEMBER, "delete": MEMBER},
    {
        **_each("create update get", "distributed ha", ADMIN),
        **_each("create update", "external_gateway_info external_gateway_info:network_id", MEMBER),
        **_each("create update", "external_gateway_info:enable_snat external_gateway_info:external_fixed_ips", ADMIN),
    },
)  # fmt: skip

ROUTER_ACTIONS = [
    Rule(f"{name}_{what}", MEMBER, (f"PUT /v2.0/routers/{{id}}/{name}_{what}",))
    for name in ("add", "remove")
    for what in ("router_interface", "extraroutes")
]

FLOATINGIP = _rules(
    "floatingip", "floatingips",
    {"create": MEMBER, "get": READER, "update": MEMBER, "delete": MEMBER},
    {"create:floating_ip_address": ADMIN},
)  # fmt: skip

GROUP = _rules(
    "security_group", "security-groups",
    {"create": MEMBER, "get": f"{READER} or {SHARED}", "update": MEMBER, "delete": MEMBER},
)  # fmt: skip

GROUP_RULE = _rules(
    "security_group_rule", "security-group-rules",
    {"create": GROUP_MEMBER, "get": GROUP_READER, "delete": f"{MEMBER} or {GROUP_MEMBER}"},
)  # fmt: skip

MANAGER = "rule:project_manager_or_admin"

RBAC = _rules(
    "rbac_policy", "rbac-policies", {"create": MEMBER, "get": READER, "update": MEMBER, "delete": MEMBER},
    _each("create update", "target_project", f"{ADMIN} or not True:%(wildcard)s"),
)  # fmt: skip

QOS = [
    *_rules(
        "policy", "qos/policies", {"create": MANAGER, "get": f"{READER} or {SHARED}", "update": MANAGER, "delete": MANAGER},
        _each("create update", "shared", ADMIN),
    ),
    Rule("get_rule_type", ANYONE, ("GET /v2.0/qos/rule-types",)),
    Rule("get_rule_type_details", ADMIN, ("GET /v2.0/qos/rule-types/{name}",)),
    *(
        Rule(f"{verb}_policy_{kind}_rule", f"{READER} or {SHARED}" if verb == "get" else MANAGER,
             (f"{VERBS[verb]} /v2.0/qos/policies/{{policy_id}}/{kind}_rules",))
        for kind in ("bandwidth_limit", "dscp_marking", "minimum_bandwidth")
        for verb in VERBS
    ),
]  # fmt: skip

ADDRESS_GROUP = _rules(
    "address_group", "address-groups", {"create": MEMBER, "get": f"{READER} or {SHARED}", "update": MEMBER, "delete": MEMBER},
    _each("create update", "shared", ADMIN),
)  # fmt: skip

DEFAULT_RULES = _rules(
    "default_security_group_rule", "default-security-group-rules", {"create": ADMIN, "get": ANYONE, "delete": ADMIN}
)

METERING = [
    *_rules("metering_label", "metering/metering-labels", {"create": ADMIN, "get": ADMIN, "delete": ADMIN}),
    *_rules("metering_label_rule", "metering/metering-label-rules", {"create": ADMIN, "get": ADMIN, "delete": ADMIN}),
]

FORWARDING = [
    Rule(f"{verb}_floatingip_port_forwarding", READER if verb == "get" else MEMBER,
         (f"{VERBS[verb]} /v2.0/floatingips/{{floatingip_id}}/port_forwardings",))
    for verb in VERBS
]  # fmt: skip

FLAVOR = [
    *_rules("flavor", "flavors", {"create": ADMIN, "get": ANYONE, "update": ADMIN, "delete": ADMIN}),
    *_rules("service_profile", "service_profiles", {"create": ADMIN, "get": ADMIN, "update": ADMIN, "delete": ADMIN}),
    Rule("create_flavor_service_profile", ADMIN, ("POST /v2.0/flavors/{id}/service_profiles",)),
    Rule("delete_flavor_service_profile", ADMIN, ("DELETE /v2.0/flavors/{id}/service_profiles/{profile_id}",)),
]

TRUNK = [
    *_rules("trunk", "trunks", {"create": MEMBER, "get": READER, "update": MEMBER, "delete": MEMBER}),
    Rule("get_subports", READER, ("GET /v2.0/trunks/{id}/get_subports",)),
    Rule("add_subports", MEMBER, ("PUT /v2.0/trunks/{id}/add_subports",)),
    Rule("remove_subports", MEMBER, ("PUT /v2.0/trunks/{id}/remove_subports",)),
]

SCHEDULERS = [
    Rule("get_dhcp-networks", ADMIN, ("GET /v2.0/agents/{id}/dhcp-networks",)),
    Rule("create_dhcp-network", ADMIN, ("POST /v2.0/agents/{id}/dhcp-networks",)),
    Rule("delete_dhcp-network", ADMIN, ("DELETE /v2.0/agents/{id}/dhcp-networks/{network_id}",)),
    Rule("get_dhcp-agents", ADMIN, ("GET /v2.0/networks/{id}/dhcp-agents",)),
    Rule("get_l3-routers", ADMIN, ("GET /v2.0/agents/{id}/l3-routers",)),
    Rule("create_l3-router", ADMIN, ("POST /v2.0/agents/{id}/l3-routers",)),
    Rule("delete_l3-router", ADMIN, ("DELETE /v2.0/agents/{id}/l3-routers/{router_id}",)),
    Rule("get_l3-agents", ADMIN, ("GET /v2.0/routers/{id}/l3-agents",)),
]

OTHERS = [
    Rule("get_network_ip_availability", ADMIN, ("GET /v2.0/network-ip-availabilities",)),
    Rule("get_auto_allocated_topology", READER, ("GET /v2.0/auto-allocated-topology/{project_id}",)),
    Rule("delete_auto_allocated_topology", MEMBER, ("DELETE /v2.0/auto-allocated-topology/{project_id}",)),
    Rule("onboard_network_subnets", MEMBER, ("PUT /v2.0/subnetpools/{id}/onboard_network_subnets",)),
    Rule("get_quota", ADMIN, ("GET /v2.0/quotas", "GET /v2.0/quotas/{project_id}")),
    Rule("update_quota", ADMIN, ("PUT /v2.0/quotas/{project_id}",)),
    Rule("delete_quota", ADMIN, ("DELETE /v2.0/quotas/{project_id}",)),
    Rule("get_agent", ADMIN, ("GET /v2.0/agents", "GET /v2.0/agents/{id}")),
    Rule("update_agent", ADMIN, ("PUT /v2.0/agents/{id}",)),
    Rule("delete_agent", ADMIN, ("DELETE /v2.0/agents/{id}",)),
    Rule("get_availability_zone", ANYONE, ("GET /v2.0/availability_zones",)),
    Rule("get_service_provider", ANYONE, ("GET /v2.0/service-providers",)),
]

RULES = (
    *NETWORK,
    *SUBNET,
    *SUBNET_POOL,
    *ADDRESS_SCOPE,
    *PORT,
    *ROUTER,
    *ROUTER_ACTIONS,
    *FLOATINGIP,
    *GROUP,
    *GROUP_RULE,
    *RBAC,
    *QOS,
    *ADDRESS_GROUP,
    *DEFAULT_RULES,
    *METERING,
    *FORWARDING,
    *FLAVOR,
    *TRUNK,
    *SCHEDULERS,
    *OTHERS,
)
