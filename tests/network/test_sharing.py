"""Things that are open to other projects: who sees and uses what, and what cannot be closed while it is used."""

import pytest

from tests.conftest import BLUE, RED
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


def opened(api, kind, id, target=RED, action="access_as_shared", status=201):
    body = {"rbac_policy": {"object_type": kind, "object_id": id, "target_tenant": target, "action": action}}
    found = api.call("POST", "rbac-policies", body, status)
    return found["rbac_policy"] if status == 201 else found["NeutronError"]["type"]


def close(api, policy, status=204):
    found = api.call("DELETE", f"rbac-policies/{policy['id']}", None, status)
    return found and found["NeutronError"]["type"]


def test_a_network_is_open_to_one_project(demo, other, admin):
    network, subnet = demo.network()
    other.show("network", network["id"], 404)
    policy = opened(demo, "network", network["id"])
    assert policy["target_tenant"] == RED
    assert other.show("network", network["id"])["shared"] is True
    assert demo.show("network", network["id"])["shared"] is False
    assert admin.show("network", network["id"])["shared"] is False
    assert network["id"] in other.ids("networks")
    assert subnet["id"] in other.ids("subnets")
    port = other.make("port", network_id=network["id"])
    assert close(demo, policy, 409) == "RbacPolicyInUse"
    assert other.change("network", network["id"], 403, name="mine") == "PolicyNotAuthorized"
    other.drop("port", port["id"])
    close(demo, policy)
    other.show("network", network["id"], 404)
    assert other.make("port", 404, network_id=network["id"]) == "NetworkNotFound"


def test_only_operators_open_to_all_or_to_the_outside(demo, other, admin):
    network, _ = demo.network()
    assert opened(demo, "network", network["id"], "*", status=403) == "PolicyNotAuthorized"
    assert opened(demo, "network", network["id"], "*", action="access_as_external", status=403) == "PolicyNotAuthorized"
    policy = opened(admin, "network", network["id"], "*")
    assert demo.show("network", network["id"])["shared"] is True
    assert network["id"] in other.ids("networks", "shared=true")
    assert opened(admin, "network", network["id"], "*", status=409) == "DuplicateRbacPolicy"
    close(admin, policy)
    assert demo.show("network", network["id"])["shared"] is False
    shared = admin.make("network", name="s", shared=True)
    policies = admin.call("GET", f"rbac-policies?object_id={shared['id']}")["rbac_policies"]
    assert [(p["target_tenant"], p["action"]) for p in policies] == [("*", "access_as_shared")]
    admin.change("network", shared["id"], shared=False)
    assert admin.call("GET", f"rbac-policies?object_id={shared['id']}")["rbac_policies"] == []


def test_an_external_network_can_be_for_one_project(demo, other, admin):
    network, _ = admin.public()
    (policy,) = admin.call("GET", f"rbac-policies?object_id={network['id']}")["rbac_policies"]
    assert (policy["action"], policy["target_tenant"]) == ("access_as_external", "*")
    router = other.make("router", external_gateway_info={"network_id": network["id"]})
    assert close(admin, policy, 409) == "RbacPolicyInUse"
    other.drop("router", router["id"])
    admin.call("PUT", f"rbac-policies/{policy['id']}", {"rbac_policy": {"target_tenant": BLUE}})
    other.show("network", network["id"], 404)
    assert demo.show("network", network["id"])["router:external"] is True
    demo.make("floatingip", floating_network_id=network["id"])
    assert other.make("floatingip", 404, floating_network_id=network["id"]) == "NetworkNotFound"


