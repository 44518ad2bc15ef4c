"""What is built upon networks, ports and routers: trunks, forwarded ports, meters, address groups, default rules, flavors."""

import pytest

from pileus.network.driver import Carrier, Meter, MeterRule, PortForward
from pileus.network.tasks.specs import tap_name
from tests.conftest import BLUE
from tests.network.test_api import Api


@pytest.fixture
def demo(lab):
    return Api(lab.client("demo"))


@pytest.fixture
def admin(lab):
    return Api(lab.client("admin"))


@pytest.fixture
def other(lab):
    return Api(lab.client("other"))


NOBODY = "00000000-0000-0000-0000-000000000000"


class Town:
    """A public network, a router of demo's with a network behind it."""

    def __init__(self, demo, admin):
        self.public, _ = admin.public()
        self.network, self.subnet = demo.network()
        self.router = demo.make("router", external_gateway_info={"network_id": self.public["id"]})
        demo.call("PUT", f"routers/{self.router['id']}/add_router_interface", {"subnet_id": self.subnet["id"]})


def forward(api, fip, status=201, **facts):
    found = api.call("POST", f"floatingips/{fip['id']}/port_forwardings", {"port_forwarding": facts}, status)
    return found["port_forwarding"] if status == 201 else found["NeutronError"]["type"]


def test_ports_are_forwarded(lab, demo, admin, other):
    town = Town(demo, admin)
    port = demo.make("port", network_id=town.network["id"])
    ip = port["fixed_ips"][0]["ip_address"]
    fip = demo.make("floatingip", floating_network_id=town.public["id"])
    facts = {"protocol": "tcp", "internal_port_id": port["id"], "internal_port": 22, "external_port": 2222}
    made = forward(demo, fip, **facts)
    assert (made["internal_ip_address"], made["external_port_range"], made["description"]) == (ip, "2222:2222", "")
    lab.settle()
    told = lab.network_host.routers[town.router["id"]]
    assert told.forwards == (PortForward(fip["floating_ip_address"], "tcp", 2222, 2222, ip, 22, 22),)
    shown = demo.show("floatingip", fip["id"])
    assert (shown["router_id"], shown["status"], shown["port_id"]) == (town.router["id"], "ACTIVE", None)
    assert [each["external_port"] for each in shown["port_forwardings"]] == [2222]
    assert forward(demo, fip, 400, **facts) == "HTTPBadRequest"
    assert forward(demo, fip, 400, **facts | {"external_port": 3333}) == "HTTPBadRequest", "the inner port leads there already"
    forward(demo, fip, **facts | {"protocol": "udp"})
    ranges = {
        "protocol": "tcp",
        "internal_port_id": port["id"],
        "internal_port_range": "90:99",
        "external_port_range": "8000:8009",
    }
    wide = forward(demo, fip, **ranges)
    assert (wide["external_port"], wide["external_port_range"]) == (None, "8000:8009")
    assert forward(demo, fip, 400, **ranges | {"external_port_range": "8005:8014", "internal_port_range": "200:209"})
    assert forward(demo, fip, 400, **ranges | {"external_port_range": "700:702", "internal_port_range": "200:201"})
    assert demo.change("floatingip", fip["id"], 409, port_id=port["id"]) == "FloatingIPInUseByPortForwarding"
    path = f"floatingips/{fip['id']}/port_forwardings/{made['id']}"
    changed = demo.call("PUT", path, {"port_forwarding": {"external_port": 2200, "description": "ssh"}})["port_forwarding"]
    assert (changed["external_port"], changed["internal_port"], changed["description"]) == (2200, 22, "ssh")
    demo.call("PUT", path, {"port_forwarding": {"external_port": 99999}}, 400)
    demo.call("PUT", f"routers/{town.router['id']}/remove_router_interface", {"subnet_id": town.subnet["id"]}, 409)
    assert demo.drop("router", town.router["id"], 409) == "RouterInUse"
    other.call("GET", path, status=404)
    listed = demo.call("GET", f"floatingips/{fip['id']}/port_forwardings?protocol=udp")["port_forwardings"]
    assert len(listed) == 1
    demo.drop("port", port["id"])
    lab.settle()
    assert lab.network_host.routers[town.router["id"]].forwards == ()
    assert demo.show("floatingip", fip["id"])["router_id"] is None


