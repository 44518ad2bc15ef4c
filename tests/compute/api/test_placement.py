"""Placement over HTTP."""

import uuid

import pytest

from pileus.kernel import ids
from tests.compute.catalog import PROJECT, placement


@pytest.fixture
def host(lab) -> str:
    """The UUID of the compute host's provider."""
    return placement(lab, "GET", "/resource_providers?name=host1").json()["resource_providers"][0]["uuid"]


@pytest.fixture
def nic(lab, host) -> str:
    """The UUID of a provider below the host, with four of CUSTOM_NIC."""
    placement(lab, "PUT", "/resource_classes/CUSTOM_NIC")
    made = placement(lab, "POST", "/resource_providers", {"name": "nic", "parent_provider_uuid": host}).json()
    body = {"resource_provider_generation": 0, "inventories": {"CUSTOM_NIC": {"total": 4}}}
    assert placement(lab, "PUT", f"/resource_providers/{made['uuid']}/inventories", body).status_code == 200
    return made["uuid"]


def claim(provider, amount, generation=None):
    resources = {provider: {"resources": {"CUSTOM_NIC": amount}}}
    who = {"project_id": "p", "user_id": "u", "consumer_generation": generation, "consumer_type": "PORT"}
    return {"allocations": resources, **who}


def test_the_version_document_needs_no_token(lab):
    version = lab.anonymous.get("/placement/").json()["versions"][0]
    assert (version["id"], version["min_version"], version["max_version"]) == ("v1.0", "1.0", "1.39")
    assert lab.anonymous.get("/placement/resource_providers").status_code == 401
    assert placement(lab, "GET", "/traits", version="1.40").status_code == 406


def test_only_admins_and_services(lab):
    for persona in ("demo", "manager", "reader"):
        assert placement(lab, "GET", "/resource_providers", persona=persona).status_code == 403
    assert placement(lab, "GET", "/resource_providers", persona="service").status_code == 200
    assert placement(lab, "GET", f"/usages?project_id={PROJECT}", persona="reader").status_code == 200


def test_a_compute_host_is_a_provider(lab, host):
    found = placement(lab, "GET", f"/resource_providers/{host}/inventories").json()["inventories"]
    assert found["VCPU"] == {
        "total": 64, "reserved": 0, "min_unit": 1, "max_unit": 64, "step_size": 1, "allocation_ratio": 4.0,
    }  # fmt: skip
    assert found["MEMORY_MB"]["reserved"] == 512
    assert "COMPUTE_NODE" in placement(lab, "GET", f"/resource_providers/{host}/traits").json()["traits"]
    assert placement(lab, "DELETE", f"/resource_providers/{host}").status_code == 409
    assert placement(lab, "PUT", f"/resource_providers/{host}", {"name": "x"}).status_code == 409
    body = {"total": 1, "allocation_ratio": 2.0, "reserved": 0}
    changed = placement(lab, "PUT", f"/resource_providers/{host}/inventories/VCPU", body).json()
    assert (changed["total"], changed["allocation_ratio"]) == (64, 2.0)
    assert placement(lab, "DELETE", f"/resource_providers/{host}/inventories/VCPU").status_code == 409


def test_what_a_server_takes_is_seen_and_not_written(cloud):
    server = cloud.boot()
    lab = cloud.lab
    provider = placement(lab, "GET", "/resource_providers").json()["resource_providers"][0]["uuid"]
    taken = {"VCPU": 1, "MEMORY_MB": 128, "DISK_GB": 1}
    shown = placement(lab, "GET", f"/allocations/{server}").json()
    assert shown["allocations"][provider]["resources"] == taken
    assert (shown["project_id"], shown["consumer_type"]) == (PROJECT, "INSTANCE")
    assert placement(lab, "GET", f"/resource_providers/{provider}/usages").json()["usages"] == taken
    assert (
        placement(lab, "GET", f"/resource_providers/{provider}/allocations").json()["allocations"][server]["resources"] == taken
    )
    assert placement(lab, "GET", f"/usages?project_id={PROJECT}", version="1.9").json() == {"usages": taken}
    assert placement(lab, "PUT", f"/allocations/{server}", claim(provider, 1)).status_code == 409
    assert placement(lab, "DELETE", f"/allocations/{server}").status_code == 409
    cloud.delete(server)
    lab.settle(1)
    assert placement(lab, "GET", f"/allocations/{server}").json() == {"allocations": {}}
    assert placement(lab, "GET", f"/resource_providers/{provider}/usages").json()["usages"]["VCPU"] == 0


