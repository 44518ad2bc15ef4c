"""The network API over HTTP: every resource, who may what, bad input, lists."""

import pytest


@pytest.fixture
def demo(lab):
    return Api(lab.client("demo"))


@pytest.fixture
def admin(lab):
    return Api(lab.client("admin"))


@pytest.fixture
def other(lab):
    return Api(lab.client("other"))


class Api:
    """Short words for calls: each returns what stands under the noun, or the whole answer when a status is expected."""

    def __init__(self, client):
        self.client = client

    def call(self, method, path, body=None, status=200, **more):
        answer = self.client.request(method, f"/network/v2.0/{path}", json=body, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def make(self, noun, status=201, **attributes):
        plural = noun.replace("_", "-") + "s"
        found = self.call("POST", plural, {noun: attributes}, status)
        return found[noun] if status == 201 else found["NeutronError"]["type"]

    def change(self, noun, id, status=200, headers=None, **attributes):
        found = self.call("PUT", f"{noun.replace('_', '-')}s/{id}", {noun: attributes}, status, headers=headers)
        return found[noun] if status == 200 else found["NeutronError"]["type"]

    def drop(self, noun, id, status=204):
        found = self.call("DELETE", f"{noun.replace('_', '-')}s/{id}", None, status)
        return found and found["NeutronError"]["type"]

    def show(self, noun, id, status=200):
        found = self.call("GET", f"{noun.replace('_', '-')}s/{id}", None, status)
        return found[noun] if status == 200 else found["NeutronError"]["type"]

    def ids(self, plural, query=""):
        return [each["id"] for each in self.call("GET", f"{plural}?{query}")[plural.replace("-", "_")]]

    def network(self, cidr="10.0.0.0/24", **more):
        network = self.make("network", name="n", **more)
        return network, self.make("subnet", network_id=network["id"], ip_version=4, cidr=cidr)

    def public(self):
        network = self.make("network", name="public", **{"router:external": True})
        subnet = self.make("subnet", network_id=network["id"], ip_version=4, cidr="172.24.4.0/24", enable_dhcp=False)
        return network, subnet


def test_versions_and_extensions(lab, demo):
    assert lab.anonymous.get("/network/").json()["versions"][0]["id"] == "v2.0"
    assert lab.anonymous.get("/network/v2.0/").json()["resources"]
    aliases = {each["alias"] for each in demo.call("GET", "extensions")["extensions"]}
    assert {"router", "security-group", "external-net", "standard-attr-tag"} <= aliases
    assert "segment" not in aliases
    assert demo.call("GET", "extensions/router")["extension"]["alias"] == "router"
    demo.call("GET", "extensions/segment", status=404)
    assert lab.anonymous.get("/network/v2.0/networks").status_code == 401


def test_network_life(demo, other, admin):
    network, subnet = demo.network()
    assert network["status"] == "ACTIVE"
    assert network["mtu"] == 1450
    assert "provider:network_type" not in network
    assert admin.show("network", network["id"])["provider:network_type"] == "vxlan"
    assert demo.show("network", network["id"])["subnets"] == [subnet["id"]]
    assert other.show("network", network["id"], 404) == "NetworkNotFound"
    assert other.drop("network", network["id"], 404) == "NetworkNotFound"
    assert demo.change("network", network["id"], name="m")["name"] == "m"
    assert demo.change("network", network["id"], 403, shared=True) == "PolicyNotAuthorized"
    assert demo.make("network", 403, **{"router:external": True}) == "PolicyNotAuthorized"
    admin.change("network", network["id"], shared=True)
    assert other.show("network", network["id"])["shared"]
    assert other.drop("network", network["id"], 403) == "PolicyNotAuthorized"
    demo.drop("network", network["id"])
    assert demo.show("subnet", subnet["id"], 404) == "SubnetNotFound"


@pytest.mark.parametrize(
    ("noun", "attributes"),
    [
        ("network", {"name": "x" * 256}),
        ("network", {"name": 5}),
        ("network", {"color": "red"}),
        ("network", {"admin_state_up": "perhaps"}),
        ("subnet", {"ip_version": 4, "cidr": "10.0.0.0/40"}),
        ("subnet", {"ip_version": 6, "cidr": "10.0.0.0/24"}),
        ("subnet", {"ip_version": 4}),
        ("subnet", {"ip_version": 4, "cidr": "10.1.0.0/24", "gateway_ip": "10.1.0.255"}),
        ("subnet", {"ip_version": 4, "cidr": "10.0.0.0/16"}),
        ("subnet", {"ip_version": 4, "cidr": "10.1.0.0/24", "ipv6_ra_mode": "slaac"}),
        ("subnet", {"ip_version": 4, "cidr": "10.1.0.0/24", "dns_nameservers": ["nine"]}),
        ("port", {"mac_address": "nothing"}),
        ("port", {"fixed_ips": [{"ip_address": "10.7.0.1"}]}),
        ("port", {"fixed_ips": [{}]}),
    ],
)
def test_bad_input(demo, noun, attributes):
    network, _ = demo.network()
    if noun != "network":
        attributes = {"network_id": network["id"], **attributes}
    demo.make(noun, 400, **attributes)


def test_subnet_pools(demo):
    network = demo.make("network")["id"]
    plain = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24"}
    pool = lambda a, b: {"start": f"10.0.0.{a}", "end": f"10.0.0.{b}"}  # noqa: E731
    assert demo.make("subnet", 409, **plain, allocation_pools=[pool(1, 9)]) == "GatewayConflictWithAllocationPools"
    assert demo.make("subnet", 409, **plain, allocation_pools=[pool(5, 9), pool(9, 12)]) == "OverlappingAllocationPools"
    assert demo.make("subnet", 400, **plain, allocation_pools=[pool(9, 5)]) == "InvalidAllocationPool"
    subnet = demo.make("subnet", **plain, allocation_pools=[pool(100, 101)], gateway_ip=None, enable_dhcp=False)
    assert subnet["gateway_ip"] is None
    taken = {demo.make("port", network_id=network)["fixed_ips"][0]["ip_address"] for _ in range(2)}
    assert taken == {"10.0.0.100", "10.0.0.101"}
    assert demo.make("port", 409, network_id=network) == "IpAddressGenerationFailure"


def test_slaac(demo):
    network = demo.make("network")["id"]
    demo.make("subnet", network_id=network, ip_version=4, cidr="10.0.0.0/24")
    old = demo.make("port", network_id=network)
    modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    demo.make("subnet", network_id=network, ip_version=6, cidr="2001:db8::/64", **modes)
    port = demo.make("port", network_id=network, name="p")
    assert sorted(":" in fixed["ip_address"] for fixed in port["fixed_ips"]) == [False, True]
    assert len(demo.show("port", old["id"])["fixed_ips"]) == 2


def test_port_life(demo, other, admin):
    network, subnet = demo.network()
    port = demo.make("port", network_id=network["id"], fixed_ips=[{"ip_address": "10.0.0.77"}])
    assert port["status"] == "DOWN"
    assert len(port["security_groups"]) == 1
    assert "binding:host_id" not in port
    assert admin.show("port", port["id"])["binding:vif_type"] == "unbound"
    assert other.show("port", port["id"], 404) == "PortNotFound"
    again = {"network_id": network["id"], "fixed_ips": [{"ip_address": "10.0.0.77"}]}
    assert demo.make("port", 409, **again) == "IpAddressAlreadyAllocated"
    assert demo.make("port", 409, network_id=network["id"], mac_address=port["mac_address"]) == "MacAddressInUse"
    assert demo.make("port", 403, network_id=network["id"], **{"binding:host_id": "h"}) == "PolicyNotAuthorized"
    assert demo.drop("network", network["id"], 409) == "NetworkInUse"
    assert demo.drop("subnet", subnet["id"], 409) == "SubnetInUse"
    changed = demo.change("port", port["id"], security_groups=[], port_security_enabled=False, fixed_ips=[])
    assert (changed["security_groups"], changed["fixed_ips"], changed["revision_number"]) == ([], [], 1)
    demo.drop("port", port["id"])
    demo.drop("subnet", subnet["id"])


def test_bulk_is_all_or_none(demo, admin):
    network, _ = demo.network()
    body = {"ports": [{"network_id": network["id"]}, {"network_id": network["id"], "fixed_ips": [{"ip_address": "10.9.0.1"}]}]}
    before = demo.ids("ports")
    demo.call("POST", "ports", body, 400)
    assert demo.ids("ports") == before
    made = demo.call("POST", "ports", {"ports": [{"network_id": network["id"]}] * 3}, 201)["ports"]
    assert len({port["fixed_ips"][0]["ip_address"] for port in made}) == 3


def test_router_and_floating_ip_life(lab, demo, other, admin):
    network, subnet = demo.network()
    public, _ = admin.public()
    port = demo.make("port", network_id=network["id"])
    wanted = {"floating_network_id": public["id"], "port_id": port["id"]}
    assert demo.make("floatingip", 404, **wanted) == "ExternalGatewayForFloatingIPNotFound"
    router = demo.make("router", name="r", external_gateway_info={"network_id": public["id"]})
    leg = demo.call("PUT", f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    demo.call("PUT", f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]}, 400)
    assert demo.drop("port", leg["port_id"], 409) == "ServicePortInUse"
    fip = demo.make("floatingip", **wanted)
    assert (fip["fixed_ip_address"], fip["router_id"]) == (port["fixed_ips"][0]["ip_address"], router["id"])
    assert demo.make("floatingip", 409, **wanted) == "FloatingIPPortAlreadyAssociated"
    lab.settle()
    assert demo.show("floatingip", fip["id"])["status"] == "ACTIVE"
    assert lab.network_host.floating_ip(fip["floating_ip_address"]).fixed_ip == fip["fixed_ip_address"]
    assert other.show("floatingip", fip["id"], 404) == "FloatingIPNotFound"
    assert demo.drop("router", router["id"], 409) == "RouterInUse"
    remove = f"routers/{router['id']}/remove_router_interface"
    error = demo.call("PUT", remove, {"subnet_id": subnet["id"]}, 409)["NeutronError"]["type"]
    assert error == "RouterInterfaceInUseByFloatingIP"
    assert demo.change("router", router["id"], 409, external_gateway_info=None) == "RouterExternalGatewayInUseByFloatingIp"
    assert demo.change("floatingip", fip["id"], port_id=None)["status"] == "DOWN"
    lab.settle()
    assert lab.network_host.floating_ip(fip["floating_ip_address"]) is None
    demo.change("floatingip", fip["id"], port_id=port["id"])
    demo.drop("port", port["id"])
    assert demo.show("floatingip", fip["id"])["port_id"] is None
    demo.drop("floatingip", fip["id"])
    demo.call("PUT", remove, {"subnet_id": subnet["id"]})
    demo.call("PUT", remove, {"subnet_id": subnet["id"]}, 404)
    demo.drop("router", router["id"])
    lab.settle()
    assert not lab.network_host.routers
    assert not lab.network_host.networks