def test_what_cannot_be_forwarded(demo, admin):
    town = Town(demo, admin)
    port = demo.make("port", network_id=town.network["id"])
    fip = demo.make("floatingip", floating_network_id=town.public["id"], port_id=port["id"])
    free = demo.make("floatingip", floating_network_id=town.public["id"])
    facts = {"protocol": "tcp", "internal_port_id": port["id"], "internal_port": 22, "external_port": 2222}
    assert forward(demo, fip, 409, **facts) == "FipInUseByPort"
    assert forward(demo, free, 409, **facts) == "PortHasBindingFloatingIP"
    demo.change("floatingip", fip["id"], port_id=None)
    lonely, _ = demo.network("10.5.0.0/24")
    apart = demo.make("port", network_id=lonely["id"])
    assert forward(demo, free, 400, **facts | {"internal_port_id": apart["id"]}) == "HTTPBadRequest"
    assert forward(demo, free, 404, **facts | {"internal_port_id": NOBODY}) == "PortNotFound"
    assert forward(demo, free, 400, **facts | {"protocol": "icmp"}) == "HTTPBadRequest"
    assert forward(demo, free, 400, **facts | {"internal_ip_address": "10.0.0.250"}) == "HTTPBadRequest"
    assert forward(demo, free, 400, protocol="tcp", internal_port_id=port["id"], internal_port=1) == "HTTPBadRequest"
    forward(demo, free, **facts)
    ip = port["fixed_ips"][0]
    other_ip = [{"subnet_id": ip["subnet_id"], "ip_address": "10.0.0.200"}]
    assert demo.change("port", port["id"], 400, fixed_ips=other_ip) == "HTTPBadRequest"
    assert demo.drop("floatingip", free["id"], 409) == "FloatingIPInUseByPortForwarding"


def test_a_trunk_follows_the_port_that_carries(lab, demo, admin, other):
    network, _ = demo.network()
    red, _ = demo.network("10.9.0.0/24")
    parent = demo.make("port", network_id=network["id"])
    subport, more = (demo.make("port", network_id=red["id"]) for _ in range(2))
    wanted = {"port_id": subport["id"], "segmentation_type": "vlan", "segmentation_id": 100}
    trunk = demo.make("trunk", port_id=parent["id"], sub_ports=[wanted], name="t")
    assert (trunk["status"], trunk["sub_ports"]) == ("DOWN", [wanted])
    shown = demo.show("port", subport["id"])
    assert (shown["device_id"], shown["device_owner"]) == (trunk["id"], "trunk:subport")
    details = demo.show("port", parent["id"])["trunk_details"]
    assert details["trunk_id"] == trunk["id"]
    assert details["sub_ports"][0]["mac_address"] == subport["mac_address"]
    admin.change("port", parent["id"], **{"binding:host_id": "host1"})
    lab.settle()
    told = lab.network_host.ports
    assert told[subport["id"]].carrier == Carrier(tap_name(parent["id"]), 100)
    assert demo.show("port", subport["id"])["status"] == demo.show("trunk", trunk["id"])["status"] == "ACTIVE"
    assert red["id"] in lab.network_host.networks
    added = demo.call("PUT", f"trunks/{trunk['id']}/add_subports", {"sub_ports": [wanted | {
        "port_id": more["id"], "segmentation_id": "200"}]})  # fmt: skip
    assert [each["segmentation_id"] for each in added["sub_ports"]] == [100, 200]
    lab.settle()
    assert told[more["id"]].carrier == Carrier(tap_name(parent["id"]), 200)
    demo.change("trunk", trunk["id"], admin_state_up=False)
    lab.settle()
    assert not told[more["id"]].admin_up
    assert demo.show("trunk", trunk["id"])["status"] == "DOWN"
    refused = demo.call("PUT", f"trunks/{trunk['id']}/remove_subports", {"sub_ports": [{"port_id": more["id"]}]}, 409)
    assert refused["NeutronError"]["type"] == "TrunkDisabled"
    demo.change("trunk", trunk["id"], admin_state_up=True)
    demo.call("PUT", f"trunks/{trunk['id']}/remove_subports", {"sub_ports": [{"port_id": more["id"]}]})
    lab.settle()
    assert more["id"] not in told
    assert demo.show("port", more["id"])["device_owner"] == ""
    assert demo.drop("trunk", trunk["id"], 409) == "TrunkInUse"
    admin.change("port", parent["id"], **{"binding:host_id": ""})
    lab.settle()
    assert subport["id"] not in told
    other.show("trunk", trunk["id"], 404)
    demo.drop("trunk", trunk["id"])
    assert demo.show("port", subport["id"])["device_id"] == ""
    demo.drop("port", parent["id"])