def test_security_groups_are_open(demo, other, admin):
    group = demo.make("security_group", name="web")
    other.show("security_group", group["id"], 404)
    policy = opened(demo, "security_group", group["id"])
    assert other.show("security_group", group["id"])["shared"] is True
    assert group["id"] in other.ids("security-groups")
    network, _ = other.network()
    port = other.make("port", network_id=network["id"], security_groups=[group["id"]])
    assert close(demo, policy, 409) == "RbacPolicyInUse"
    rule = other.make("security_group_rule", 403, security_group_id=group["id"], direction="ingress")
    assert rule == "PolicyNotAuthorized"
    other.drop("port", port["id"])
    close(demo, policy)
    assert other.make("port", 404, network_id=network["id"], security_groups=[group["id"]]) == "SecurityGroupNotFound"


def test_pools_and_scopes_are_open(demo, other):
    scope = demo.call("POST", "address-scopes", {"address_scope": {"name": "s", "ip_version": 4}}, 201)["address_scope"]
    pool = demo.make("subnetpool", name="p", prefixes=["10.0.0.0/16"], default_prefixlen=24, address_scope_id=scope["id"])
    network = other.make("network", name="n")
    asked = {"network_id": network["id"], "ip_version": 4, "subnetpool_id": pool["id"]}
    assert other.make("subnet", 404, **asked) == "SubnetPoolNotFound"
    assert opened(demo, "subnetpool", pool["id"], status=400) == "InvalidInput", "the scope is not open to them"
    way = opened(demo, "address_scope", scope["id"])
    policy = opened(demo, "subnetpool", pool["id"])
    assert other.show("subnetpool", pool["id"])["shared"] is True
    subnet = other.make("subnet", **asked)
    assert close(demo, policy, 409) == "RbacPolicyInUse"
    other.drop("subnet", subnet["id"])
    close(demo, policy)
    close(demo, way)
    mine = {"name": "q", "prefixes": ["10.7.0.0/16"], "address_scope_id": scope["id"]}
    assert other.make("subnetpool", 404, **mine) == "AddressScopeNotFound"
    policy = opened(demo, "address_scope", scope["id"])
    pool = other.make("subnetpool", **mine)
    assert close(demo, policy, 409) == "RbacPolicyInUse"
    other.drop("subnetpool", pool["id"])
    close(demo, policy)


def test_policies_are_checked_and_hidden(demo, other, admin):
    network, _ = demo.network()
    assert opened(other, "network", network["id"], status=404) == "RbacObjectNotFound"
    assert opened(demo, "bicycle", network["id"], status=400) == "InvalidInput"
    assert opened(demo, "network", network["id"], action="access_as_king", status=400) == "InvalidInput"
    assert opened(demo, "network", network["id"], target="", status=400) == "HTTPBadRequest"
    policy = opened(demo, "network", network["id"], target="e" * 32)
    other.call("GET", f"rbac-policies/{policy['id']}", status=404)
    assert policy["id"] not in other.ids("rbac-policies")
    admin.call("PUT", f"quotas/{BLUE}", {"quota": {"rbac_policy": 1}})
    assert opened(demo, "network", network["id"], status=409) == "OverQuota"
    demo.drop("network", network["id"])
    demo.call("GET", f"rbac-policies/{policy['id']}", status=404)


def test_lists_by_sharing_are_as_the_caller_sees(demo, other):
    mine, subnet = demo.network()
    theirs = other.make("network", name="t")["id"]
    opened(demo, "network", mine["id"])
    assert other.ids("networks", "shared=true") == [mine["id"]]
    assert other.ids("networks", "shared=false") == [theirs]
    assert other.ids("subnets", "shared=true") == [subnet["id"]]
    assert demo.ids("networks", "shared=false") == [mine["id"]]
    assert demo.ids("subnets", "shared=true") == []


def test_an_external_network_without_policies_is_none(admin):
    network = admin.make("network", name="n")
    before = network["revision_number"]
    policy = opened(admin, "network", network["id"], "*", action="access_as_external")
    shown = admin.show("network", network["id"])
    assert (shown["router:external"], shown["revision_number"] > before) == (True, True)
    close(admin, policy)
    assert admin.show("network", network["id"])["router:external"] is False