def test_routes(demo):
    _, subnet = demo.network()
    router = demo.make("router")["id"]
    demo.call("PUT", f"routers/{router}/add_router_interface", {"subnet_id": subnet["id"]})
    good, bad = {"destination": "10.5.0.0/16", "nexthop": "10.0.0.9"}, {"destination": "10.5.0.0/16", "nexthop": "10.8.0.9"}
    assert demo.change("router", router, routes=[good])["routes"] == [good]
    assert demo.change("router", router, 400, routes=[bad]) == "InvalidRoutes"
    more = {"destination": "10.6.0.0/16", "nexthop": "10.0.0.9"}
    found = demo.call("PUT", f"routers/{router}/add_extraroutes", {"router": {"routes": [more]}})
    assert found["router"]["routes"] == [good, more]
    found = demo.call("PUT", f"routers/{router}/remove_extraroutes", {"router": {"routes": [good]}})
    assert found["router"]["routes"] == [more]


def test_security_groups(demo, other):
    default = demo.call("GET", "security-groups")["security_groups"]
    assert [(g["name"], len(g["security_group_rules"])) for g in default] == [("default", 4)]
    group = demo.make("security_group", name="web")
    assert len(group["security_group_rules"]) == 2
    web = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}
    web |= {"port_range_min": 80, "port_range_max": 80}
    rule = demo.make("security_group_rule", **web)
    assert rule["ethertype"] == "IPv4"
    assert demo.make("security_group_rule", 409, **web) == "SecurityGroupRuleExists"
    assert other.make("security_group_rule", 404, **web) == "SecurityGroupNotFound"
    assert demo.make("security_group_rule", 400, **web | {"protocol": "nonsense"}) == "SecurityGroupRuleInvalidProtocol"
    assert demo.make("security_group_rule", 400, **web | {"port_range_max": 79}) == "SecurityGroupInvalidPortRange"
    wrong = web | {"remote_ip_prefix": "2001:db8::/32"}
    assert demo.make("security_group_rule", 400, **wrong) == "SecurityGroupRuleParameterConflict"
    named = demo.make("security_group", name="named")["id"]
    naming = demo.make("security_group_rule", **web | {"remote_group_id": named})["id"]
    demo.drop("security_group", named)
    assert demo.show("security_group_rule", naming, 404) == "SecurityGroupRuleNotFound"
    network, _ = demo.network()
    port = demo.make("port", network_id=network["id"], security_groups=[group["id"]])
    assert demo.drop("security_group", group["id"], 409) == "SecurityGroupInUse"
    demo.drop("port", port["id"])
    demo.drop("security_group_rule", rule["id"])
    demo.drop("security_group", group["id"])
    assert demo.drop("security_group", default[0]["id"], 409) == "SecurityGroupCannotRemoveDefault"