def test_what_trunks_refuse(demo):
    network, _ = demo.network()
    one, two, three = (demo.make("port", network_id=network["id"]) for _ in range(3))
    vlan = {"segmentation_type": "vlan", "segmentation_id": 7}
    trunk = demo.make("trunk", port_id=one["id"], sub_ports=[{"port_id": two["id"], **vlan}])
    assert demo.make("trunk", 409, port_id=one["id"]) == "PortInUseAsTrunkParent"
    assert demo.make("trunk", 409, port_id=two["id"]) == "PortInUseAsSubPort"
    assert demo.drop("port", one["id"], 409) == "PortInUseAsTrunkParent"
    assert demo.drop("port", two["id"], 409) == "PortInUseAsSubPort"

    def add(status, **facts):
        body = {"sub_ports": [{"port_id": three["id"], **facts}]}
        return demo.call("PUT", f"trunks/{trunk['id']}/add_subports", body, status)["NeutronError"]["type"]

    assert add(409, **vlan) == "DuplicateSubPort"
    assert add(400, segmentation_type="vxlan", segmentation_id=8) == "InvalidInput"
    assert add(400, segmentation_type="vlan", segmentation_id=4095) == "InvalidInput"
    assert add(400) == "TrunkPluginDriverConflict"
    assert add(409, port_id=one["id"], segmentation_type="vlan", segmentation_id=8) == "PortInUseAsTrunkParent"
    gone = demo.call("PUT", f"trunks/{trunk['id']}/remove_subports", {"sub_ports": [{"port_id": three["id"]}]}, 404)
    assert gone["NeutronError"]["type"] == "SubPortNotFound"
    assert demo.make("trunk", 404, port_id=NOBODY) == "PortNotFound"
    found = demo.call("GET", f"trunks/{trunk['id']}/get_subports")["sub_ports"]
    assert found == [{"port_id": two["id"], **vlan}]
    assert demo.ids("trunks", f"port_id={one['id']}&status=DOWN") == [trunk["id"]]


