"""Subnet pools and address scopes over HTTP: what is cut out of them, who may see them, and what may not be."""

import ipaddress
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.network import prefixes
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


def pool(api, **more):
    return api.make("subnetpool", **{"name": "p", "prefixes": ["10.8.0.0/16"], "default_prefixlen": 24, **more})


def cut(api, found, status=201, **more):
    network = api.make("network")
    return api.make("subnet", status, network_id=network["id"], ip_version=4, subnetpool_id=found["id"], **more)


def test_subnets_are_cut_out_of_a_pool_lowest_first(demo):
    found = pool(demo)
    assert (found["min_prefixlen"], found["max_prefixlen"], found["ip_version"]) == ("8", "32", 4)
    one, two = cut(demo, found), cut(demo, found)
    assert (one["cidr"], two["cidr"]) == ("10.8.0.0/24", "10.8.1.0/24")
    assert one["subnetpool_id"] == found["id"]
    assert cut(demo, found, prefixlen=30)["cidr"] == "10.8.2.0/30"
    assert cut(demo, found, cidr="10.8.200.0/24")["cidr"] == "10.8.200.0/24"
    demo.drop("subnet", one["id"])
    assert cut(demo, found)["cidr"] == "10.8.0.0/24"
    assert demo.drop("subnetpool", found["id"], 409) == "SubnetPoolDeleteError"


@pytest.mark.parametrize(
    ("wish", "status", "kind"),
    [
        ({"prefixlen": 7}, 400, "MinPrefixSubnetAllocationError"), ({"prefixlen": 29}, 400, "MaxPrefixSubnetAllocationError"),
        ({"cidr": "10.9.0.0/24"}, 409, "SubnetAllocationError"), ({"cidr": "10.8.0.0/24"}, 409, "SubnetAllocationError"),
        ({"cidr": "10.8.9.0/24", "prefixlen": 24}, 400, "HTTPBadRequest"),
        ({"use_default_subnetpool": True}, 400, "HTTPBadRequest"),
    ],
)  # fmt: skip
def test_what_a_pool_does_not_give(demo, wish, status, kind):
    found = pool(demo, min_prefixlen=16, max_prefixlen=28)
    cut(demo, found)
    assert cut(demo, found, status, **wish) == kind


def test_a_full_pool(demo):
    found = pool(demo, prefixes=["10.8.0.0/29"], default_prefixlen=30)
    cut(demo, found)
    cut(demo, found)
    assert cut(demo, found, 409) == "SubnetAllocationError"


def test_a_project_has_its_share(demo, admin, other):
    found = pool(admin, shared=True, default_quota=256)
    cut(demo, found)
    assert cut(demo, found, 409) == "SubnetPoolQuotaExceeded"
    cut(other, found)


def test_subnets_of_one_network_are_of_one_pool(demo):
    found = pool(demo)
    network = demo.make("network")
    demo.make("subnet", network_id=network["id"], ip_version=4, subnetpool_id=found["id"])
    body = {"network_id": network["id"], "ip_version": 4, "cidr": "192.168.7.0/24"}
    assert demo.make("subnet", 400, **body) == "NetworkSubnetPoolAffinityError"
    demo.make("subnet", network_id=network["id"], ip_version=4, subnetpool_id=found["id"])
    demo.make("subnet", network_id=network["id"], ip_version=6, cidr="fd00:7::/64")


def test_the_default_pool(demo, admin):
    assert demo.make("subnetpool", 403, name="p", prefixes=["10.0.0.0/8"], is_default=True) == "PolicyNotAuthorized"
    pool(admin, shared=True, is_default=True)
    assert admin.make("subnetpool", 400, name="q", prefixes=["11.0.0.0/8"], is_default=True) == "InvalidInput"
    network = demo.make("network")
    made = demo.make("subnet", network_id=network["id"], ip_version=4, use_default_subnetpool=True)
    assert made["cidr"] == "10.8.0.0/24"
    assert demo.make("subnet", 400, network_id=network["id"], ip_version=6, use_default_subnetpool=True) == "HTTPBadRequest"