def test_providers_are_made_moved_and_deleted(lab, host, nic):
    shown = placement(lab, "GET", f"/resource_providers/{nic}").json()
    assert (shown["parent_provider_uuid"], shown["root_provider_uuid"], shown["generation"]) == (host, host, 1)
    assert placement(lab, "POST", "/resource_providers", {"name": "nic"}).status_code == 409
    assert placement(lab, "POST", "/resource_providers", {"name": "host1"}).status_code == 409
    made = placement(lab, "POST", "/resource_providers", {"name": "old"}, "1.0")
    assert (made.status_code, made.content) == (201, b"")
    assert "/placement/resource_providers/" in made.headers["location"]
    moved = placement(lab, "PUT", f"/resource_providers/{nic}", {"name": "nic2", "parent_provider_uuid": None}).json()
    assert (moved["name"], moved["root_provider_uuid"]) == ("nic2", nic)
    loop = {"name": "nic2", "parent_provider_uuid": nic}
    assert placement(lab, "PUT", f"/resource_providers/{nic}", loop).status_code == 400
    lost = {"name": "x", "parent_provider_uuid": str(uuid.uuid4())}
    assert placement(lab, "POST", "/resource_providers", lost).status_code == 400
    assert placement(lab, "DELETE", f"/resource_providers/{nic}").status_code == 204
    assert placement(lab, "GET", f"/resource_providers/{nic}").status_code == 404


def test_inventories_and_generations(lab, nic):
    path = f"/resource_providers/{nic}/inventories"
    stale = {"resource_provider_generation": 0, "inventories": {}}
    refused = placement(lab, "PUT", path, stale)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "placement.concurrent_update")
    added = placement(lab, "POST", path, {"resource_class": "VGPU", "total": 2, "resource_provider_generation": 1})
    assert (added.status_code, added.json()["resource_provider_generation"]) == (201, 2)
    assert placement(lab, "POST", path, {"resource_class": "VGPU", "total": 2}).status_code == 409
    assert placement(lab, "POST", path, {"resource_class": "CUSTOM_NONE", "total": 2}).status_code == 400
    assert placement(lab, "PUT", path + "/PGPU", {"total": 2}).status_code == 400
    assert placement(lab, "PUT", path + "/VGPU", {"total": 0}).status_code == 400
    assert placement(lab, "PUT", path + "/VGPU", {"total": 2, "reserved": 2}, "1.25").status_code == 400
    assert placement(lab, "PUT", path + "/VGPU", {"total": 2, "reserved": 2}).status_code == 200
    assert placement(lab, "DELETE", path + "/VGPU").status_code == 204
    assert placement(lab, "DELETE", path + "/VGPU").status_code == 404
    assert placement(lab, "DELETE", path).status_code == 204


def test_allocations_of_others(lab, host, nic):
    consumer = "/allocations/" + str(uuid.uuid4())
    assert placement(lab, "PUT", consumer, claim(nic, 3)).status_code == 204
    assert placement(lab, "PUT", consumer, claim(nic, 3)).json()["errors"][0]["code"] == "placement.concurrent_update"
    assert placement(lab, "PUT", consumer, claim(nic, 4, 1)).status_code == 204
    assert placement(lab, "GET", consumer).json()["consumer_generation"] == 2
    assert placement(lab, "PUT", "/allocations/" + str(uuid.uuid4()), claim(nic, 1)).status_code == 409
    assert placement(lab, "PUT", "/allocations/" + str(uuid.uuid4()), claim(str(uuid.uuid4()), 1)).status_code == 400
    assert placement(lab, "PUT", "/allocations/x", claim(nic, 1)).status_code == 400
    assert placement(lab, "GET", "/usages?project_id=p").json() == {"usages": {"PORT": {"CUSTOM_NIC": 4, "consumer_count": 1}}}
    assert placement(lab, "GET", "/usages").status_code == 400
    assert placement(lab, "DELETE", f"/resource_providers/{nic}").status_code == 409
    inventories = {"resource_provider_generation": 3, "inventories": {}}
    assert placement(lab, "PUT", f"/resource_providers/{nic}/inventories", inventories).status_code == 409
    assert placement(lab, "DELETE", consumer).status_code == 204
    assert placement(lab, "DELETE", consumer).status_code == 404
    old = {"allocations": [{"resource_provider": {"uuid": nic}, "resources": {"CUSTOM_NIC": 1}}]}
    assert placement(lab, "PUT", consumer, old, "1.0").status_code == 204
    assert placement(lab, "POST", "/allocations", {str(uuid.uuid4()): claim(nic, 2)}).status_code == 204
    assert placement(lab, "GET", f"/resource_providers/{nic}/usages").json()["usages"] == {"CUSTOM_NIC": 3}


