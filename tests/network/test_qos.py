"""Quality of service: policies and their rules over HTTP, and what hosts are told of them."""

import pytest

from pileus.network.driver import Qos
from tests.conftest import BLUE, RED
from tests.network.test_api import Api


@pytest.fixture
def demo(lab):
    return Api(lab.client("demo"))


@pytest.fixture
def admin(lab):
    return Api(lab.client("admin"))


@pytest.fixture
def manager(lab):
    return Api(lab.client("manager"))


def policy(api, status=201, **more):
    found = api.call("POST", "qos/policies", {"policy": {"name": "p", **more}}, status)
    return found["policy"] if status == 201 else found["NeutronError"]["type"]


def rule(api, policy_id, kind, status=201, **figures):
    path = f"qos/policies/{policy_id}/{kind}_rules"
    found = api.call("POST", path, {f"{kind}_rule": figures}, status)
    return found[f"{kind}_rule"] if status == 201 else found["NeutronError"]["type"]


def bound(lab, network_id, **more):
    """A port that is on the host."""
    admin = Api(lab.client("admin"))
    port = admin.make("port", network_id=network_id, project_id=BLUE, **{"binding:host_id": "host1"}, **more)
    lab.settle()
    return port


def test_life_of_a_policy_and_its_rules(admin, demo):
    made = policy(admin, project_id=BLUE, description="slow")
    assert (made["shared"], made["is_default"], made["rules"], made["project_id"]) == (False, False, [], BLUE)
    limit = rule(admin, made["id"], "bandwidth_limit", max_kbps=1000)
    assert limit == {"id": limit["id"], "max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"}
    mark = rule(admin, made["id"], "dscp_marking", dscp_mark=16)
    shown = demo.call("GET", f"qos/policies/{made['id']}")["policy"]
    found = {(r["type"], r["id"]) for r in shown["rules"]}
    assert found == {("bandwidth_limit", limit["id"]), ("dscp_marking", mark["id"])}
    assert shown["revision_number"] > made["revision_number"]
    path = f"qos/policies/{made['id']}/bandwidth_limit_rules/{limit['id']}"
    changed = admin.call("PUT", path, {"bandwidth_limit_rule": {"max_kbps": 2000, "direction": "ingress"}})
    assert changed["bandwidth_limit_rule"]["max_kbps"] == 2000
    assert demo.call("GET", path)["bandwidth_limit_rule"]["direction"] == "ingress"
    alias = f"qos/alias_bandwidth_limit_rules/{limit['id']}"
    assert demo.call("GET", alias)["alias_bandwidth_limit_rule"]["max_kbps"] == 2000
    admin.call("PUT", alias, {"alias_bandwidth_limit_rule": {"max_kbps": 3000}})
    assert demo.call("GET", path)["bandwidth_limit_rule"]["max_kbps"] == 3000
    admin.call("DELETE", alias, None, 204)
    demo.call("GET", path, status=404)
    demo.call("GET", f"qos/alias_dscp_marking_rules/{limit['id']}", status=404)
    admin.call("DELETE", f"qos/policies/{made['id']}", None, 204)
    demo.call("GET", f"qos/policies/{made['id']}", status=404)


def test_what_rules_must_be(admin):
    made = policy(admin)["id"]
    assert rule(admin, made, "bandwidth_limit", 400) == "HTTPBadRequest"
    assert rule(admin, made, "bandwidth_limit", 400, max_kbps=-1) == "HTTPBadRequest"
    assert rule(admin, made, "bandwidth_limit", 400, max_kbps=1, direction="up") == "HTTPBadRequest"
    assert rule(admin, made, "dscp_marking", 400, dscp_mark=3) == "InvalidInput"
    rule(admin, made, "bandwidth_limit", max_kbps=1000)
    rule(admin, made, "bandwidth_limit", max_kbps=1000, direction="ingress")
    assert rule(admin, made, "bandwidth_limit", 409, max_kbps=5) == "QoSRuleParameterConflict"
    assert rule(admin, made, "minimum_bandwidth", 409, min_kbps=2000) == "QoSRuleParameterConflict"
    rule(admin, made, "minimum_bandwidth", min_kbps=500)
    rule(admin, made, "dscp_marking", dscp_mark=0)
    assert rule(admin, made, "dscp_marking", 409, dscp_mark=8) == "QoSRulesConflict"
    assert rule(admin, "0" * 8 + "-0000-0000-0000-" + "0" * 12, "dscp_marking", 404, dscp_mark=8) == "QosPolicyNotFound"
    types = {each["type"] for each in admin.call("GET", "qos/rule-types")["rule_types"]}
    assert types == {"bandwidth_limit", "dscp_marking"}
    assert admin.call("GET", "qos/rule-types/dscp_marking")["rule_type"]["drivers"][0]["name"] == "linux"
    admin.call("GET", "qos/rule-types/minimum_bandwidth", status=404)