def test_lists(demo):
    for name in "abcde":
        demo.make("network", name=name, admin_state_up=name < "d")
    names = lambda query: [n["name"] for n in demo.call("GET", f"networks?{query}")["networks"]]  # noqa: E731
    assert sorted(names("name=a&name=b")) == ["a", "b"]
    assert names("sort_key=name&sort_dir=desc&admin_state_up=false") == ["e", "d"]
    page = demo.call("GET", "networks?sort_key=name&limit=2")
    assert [n["name"] for n in page["networks"]] == ["a", "b"]
    link = next(link["href"] for link in page["networks_links"] if link["rel"] == "next")
    second = demo.client.get(link).json()
    assert [n["name"] for n in second["networks"]] == ["c", "d"]
    back = next(link["href"] for link in second["networks_links"] if link["rel"] == "previous")
    assert [n["name"] for n in demo.client.get(back).json()["networks"]] == ["a", "b"]
    assert demo.call("GET", "networks?name=a&fields=name")["networks"] == [{"name": "a"}]
    demo.call("GET", "networks?colour=red", status=400)
    demo.call("GET", "networks?limit=-1", status=400)
    demo.call("GET", "networks?sort_key=colour", status=400)


def test_tags_are_added_to_those_there_are(demo):
    one = demo.make("network")["id"]
    demo.call("PUT", f"networks/{one}/tags", {"tags": ["red"]})
    assert demo.call("POST", f"networks/{one}/tags", {"tags": ["blue", "red"]}, 201)["tags"] == ["blue", "red"]
    demo.call("POST", f"networks/{one}/tags", {"tags": ["a,b"]}, 400)
    assert demo.call("GET", f"networks/{one}/tags")["tags"] == ["blue", "red"]


