"""/v2.1/flavors over HTTP."""

import pytest

from pileus.compute.extra_specs import explain_invalid
from tests.compute.catalog import OTHER_PROJECT, PROJECT, compute, know_project

NEW = {"name": "big", "ram": 64, "vcpus": 1, "disk": 1}


def create(lab, version="2.1", **changes):
    return compute(lab, "admin", version, "POST", "/flavors", {"flavor": {**NEW, **changes}})


def test_a_new_cloud_has_the_classic_flavors(lab):
    found = compute(lab, "demo", "2.1", "GET", "/flavors/detail").json()["flavors"]
    assert [(each["id"], each["name"], each["vcpus"], each["ram"], each["disk"]) for each in found] == [
        ("1", "m1.tiny", 1, 512, 1), ("2", "m1.small", 1, 2048, 20), ("3", "m1.medium", 2, 4096, 40),
        ("4", "m1.large", 4, 8192, 80), ("42", "m1.nano", 1, 128, 1), ("5", "m1.xlarge", 8, 16384, 160),
        ("84", "m1.micro", 1, 192, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "swap", "more"),
    [
        ("2.1", "", set()), ("2.54", "", set()), ("2.55", "", {"description"}), ("2.61", "", {"description", "extra_specs"}),
        ("2.75", 0, {"description", "extra_specs"}), ("2.96", 0, {"description", "extra_specs"}),
    ],
)  # fmt: skip
def test_the_shape_of_a_flavor_by_microversion(lab, version, swap, more):
    shown = compute(lab, "demo", version, "GET", "/flavors/1").json()["flavor"]
    assert set(shown) == more | {
        "id", "name", "ram", "disk", "swap", "vcpus", "links", "rxtx_factor", "OS-FLV-EXT-DATA:ephemeral",
        "OS-FLV-DISABLED:disabled", "os-flavor-access:is_public",
    }  # fmt: skip
    assert shown["swap"] == swap
    assert [link["href"] for link in shown["links"]] == [
        "http://testserver/compute/v2.1/flavors/1", "http://testserver/compute/flavors/1",
    ]  # fmt: skip


def test_an_admin_makes_and_deletes_one(lab):
    made = create(lab, id="auto-1", swap="16", rxtx_factor="2.5", **{"OS-FLV-EXT-DATA:ephemeral": 3})
    assert made.status_code == 200
    assert made.json()["flavor"] | {"links": []} == {
        "id": "auto-1", "name": "big", "ram": 64, "vcpus": 1, "disk": 1, "swap": 16, "rxtx_factor": 2.5, "links": [],
        "OS-FLV-EXT-DATA:ephemeral": 3, "OS-FLV-DISABLED:disabled": False, "os-flavor-access:is_public": True,
    }  # fmt: skip
    assert compute(lab, "admin", "2.1", "DELETE", "/flavors/auto-1").status_code == 202
    assert compute(lab, "demo", "2.1", "GET", "/flavors/auto-1").status_code == 404
    assert compute(lab, "admin", "2.1", "DELETE", "/flavors/auto-1").status_code == 404


def test_names_and_ids_are_unique(lab):
    assert create(lab, id="7").status_code == 200
    assert create(lab, id="8").json()["conflictingRequest"]["message"] == "Flavor with name big already exists."
    assert create(lab, id=7, name="other").json()["conflictingRequest"]["message"] == "Flavor with ID 7 already exists."


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"name": " x"}, {"name": "x" * 256}, {"ram": 0}, {"ram": "0"}, {"ram": "many"}, {"vcpus": -1},
        {"vcpus": 2**31}, {"vcpus": "9999999999"}, {"disk": -1}, {"swap": -1}, {"id": " 1"}, {"id": "#"}, {"id": ""},
        {"rxtx_factor": 0}, {"rxtx_factor": "x"}, {"os-flavor-access:is_public": "maybe"}, {"what": 1}, {"ram": None},
        {"description": "before 2.55"},
    ],
)  # fmt: skip
def test_what_is_no_flavor(lab, change):
    assert create(lab, **change).status_code == 400


def test_only_admins_make_flavors(lab):
    for persona in ("demo", "manager", "reader", "nobody"):
        assert compute(lab, persona, "2.1", "POST", "/flavors", {"flavor": NEW}).status_code == 403
        assert compute(lab, persona, "2.1", "DELETE", "/flavors/1").status_code == 403


def test_descriptions(lab):
    assert create(lab, "2.55", id="d", description="of old").json()["flavor"]["description"] == "of old"
    changed = compute(lab, "admin", "2.55", "PUT", "/flavors/d", {"flavor": {"description": None}})
    assert changed.json()["flavor"]["description"] is None
    assert compute(lab, "admin", "2.54", "PUT", "/flavors/d", {"flavor": {"description": None}}).status_code == 404
    assert compute(lab, "admin", "2.55", "PUT", "/flavors/none", {"flavor": {"description": None}}).status_code == 404