def test_who_sees_a_pool(demo, admin, other):
    mine, shared = pool(demo), pool(admin, shared=True, prefixes=["10.9.0.0/16"])
    assert set(demo.ids("subnetpools")) == {mine["id"], shared["id"]}
    assert other.ids("subnetpools") == [shared["id"]]
    assert other.show("subnetpool", mine["id"], 404) == "SubnetPoolNotFound"
    assert other.drop("subnetpool", mine["id"], 404) == "SubnetPoolNotFound"
    assert other.drop("subnetpool", shared["id"], 403) == "PolicyNotAuthorized"
    assert demo.make("subnetpool", 403, name="p", prefixes=["10.0.0.0/8"], shared=True) == "PolicyNotAuthorized"
    assert cut(other, mine, 404) == "SubnetPoolNotFound"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"prefixes": []}, "EmptySubnetPoolPrefixList"), ({"prefixes": ["10.0.0.0/8", "fd00::/48"]}, "PrefixVersionMismatch"),
        ({"prefixes": ["nonsense"]}, "HTTPBadRequest"), ({"min_prefixlen": 33}, "UnsupportedMinSubnetPoolPrefix"),
        ({"max_prefixlen": 40}, "UnsupportedMaxSubnetPoolPrefix"), ({"default_prefixlen": 4}, "IllegalSubnetPoolPrefixBounds"),
        ({"min_prefixlen": 25, "max_prefixlen": 20}, "IllegalSubnetPoolPrefixBounds"), ({"nope": 1}, "HTTPBadRequest"),
    ],
)  # fmt: skip
def test_pools_that_cannot_be(demo, body, kind):
    assert demo.make("subnetpool", 400, **{"name": "p", "prefixes": ["10.0.0.0/8"], **body}) == kind


def test_a_pool_changes(demo):
    found = pool(demo)
    changed = demo.change("subnetpool", found["id"], name="new", prefixes=["10.9.0.0/16", "10.8.0.0/16"], default_quota=9)
    assert (changed["name"], changed["prefixes"], changed["default_quota"]) == ("new", ["10.8.0.0/15"], 9)
    assert changed["revision_number"] == 1
    assert demo.change("subnetpool", found["id"], 400, prefixes=["10.8.0.0/16"]) == "IllegalSubnetPoolPrefixUpdate"
    assert demo.change("subnetpool", found["id"], 400, prefixes=["fd00::/48"]) == "IllegalSubnetPoolPrefixUpdate"
    assert demo.change("subnetpool", found["id"], 400, default_prefixlen=33) == "UnsupportedMaxSubnetPoolPrefix"
    assert demo.call("PUT", f"subnetpools/{found['id']}/tags", {"tags": ["blue"]}) == {"tags": ["blue"]}


def test_prefixes_come_and_go(demo):
    found = pool(demo)
    path, body = f"subnetpools/{found['id']}", {"subnetpool": {"prefixes": ["10.9.0.0/16"]}}
    assert demo.call("PUT", f"{path}/add_prefixes", body) == {"subnetpool": {"prefixes": ["10.8.0.0/15"]}}
    cut(demo, found, cidr="10.8.4.0/24")
    busy = {"subnetpool": {"prefixes": ["10.8.0.0/16"]}}
    assert demo.call("PUT", f"{path}/remove_prefixes", busy, 409)["NeutronError"]["type"] == "IllegalSubnetPoolPrefixUpdate"
    assert demo.call("PUT", f"{path}/remove_prefixes", body) == {"subnetpool": {"prefixes": ["10.8.0.0/16"]}}
    assert demo.call("PUT", f"{path}/remove_prefixes", body, 400)["NeutronError"]["type"] == "IllegalSubnetPoolPrefixUpdate"