def test_meters_reach_the_routers_that_they_count(lab, demo, admin, other):
    town = Town(demo, admin)
    body = {"metering_label": {"name": "all", "project_id": BLUE}}
    label = admin.call("POST", "metering/metering-labels", body, 201)["metering_label"]
    facts = {"metering_label_id": label["id"], "direction": "egress", "remote_ip_prefix": "10.0.0.0/24"}

    def rule(status=201, **more):
        found = admin.call("POST", "metering/metering-label-rules", {"metering_label_rule": facts | more}, status)
        return found["metering_label_rule"] if status == 201 else found["NeutronError"]["type"]

    made = rule()
    lab.settle()
    told = lab.network_host.routers[town.router["id"]]
    assert told.meters == (Meter(label["id"], (MeterRule("egress", inside="10.0.0.0/24"),)),)
    assert rule(409, remote_ip_prefix="10.0.0.128/25") == "MeteringLabelRuleOverlaps"
    assert rule(400, remote_ip_prefix=None) == "InvalidInput"
    assert rule(400, source_ip_prefix="10.0.0.0/8") == "InvalidInput"
    rule(direction="ingress")
    demo.call("POST", "metering/metering-labels", {"metering_label": {"name": "x"}}, 403)
    demo.call("GET", f"metering/metering-labels/{label['id']}", status=403)
    other.call("GET", f"metering/metering-labels/{label['id']}", status=404)
    admin.call("DELETE", f"metering/metering-label-rules/{made['id']}", None, 204)
    lab.settle()
    assert [each.direction for each in lab.network_host.routers[town.router["id"]].meters[0].rules] == ["ingress"]
    admin.call("DELETE", f"metering/metering-labels/{label['id']}", None, 204)
    lab.settle()
    assert lab.network_host.routers[town.router["id"]].meters == ()
    assert admin.call("GET", "metering/metering-label-rules")["metering_label_rules"] == []


def test_what_meters_counted_is_told_to_operators(lab, demo, admin):
    from pileus.kernel import metrics
    from pileus.network.tasks import converge

    town = Town(demo, admin)
    body = {"metering_label": {"name": "all", "project_id": BLUE}}
    label = admin.call("POST", "metering/metering-labels", body, 201)["metering_label"]["id"]
    rule = {"metering_label_id": label, "direction": "egress", "remote_ip_prefix": "10.0.0.0/24"}
    admin.call("POST", "metering/metering-label-rules", {"metering_label_rule": rule}, 201)
    lab.settle()
    lab.network_host.meters[town.router["id"], label] = (3, 252)
    converge.some(lab.cloud)
    line = f'pileus_network_meter_bytes{{label="{label}",router="{town.router["id"]}"}} 252.0'
    assert line in metrics.text().decode()


def test_address_groups_in_rules(lab, demo, admin, other):
    group = demo.make("address_group", name="offices", addresses=["192.0.2.0/24", "2001:db8::1/128"])
    assert demo.make("address_group", 400, addresses=["192.0.2.7"]) == "InvalidInput"
    assert group["addresses"] == ["192.0.2.0/24", "2001:db8::1/128"]
    sg = demo.make("security_group", name="web")
    rule = {"security_group_id": sg["id"], "direction": "ingress", "remote_address_group_id": group["id"]}
    made = demo.make("security_group_rule", **rule)
    assert made["remote_address_group_id"] == group["id"]
    assert other.make("security_group_rule", 404, **rule) == "SecurityGroupNotFound"
    own = other.make("security_group", name="web")["id"]
    assert other.make("security_group_rule", 404, **rule | {"security_group_id": own}) == "AddressGroupNotFound"
    both = {"remote_ip_prefix": "10.0.0.0/8"}
    assert demo.make("security_group_rule", 400, **rule | both) == "SecurityGroupMultipleRemoteEntites"
    network, _ = demo.network()
    port = demo.make("port", network_id=network["id"], security_groups=[sg["id"]])
    admin.change("port", port["id"], **{"binding:host_id": "host1"})
    lab.settle()

    def told():
        return next(r for r in lab.network_host.groups[sg["id"]].rules if r.id == made["id"]).remote_cidrs

    assert told() == ("192.0.2.0/24",)
    path = f"address-groups/{group['id']}"
    demo.call("PUT", f"{path}/add_addresses", {"addresses": ["198.51.100.7"]})
    lab.settle()
    assert told() == ("192.0.2.0/24", "198.51.100.7/32")
    assert demo.call("PUT", f"{path}/add_addresses", {"addresses": ["198.51.100.7"]}, 409)
    assert demo.call("PUT", f"{path}/add_addresses", {"addresses": ["somewhere"]}, 400)
    demo.call("PUT", f"{path}/remove_addresses", {"addresses": ["192.0.2.0/24"]})
    lab.settle()
    assert told() == ("198.51.100.7/32",)
    assert demo.call("PUT", f"{path}/remove_addresses", {"addresses": ["192.0.2.0/24"]}, 404)
    assert demo.drop("address_group", group["id"], 409) == "AddressGroupInUse"
    demo.drop("security_group_rule", made["id"])
    demo.drop("address_group", group["id"])