def test_a_new_group_shows_its_rules_in_the_order_they_are_always_shown_in(demo):
    made = demo.call("POST", "security-groups", {"security_group": {"name": "g"}}, 201)["security_group"]
    assert demo.call("GET", f"security-groups/{made['id']}")["security_group"] == made


def test_tags_and_revisions(demo):
    one, two = demo.make("network")["id"], demo.make("network")["id"]
    demo.call("PUT", f"networks/{one}/tags", {"tags": ["red", "blue"]})
    demo.call("PUT", f"networks/{two}/tags/red", status=201)
    assert demo.ids("networks", "tags=red,blue") == [one]
    assert sorted(demo.ids("networks", "tags-any=red,green")) == sorted([one, two])
    assert demo.ids("networks", "not-tags=blue") == [two]
    demo.call("GET", f"networks/{two}/tags/blue", status=404)
    demo.call("DELETE", f"networks/{two}/tags/red", status=204)
    assert demo.show("network", two)["tags"] == []
    current = demo.show("network", one)["revision_number"]
    old = {"If-Match": f"revision_number={current - 1}"}
    assert demo.change("network", one, 412, headers=old, name="x") == "RevisionNumberConstraintFailed"
    assert demo.change("network", one, headers={"If-Match": f"revision_number={current}"}, name="x")["name"] == "x"