def test_who_may_what(lab, admin, demo, manager):
    assert policy(demo, 403) == "PolicyNotAuthorized"
    own = policy(manager)["id"]
    rule(manager, own, "bandwidth_limit", max_kbps=1000)
    assert rule(demo, own, "dscp_marking", 403, dscp_mark=8) == "PolicyNotAuthorized"
    assert policy(manager, 403, shared=True) == "PolicyNotAuthorized"
    hidden = policy(admin, project_id=RED)["id"]
    network, _ = demo.network()
    assert demo.make("port", 404, network_id=network["id"], qos_policy_id=hidden) == "QosPolicyNotFound"
    admin.call("PUT", f"qos/policies/{hidden}", {"policy": {"shared": True}})
    assert demo.call("GET", f"qos/policies/{hidden}")["policy"]["shared"] is True
    port = demo.make("port", network_id=network["id"], qos_policy_id=hidden)
    assert port["qos_policy_id"] == hidden
    found = admin.call("DELETE", f"qos/policies/{hidden}", None, 409)
    assert found["NeutronError"]["type"] == "QosPolicyInUse"


def test_hosts_are_told(lab, admin, demo):
    network, _ = demo.network()
    slow, slower = policy(admin, project_id=BLUE)["id"], policy(admin, project_id=BLUE)["id"]
    limit = rule(admin, slow, "bandwidth_limit", max_kbps=1000, max_burst_kbps=100)
    rule(admin, slow, "dscp_marking", dscp_mark=46)
    rule(admin, slower, "bandwidth_limit", max_kbps=10, direction="ingress")
    port = bound(lab, network["id"])
    assert lab.network_host.ports[port["id"]].qos is None
    demo.change("network", network["id"], qos_policy_id=slower)
    lab.settle()
    assert lab.network_host.ports[port["id"]].qos == Qos(ingress_kbps=10)
    assert demo.show("port", port["id"])["qos_network_policy_id"] == slower
    demo.change("port", port["id"], qos_policy_id=slow)
    lab.settle()
    assert lab.network_host.ports[port["id"]].qos == Qos(egress_kbps=1000, egress_burst_kbit=100, dscp=46)
    admin.call("PUT", f"qos/policies/{slow}/bandwidth_limit_rules/{limit['id']}", {"bandwidth_limit_rule": {"max_kbps": 77}})
    lab.settle()
    assert lab.network_host.ports[port["id"]].qos.egress_kbps == 77
    demo.change("port", port["id"], qos_policy_id=None)
    demo.change("network", network["id"], qos_policy_id=None)
    lab.settle()
    assert lab.network_host.ports[port["id"]].qos is None


def test_a_guarantee_is_kept_but_not_promised_to_ports(lab, admin, demo):
    network, _ = demo.network()
    made = policy(admin, project_id=BLUE)["id"]
    rule(admin, made, "minimum_bandwidth", min_kbps=1000)
    assert demo.make("port", 409, network_id=network["id"], qos_policy_id=made) == "QosRuleNotSupported"
    assert demo.change("network", network["id"], 409, qos_policy_id=made) == "QosRuleNotSupported"
    used = policy(admin, project_id=BLUE)["id"]
    demo.make("port", network_id=network["id"], qos_policy_id=used)
    assert rule(admin, used, "minimum_bandwidth", 409, min_kbps=1000) == "QosRuleNotSupported"


def test_the_default_policy_of_a_project(admin, demo):
    made = policy(admin, project_id=BLUE, is_default=True)
    assert made["is_default"] is True
    assert policy(admin, 409, project_id=BLUE, is_default=True) == "QoSPolicyDefaultAlreadyExists"
    assert demo.make("network", name="n")["qos_policy_id"] == made["id"]
    assert admin.make("network", name="n")["qos_policy_id"] is None
    listed = admin.call("GET", "qos/policies?is_default=true")["policies"]
    assert [each["id"] for each in listed] == [made["id"]]
    admin.call("PUT", f"qos/policies/{made['id']}", {"policy": {"is_default": False}})
    assert demo.make("network", name="n")["qos_policy_id"] is None
    policy(admin, project_id=BLUE, is_default=True)


def test_limits_of_floating_ips_and_gateways(lab, admin, demo):
    public, _ = admin.public()
    network, subnet = demo.network()
    made = policy(admin, project_id=BLUE)["id"]
    rule(admin, made, "bandwidth_limit", max_kbps=5000)
    gateway = {"network_id": public["id"], "qos_policy_id": made}
    router = demo.make("router", external_gateway_info=gateway)
    assert router["external_gateway_info"]["qos_policy_id"] == made
    demo.call("PUT", f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    port = demo.make("port", network_id=network["id"])
    fip = demo.make("floatingip", floating_network_id=public["id"], port_id=port["id"])
    lab.settle()
    spec = lab.network_host.routers[router["id"]]
    assert (spec.gateway_qos, spec.floating_ips[0].qos) == (Qos(egress_kbps=5000), None)
    assert demo.change("floatingip", fip["id"], qos_policy_id=made)["port_id"] == port["id"]
    demo.change("router", router["id"], external_gateway_info={"network_id": public["id"], "qos_policy_id": None})
    lab.settle()
    spec = lab.network_host.routers[router["id"]]
    assert (spec.gateway_qos, spec.floating_ips[0].qos) == (None, Qos(egress_kbps=5000))