def test_rules_that_new_groups_get(demo, admin):
    classic = demo.call("GET", "default-security-group-rules")["default_security_group_rules"]
    assert sorted((r["direction"], r["ethertype"], r["used_in_non_default_sg"]) for r in classic) == [
        ("egress", "IPv4", True), ("egress", "IPv6", True), ("ingress", "IPv4", False), ("ingress", "IPv6", False),
    ]  # fmt: skip
    facts = {"direction": "ingress", "protocol": "icmp", "used_in_default_sg": True}
    assert demo.make("default_security_group_rule", 403, **facts) == "PolicyNotAuthorized"
    made = admin.make("default_security_group_rule", **facts)
    assert admin.make("default_security_group_rule", 409, **facts) == "DefaultSecurityGroupRuleExists"
    assert admin.make("default_security_group_rule", 400, direction="ingress", protocol="nothing")
    group = demo.make("security_group", name="web")
    assert sorted(str(rule["protocol"]) for rule in group["security_group_rules"]) == ["None", "None", "icmp"]
    default = demo.call("GET", "security-groups?name=default")["security_groups"][0]
    assert len(default["security_group_rules"]) == 5
    assert all(rule["belongs_to_default_sg"] for rule in default["security_group_rules"])
    admin.drop("default_security_group_rule", made["id"])
    assert len(demo.make("security_group", name="plain")["security_group_rules"]) == 2


def test_stateless_groups_are_told(lab, demo, admin):
    sg = demo.make("security_group", name="fast", stateful=False)
    network, _ = demo.network()
    port = demo.make("port", network_id=network["id"], security_groups=[sg["id"]])
    admin.change("port", port["id"], **{"binding:host_id": "host1"})
    lab.settle()
    assert lab.network_host.groups[sg["id"]].stateful is False


def test_flavors_of_routers(demo, admin):
    flavor = admin.make("flavor", name="gold", service_type="L3_ROUTER_NAT")
    assert admin.make("flavor", 400, name="x") == "HTTPBadRequest"
    assert demo.make("flavor", 403, service_type="L3_ROUTER_NAT") == "PolicyNotAuthorized"
    assert demo.show("flavor", flavor["id"])["service_profiles"] == []
    assert demo.make("router", 404, flavor_id=flavor["id"]) == "ServiceProfileDisabled"

    def profile(status=201, **facts):
        found = admin.call("POST", "service_profiles", {"service_profile": facts}, status)
        return found["service_profile"] if status == 201 else found["NeutronError"]["type"]

    assert profile(400) == "ServiceProfileEmpty"
    assert profile(404, driver="no.such.driver") == "ServiceProfileDriverNotFound"
    made = profile(driver="pileus.network.drivers.linux")
    path = f"flavors/{flavor['id']}/service_profiles"
    admin.call("POST", path, {"service_profile": {"id": made["id"]}}, 201)
    admin.call("POST", path, {"service_profile": {"id": made["id"]}}, 409)
    assert demo.call("GET", f"flavors/{flavor['id']}/next_provider")["next_providers"][0]["provider"] == "single_node"
    router = demo.make("router", flavor_id=flavor["id"])
    assert router["flavor_id"] == flavor["id"]
    assert admin.drop("flavor", flavor["id"], 409) == "FlavorInUse"
    admin.call("DELETE", f"service_profiles/{made['id']}", None, 409)
    demo.drop("router", router["id"])
    admin.call("DELETE", f"{path}/{made['id']}", None, 204)
    admin.call("DELETE", f"{path}/{made['id']}", None, 404)
    admin.drop("flavor", flavor["id"])
    admin.call("DELETE", f"service_profiles/{made['id']}", None, 204)