def test_quotas(demo, admin):
    project = "b" * 32
    assert demo.call("GET", f"quotas/{project}")["quota"]["port"] == 500
    demo.call("PUT", f"quotas/{project}", {"quota": {"network": 1}}, 403)
    admin.call("PUT", f"quotas/{project}", {"quota": {"network": 1, "check_limit": False}})
    admin.call("PUT", f"quotas/{project}", {"quota": {"network": -2}}, 400)
    admin.call("PUT", f"quotas/{project}", {"quota": {"elephant": 1}}, 400)
    demo.make("network")
    assert demo.make("network", 409) == "OverQuota"
    assert demo.call("GET", f"quotas/{project}/details")["quota"]["network"] == {"limit": 1, "used": 1, "reserved": 0}
    admin.call("DELETE", f"quotas/{project}", status=204)
    demo.make("network")


@pytest.mark.parametrize(
    ("protocol", "low", "high", "kind"),
    [
        ("tcp", -16, 80, "SecurityGroupInvalidPortValue"),
        ("tcp", 80, 65536, "SecurityGroupInvalidPortValue"),
        ("udp", 0, 80, "SecurityGroupInvalidPortValue"),
        ("tcp", None, 6, "SecurityGroupInvalidPortRange"),
        ("icmp", -1, 25, "SecurityGroupInvalidPortValue"),
        ("icmp", 300, 1, "SecurityGroupInvalidIcmpValue"),
        ("icmp", None, 6, "SecurityGroupMissingIcmpType"),
    ],
)
def test_ports_of_rules(demo, protocol, low, high, kind):
    group = demo.make("security_group", name="g")["id"]
    rule = {"security_group_id": group, "direction": "ingress", "protocol": protocol}
    assert demo.make("security_group_rule", 400, **rule, port_range_min=low, port_range_max=high) == kind


def test_what_rules_and_groups_cannot_be(demo):
    group = demo.make("security_group", name="g")["id"]
    rule = {"security_group_id": group, "direction": "ingress"}
    for remote in ("no-id", "e" * 32):
        assert demo.make("security_group_rule", 404, **rule, remote_group_id=remote) == "SecurityGroupNotFound"
    assert demo.make("security_group_rule", 404, security_group_id="no-id", direction="egress") == "SecurityGroupNotFound"
    assert demo.change("security_group", group, 409, name="Default") == "SecurityGroupDefaultAlreadyExists"


def test_a_subnet_tells_whether_its_network_is_external(demo, admin):
    _, outer = admin.public()
    _, inner = demo.network()
    assert (outer["router:external"], inner["router:external"]) == (True, False)
    assert demo.ids("subnets", "router:external=true") == [outer["id"]]
    assert demo.ids("subnets", "router:external=false") == [inner["id"]]
    assert "subnet-external-network" in [each["alias"] for each in demo.call("GET", "extensions")["extensions"]]