def test_traits_and_classes(lab, host, nic):
    assert placement(lab, "PUT", "/traits/CUSTOM_FAST").status_code == 201
    assert placement(lab, "PUT", "/traits/CUSTOM_FAST").status_code == 204
    assert placement(lab, "PUT", "/traits/FAST").status_code == 400
    assert placement(lab, "GET", "/traits/CUSTOM_FAST").status_code == 204
    assert placement(lab, "GET", "/traits/CUSTOM_SLOW").status_code == 404
    assert placement(lab, "GET", "/traits?name=startswith:CUSTOM_").json() == {"traits": ["CUSTOM_FAST"]}
    path = f"/resource_providers/{host}/traits"
    generation = placement(lab, "GET", path).json()["resource_provider_generation"]
    body = {"traits": ["CUSTOM_FAST"], "resource_provider_generation": generation}
    assert {"CUSTOM_FAST", "COMPUTE_NODE"} <= set(placement(lab, "PUT", path, body).json()["traits"])
    assert placement(lab, "PUT", path, body).status_code == 409
    assert placement(lab, "DELETE", "/traits/CUSTOM_FAST").status_code == 409
    assert placement(lab, "DELETE", path).status_code == 204
    assert placement(lab, "DELETE", "/traits/CUSTOM_FAST").status_code == 204
    assert placement(lab, "DELETE", "/traits/COMPUTE_NODE").status_code == 400
    assert placement(lab, "DELETE", "/resource_classes/CUSTOM_NIC").status_code == 409
    assert placement(lab, "DELETE", "/resource_classes/VCPU").status_code == 400
    assert placement(lab, "PUT", "/resource_classes/CUSTOM_NIC").status_code == 204
    assert placement(lab, "PUT", "/resource_classes/NIC").status_code == 400
    assert placement(lab, "POST", "/resource_classes", {"name": "CUSTOM_NIC"}).status_code == 409
    names = [each["name"] for each in placement(lab, "GET", "/resource_classes").json()["resource_classes"]]
    assert names[0] == "VCPU"
    assert names[-1] == "CUSTOM_NIC"


def test_aggregates_of_providers(lab, host):
    group = ids.uuid()
    path = f"/resource_providers/{host}/aggregates"
    assert placement(lab, "PUT", path, [group], "1.1").json() == {"aggregates": [group]}
    assert placement(lab, "GET", f"/resource_providers?member_of={group}").json()["resource_providers"][0]["uuid"] == host
    assert placement(lab, "GET", f"/resource_providers?member_of=!{group}").json()["resource_providers"] == []
    assert placement(lab, "GET", "/resource_providers?member_of=x").status_code == 400
    stale = {"aggregates": [], "resource_provider_generation": 9}
    assert placement(lab, "PUT", path, stale).status_code == 409


def test_candidates(lab, host, nic):
    def ask(query, version="1.39"):
        return placement(lab, "GET", "/allocation_candidates?" + query, version=version)

    found = ask("resources=VCPU:1,CUSTOM_NIC:2").json()
    assert found["allocation_requests"] == [
        {
            "allocations": {host: {"resources": {"VCPU": 1}}, nic: {"resources": {"CUSTOM_NIC": 2}}},
            "mappings": {"": [host, nic]},
        }
    ]
    assert found["provider_summaries"][nic]["root_provider_uuid"] == host
    assert ask("resources=VCPU:1,CUSTOM_NIC:2", "1.28").json()["allocation_requests"] == []
    assert ask("resources=VCPU:1,CUSTOM_NIC:5").json()["allocation_requests"] == []
    both = "resources_A=CUSTOM_NIC:1&resources_B=CUSTOM_NIC:1&group_policy="
    assert len(ask(both + "none").json()["allocation_requests"]) == 1
    assert ask(both + "isolate").json()["allocation_requests"] == []
    assert len(ask("resources=VCPU:1&resources_A=CUSTOM_NIC:1&same_subtree=_A").json()["allocation_requests"]) == 1
    assert len(ask("resources=VCPU:1&required=COMPUTE_NODE&root_required=COMPUTE_NODE")
               .json()["allocation_requests"]) == 1  # fmt: skip
    assert ask("resources=VCPU:1&required=!COMPUTE_NODE").json()["allocation_requests"] == []
    assert ask("resources=VCPU:65").json()["allocation_requests"] == []
    old = ask("resources=VCPU:1", "1.10").json()["allocation_requests"][0]
    assert old == {"allocations": [{"resource_provider": {"uuid": host}, "resources": {"VCPU": 1}}]}


@pytest.mark.parametrize(
    "query",
    [
        "", "resources=", "resources=VCPU", "resources=VCPU:0", "resources=NONE:1", "resources=VCPU:1&x=1",
        "resources=VCPU:1&required=NONE", "resources=VCPU:1&required=A,!A", "resources=VCPU:1&limit=0", "required=COMPUTE_NODE",
        "resources_A=VCPU:1&resources_B=VCPU:1", "resources=VCPU:1&in_tree=x", "resources=VCPU:1&group_policy=x",
    ],
)  # fmt: skip
def test_what_no_candidate_can_be_found_for(lab, query):
    assert placement(lab, "GET", "/allocation_candidates?" + query).status_code == 400