def test_nothing_overlaps_in_an_address_scope(demo, other):
    scope = demo.make("address_scope", name="s", ip_version=4)
    assert scope["shared"] is False
    found = pool(demo, address_scope_id=scope["id"])
    overlapping = {"name": "q", "prefixes": ["10.8.3.0/24"], "address_scope_id": scope["id"]}
    assert demo.make("subnetpool", 409, **overlapping) == "AddressScopePrefixConflict"
    six = {"name": "q", "prefixes": ["fd00::/48"], "address_scope_id": scope["id"]}
    assert demo.make("subnetpool", 400, **six) == "IllegalSubnetPoolIpVersionAssociationToAddressScope"
    assert other.make("subnetpool", 404, **{**overlapping, "prefixes": ["9.0.0.0/8"]}) == "AddressScopeNotFound"
    assert demo.drop("address-scope", scope["id"], 409) == "AddressScopeInUse"
    subnet = cut(demo, found)
    network = demo.show("network", subnet["network_id"])
    assert (network["ipv4_address_scope"], network["ipv6_address_scope"]) == (scope["id"], None)
    demo.change("subnetpool", found["id"], address_scope_id=None)
    demo.drop("address-scope", scope["id"])


def test_address_scopes(demo, admin, other):
    mine = demo.make("address_scope", name="mine", ip_version=6)
    assert other.ids("address-scopes") == []
    assert demo.make("address_scope", 403, name="s", ip_version=4, shared=True) == "PolicyNotAuthorized"
    shared = admin.make("address_scope", name="s", ip_version=4, shared=True)
    assert other.ids("address-scopes") == [shared["id"]]
    assert demo.call("PUT", f"address-scopes/{mine['id']}", {"address_scope": {"name": "new"}})["address_scope"]["name"] == "new"
    unshare = {"address_scope": {"shared": False}}
    answer = admin.call("PUT", f"address-scopes/{shared['id']}", unshare, 400)
    assert answer["NeutronError"]["type"] == "AddressScopeUpdateError"
    other.call("GET", f"address-scopes/{mine['id']}", None, 404)
    demo.call("DELETE", f"address-scopes/{mine['id']}", None, 204)
    assert demo.make("address_scope", 400, name="s", ip_version=5) == "HTTPBadRequest"


def test_no_prefix_is_given_out_twice(lab, demo):
    found = pool(demo)
    networks = [demo.make("network")["id"] for _ in range(12)]

    def ask(network_id):
        return Api(lab.client("demo")).make("subnet", network_id=network_id, ip_version=4, subnetpool_id=found["id"])["cidr"]

    with ThreadPoolExecutor(6) as threads:
        cidrs = list(threads.map(ask, networks))
    assert len(set(cidrs)) == len(cidrs)


NETS = st.builds(lambda n, length: ipaddress.ip_network((n << (32 - length), length)), st.integers(0, 255), st.integers(8, 8)) | (
    st.builds(lambda n: ipaddress.ip_network((0x0A000000 + (n << 8), 24)), st.integers(0, 31))
)


@given(st.lists(NETS, max_size=8), st.integers(20, 30))
def test_what_is_cut_is_free_and_within(used, length):
    own = [ipaddress.ip_network("10.0.0.0/19"), ipaddress.ip_network("192.168.0.0/24")]
    found = prefixes.cut(own, used, length)
    if found is None:
        pieces = [piece for net in own if net.prefixlen <= length for piece in net.subnets(new_prefix=length)]
        assert all(prefixes.overlapping([piece], used) for piece in pieces)
    else:
        assert prefixes.holds(own, found)
        assert prefixes.overlapping([found], used) is None


def test_prefixes_with_a_hole():
    left = prefixes.without([ipaddress.ip_network("10.0.0.0/22")], [ipaddress.ip_network("10.0.1.0/24")])
    assert [str(net) for net in left] == ["10.0.0.0/24", "10.0.2.0/23"]