def test_floating_ips_that_lead_nowhere_do_not_keep_a_network(demo, admin):
    public, _ = admin.public()
    fip = demo.make("floatingip", floating_network_id=public["id"])
    admin.drop("network", public["id"])
    assert demo.show("floatingip", fip["id"], 404) == "FloatingIPNotFound"
    assert admin.ids("subnets") == admin.ids("ports") == []


def test_floating_ips_in_use_keep_their_network(demo, admin):
    public, _ = admin.public()
    network, subnet = demo.network()
    router = demo.make("router", external_gateway_info={"network_id": public["id"]})
    demo.call("PUT", f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    port = demo.make("port", network_id=network["id"])
    idle = demo.make("floatingip", floating_network_id=public["id"])
    demo.make("floatingip", floating_network_id=public["id"], port_id=port["id"])
    assert admin.drop("network", public["id"], 409) == "NetworkInUse"
    assert demo.show("floatingip", idle["id"])["port_id"] is None


def test_shared_and_external_networks(demo, admin, other):
    public, subnet = admin.public()
    shared = admin.make("network", shared=True)["id"]
    admin.make("subnet", network_id=shared, ip_version=4, cidr="10.3.0.0/24")
    assert set(demo.ids("networks")) == {public["id"], shared}
    assert demo.show("subnet", subnet["id"])["cidr"] == "172.24.4.0/24"
    assert demo.make("subnet", 403, network_id=shared, ip_version=4, cidr="10.4.0.0/24") == "PolicyNotAuthorized"
    port = demo.make("port", network_id=shared)
    assert demo.make("port", 403, network_id=shared, fixed_ips=[{"ip_address": "10.3.0.9"}]) == "PolicyNotAuthorized"
    assert demo.make("port", 403, network_id=shared, device_owner="network:dhcp") == "PolicyNotAuthorized"
    assert other.ids("ports") == []
    assert port["id"] in admin.ids("ports")
    assert admin.change("network", shared, 409, shared=False) == "InvalidSharedSetting"


def test_the_owner_of_a_network_sees_the_ports_in_it(demo, admin):
    network, _ = demo.network()
    foreign = admin.make("port", network_id=network["id"], project_id="c" * 32)
    assert demo.show("port", foreign["id"])["project_id"] == "c" * 32
    demo.drop("port", foreign["id"])


def test_readers_only_read(lab, demo):
    reader, nobody = Api(lab.client("reader")), Api(lab.client("nobody"))
    network, _ = demo.network()
    assert reader.show("network", network["id"])["id"] == network["id"]
    assert reader.make("network", 403) == "PolicyNotAuthorized"
    assert reader.drop("network", network["id"], 403) == "PolicyNotAuthorized"
    assert nobody.ids("networks") == []


def test_a_device_gets_its_dhcp_port(demo, admin):
    network, subnet = demo.network()
    owner = f"network_id={network['id']}&device_owner=network:dhcp"
    assert len(demo.ids("ports", owner)) == 1
    demo.change("subnet", subnet["id"], enable_dhcp=False)
    assert demo.ids("ports", owner) == []


@pytest.mark.parametrize(
    "plural", ["networks", "subnets", "ports", "routers", "floatingips", "security-groups", "security-group-rules"]
)
def test_what_is_not_there(demo, plural):
    id = "00000000-0000-4000-8000-000000000000"
    demo.call("GET", f"{plural}/{id}", status=404)
    demo.call("DELETE", f"{plural}/{id}", status=404)
    noun = plural.replace("-", "_").rstrip("s")
    demo.call("POST", plural, {"wrong": {}}, 400)
    demo.call("POST", plural, {noun: 5}, 400)
    assert demo.client.post(f"/network/v2.0/{plural}", content=b"{").status_code == 400
    if plural != "security-group-rules":
        demo.call("PUT", f"{plural}/{id}", {noun: {"description": "x"}}, 404)