def test_pages_filters_and_order(lab):
    def ids(query, persona="admin"):
        return [each["id"] for each in compute(lab, persona, "2.1", "GET", "/flavors?" + query).json()["flavors"]]

    first = compute(lab, "demo", "2.1", "GET", "/flavors?limit=2").json()
    assert first["flavors_links"] == [
        {"rel": "next", "href": "http://testserver/compute/v2.1/flavors?limit=2&marker=2"},
    ]
    assert ids("limit=2&marker=2") == ["3", "4"]
    assert ids("minRam=8192") == ["4", "5"]
    assert ids("minDisk=100") == ["5"]
    assert ids("sort_key=memory_mb&sort_dir=desc&limit=2") == ["5", "4"]
    assert "flavors_links" not in compute(lab, "demo", "2.1", "GET", "/flavors?limit=2&marker=5").json()
    for bad in ("limit=-1", "limit=x", "marker=none", "minRam=x", "sort_key=x", "sort_dir=x", "is_public=x"):
        assert compute(lab, "admin", "2.1", "GET", "/flavors?" + bad).status_code == 400, bad
    assert compute(lab, "demo", "2.75", "GET", "/flavors?unknown=1").status_code == 400
    assert compute(lab, "demo", "2.74", "GET", "/flavors?unknown=1").status_code == 200


def test_a_private_flavor_is_for_those_who_have_access(lab):
    create(lab, id="p", **{"os-flavor-access:is_public": False})
    assert compute(lab, "demo", "2.1", "GET", "/flavors/p").status_code == 404
    body = {"addTenantAccess": {"tenant": PROJECT}}
    assert compute(lab, "admin", "2.1", "POST", "/flavors/p/action", body).status_code == 400  # identity knows no such project
    know_project(lab, PROJECT)
    granted = compute(lab, "admin", "2.1", "POST", "/flavors/p/action", body)
    assert granted.json() == {"flavor_access": [{"flavor_id": "p", "tenant_id": PROJECT}]}
    assert compute(lab, "admin", "2.1", "POST", "/flavors/p/action", body).status_code == 409
    assert compute(lab, "demo", "2.1", "GET", "/flavors/p").status_code == 200
    assert "p" in [each["id"] for each in compute(lab, "demo", "2.1", "GET", "/flavors").json()["flavors"]]
    assert compute(lab, "other", "2.1", "GET", "/flavors/p").status_code == 404
    assert compute(lab, "admin", "2.1", "GET", "/flavors/p/os-flavor-access").json() == granted.json()
    assert compute(lab, "demo", "2.1", "GET", "/flavors/p/os-flavor-access").status_code == 403
    removed = {"removeTenantAccess": {"tenant": PROJECT}}
    assert compute(lab, "admin", "2.1", "POST", "/flavors/p/action", removed).json() == {"flavor_access": []}
    assert compute(lab, "admin", "2.1", "POST", "/flavors/p/action", removed).status_code == 404
    assert compute(lab, "admin", "2.1", "POST", "/flavors/p/action", {}).status_code == 400


def test_a_public_flavor_has_no_access_list(lab):
    know_project(lab, OTHER_PROJECT)
    assert compute(lab, "admin", "2.1", "GET", "/flavors/1/os-flavor-access").status_code == 404
    body = {"addTenantAccess": {"tenant": OTHER_PROJECT}}
    assert compute(lab, "admin", "2.7", "POST", "/flavors/1/action", body).status_code == 409


def test_extra_specs(lab):
    path = "/flavors/1/os-extra_specs"
    added = compute(lab, "admin", "2.1", "POST", path, {"extra_specs": {"hw:numa_nodes": 2, "mine": "x"}})
    assert added.json() == {"extra_specs": {"hw:numa_nodes": "2", "mine": "x"}}
    assert compute(lab, "demo", "2.1", "GET", path).json() == added.json()
    assert compute(lab, "demo", "2.61", "GET", "/flavors/1").json()["flavor"]["extra_specs"] == added.json()["extra_specs"]
    assert compute(lab, "admin", "2.1", "PUT", path + "/mine", {"mine": "y"}).json() == {"mine": "y"}
    assert compute(lab, "demo", "2.1", "GET", path + "/mine").json() == {"mine": "y"}
    assert compute(lab, "admin", "2.1", "PUT", path + "/mine", {"yours": "y"}).status_code == 400
    assert compute(lab, "admin", "2.1", "DELETE", path + "/mine").status_code == 200
    assert compute(lab, "admin", "2.1", "DELETE", path + "/mine").status_code == 404
    assert compute(lab, "demo", "2.1", "GET", path + "/mine").status_code == 404
    assert compute(lab, "demo", "2.1", "POST", path, {"extra_specs": {}}).status_code == 403
    for bad in ({"extra_specs": {"": "x"}}, {"extra_specs": {"a": "x" * 256}}, {"extra_specs": {"a!": "x"}}, {}, None):
        assert compute(lab, "admin", "2.1", "POST", path, bad).status_code == 400
    wrong = {"extra_specs": {"trait:HW_CPU_X86_AVX": "maybe"}}
    assert compute(lab, "admin", "2.85", "POST", path, wrong).status_code == 200
    assert compute(lab, "admin", "2.86", "POST", path, wrong).status_code == 400


@pytest.mark.parametrize(
    ("key", "value", "valid"),
    [
        ("trait:HW_CPU_X86_AVX", "required", True), ("resources:VCPU", "2", True), ("resources:VCPU", "x", False),
        ("hw:cpu_policy", "dedicated", True), ("hw:cpu_policy", "sometimes", False), ("hw:unknown", "1", False),
        ("hw_rng:allowed", "True", True), ("mine:anything", "goes", True), ("plain", "goes", True),
        ("quota:cpu_shares", "1024", True), ("quota:cpu_shares", "many", False),
    ],
)  # fmt: skip
def test_which_extra_specs_are_valid(key, value, valid):
    assert (explain_invalid(key, value) == "") is valid
