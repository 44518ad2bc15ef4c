"""/v2.1/os-quota-sets, limits, usage, server groups and records over HTTP."""

import pytest

from pileus.kernel.clock import to_iso
from tests.compute.catalog import OTHER_PROJECT, PROJECT, compute, know_project

MINE = f"/os-quota-sets/{PROJECT}"
COMMON = {"instances", "cores", "ram", "metadata_items", "key_pairs", "server_groups", "server_group_members"}
FILES = {"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"}
NETWORK = {"fixed_ips", "floating_ips", "security_groups", "security_group_rules"}


@pytest.mark.parametrize(("version", "names"), [("2.1", COMMON | FILES | NETWORK), ("2.36", COMMON | FILES), ("2.57", COMMON)])
def test_the_resources_by_microversion(lab, version, names):
    assert set(compute(lab, "demo", version, "GET", MINE).json()["quota_set"]) == names | {"id"}
    detail = compute(lab, "demo", version, "GET", MINE + "/detail").json()["quota_set"]
    assert detail["cores"] == {"limit": 20, "in_use": 0, "reserved": 0}
    assert compute(lab, "demo", version, "GET", MINE + "/defaults").json()["quota_set"]["instances"] == 10


def test_who_may_see_and_set(lab):
    know_project(lab, PROJECT)
    assert compute(lab, "other", "2.1", "GET", MINE).status_code == 403
    assert compute(lab, "admin", "2.1", "GET", MINE).status_code == 200
    for persona in ("demo", "manager", "reader"):
        assert compute(lab, persona, "2.1", "PUT", MINE, {"quota_set": {"cores": 1}}).status_code == 403
        assert compute(lab, persona, "2.1", "DELETE", MINE).status_code == 403
    assert compute(lab, "admin", "2.1", "GET", f"/os-quota-sets/{OTHER_PROJECT}").status_code == 400


def test_limits_are_set_and_reset(lab):
    know_project(lab, PROJECT)
    changed = compute(lab, "admin", "2.57", "PUT", MINE, {"quota_set": {"cores": "30", "ram": -1}}).json()["quota_set"]
    assert (changed["cores"], changed["ram"], "id" in changed) == (30, -1, False)
    user = MINE + "?user_id=u"
    assert compute(lab, "admin", "2.57", "PUT", user, {"quota_set": {"cores": 31}}).status_code == 400
    assert compute(lab, "admin", "2.57", "PUT", user, {"quota_set": {"cores": 5}}).json()["quota_set"]["cores"] == 5
    assert compute(lab, "admin", "2.57", "GET", user).json()["quota_set"]["cores"] == 5
    assert compute(lab, "admin", "2.57", "GET", MINE).json()["quota_set"]["cores"] == 30
    assert compute(lab, "admin", "2.57", "DELETE", MINE).status_code == 202
    assert compute(lab, "admin", "2.57", "GET", MINE).json()["quota_set"]["cores"] == 20


@pytest.mark.parametrize(
    "limits",
    [{"cores": -2}, {"cores": "x"}, {"cores": 2**31}, {"fixed_ips": 1}, {"what": 1}, {"cores": None}, {"force": "perhaps"}],
)
def test_what_is_no_limit(lab, limits):
    know_project(lab, PROJECT)
    assert compute(lab, "admin", "2.57", "PUT", MINE, {"quota_set": limits}).status_code == 400


def test_a_limit_is_not_below_what_is_used_unless_forced(cloud):
    cloud.boot()
    know_project(cloud.lab, PROJECT)
    assert compute(cloud.lab, "admin", "2.57", "PUT", MINE, {"quota_set": {"cores": 0}}).status_code == 400
    assert compute(cloud.lab, "admin", "2.57", "PUT", MINE, {"quota_set": {"cores": 0, "force": True}}).status_code == 200
    absolute = compute(cloud.lab, "demo", "2.57", "GET", "/limits").json()["limits"]["absolute"]
    assert (absolute["maxTotalCores"], absolute["totalCoresUsed"], absolute["totalRAMUsed"]) == (0, 1, 128)


def test_the_default_class_holds_for_all(lab):
    path = "/os-quota-class-sets/default"
    assert "server_groups" not in compute(lab, "admin", "2.49", "GET", path).json()["quota_class_set"]
    assert set(compute(lab, "admin", "2.57", "GET", path).json()["quota_class_set"]) == COMMON | {"id"}
    compute(lab, "admin", "2.57", "PUT", path, {"quota_class_set": {"cores": 7}})
    assert compute(lab, "demo", "2.1", "GET", MINE).json()["quota_set"]["cores"] == 7
    assert compute(lab, "demo", "2.1", "GET", path).status_code == 403


def test_limits_by_microversion(lab):
    def absolute(version):
        return set(compute(lab, "reader", version, "GET", "/limits").json()["limits"]["absolute"])

    assert {"maxImageMeta", "maxTotalFloatingIps", "maxPersonality"} <= absolute("2.35")
    assert absolute("2.35") - absolute("2.36") == {
        "maxTotalFloatingIps", "maxSecurityGroups", "maxSecurityGroupRules", "totalFloatingIpsUsed", "totalSecurityGroupsUsed",
    }  # fmt: skip
    assert absolute("2.38") - absolute("2.39") == {"maxImageMeta"}
    assert absolute("2.56") - absolute("2.57") == {"maxPersonality", "maxPersonalitySize"}
    assert compute(lab, "demo", "2.1", "GET", f"/limits?tenant_id={OTHER_PROJECT}").status_code == 403
    assert compute(lab, "admin", "2.1", "GET", f"/limits?tenant_id={OTHER_PROJECT}").status_code == 200


def test_usage_counts_the_hours_of_servers(cloud):
    start, server = to_iso(cloud.lab.clock.now() - 60).removesuffix("Z"), cloud.boot()
    cloud.lab.settle(7200)
    usage = compute(cloud.lab, "demo", "2.40", "GET", f"/os-simple-tenant-usage/{PROJECT}?start={start}").json()["tenant_usage"]
    assert usage["total_hours"] == pytest.approx(2)
    assert usage["total_memory_mb_usage"] == pytest.approx(256)
    (one,) = usage["server_usages"]
    assert (one["instance_id"], one["state"], one["flavor"], one["ended_at"]) == (server, "active", "m1.nano", None)
    cloud.delete(server)
    cloud.lab.settle(7200)
    everyone = f"/os-simple-tenant-usage?detailed=1&start={start}"
    (usage,) = compute(cloud.lab, "admin", "2.1", "GET", everyone).json()["tenant_usages"]
    assert usage["total_hours"] == pytest.approx(2)
    assert usage["server_usages"][0]["state"] == "terminated"
    paged = compute(cloud.lab, "admin", "2.40", "GET", everyone + "&limit=1").json()
    assert f"marker={server}" in paged["tenant_usages_links"][0]["href"]
    assert compute(cloud.lab, "admin", "2.40", "GET", everyone + f"&marker={server}").json() == {"tenant_usages": []}


def test_usage_of_others_and_bad_times(lab):
    path = f"/os-simple-tenant-usage/{PROJECT}"
    assert compute(lab, "other", "2.1", "GET", path + "?start=2020-01-01T00:00:00").status_code == 403
    assert compute(lab, "demo", "2.1", "GET", "/os-simple-tenant-usage").status_code == 403
    for query in ("start=x", "start=2030-01-01T00:00:00", "start=2020-01-02T00:00:00&end=2020-01-01T00:00:00"):
        assert compute(lab, "demo", "2.1", "GET", f"{path}?{query}").status_code == 400
    assert compute(lab, "demo", "2.1", "GET", path + "?start=2020-01-01T00:00:00").json() == {"tenant_usage": {}}


def group(lab, version="2.1", persona="demo", **body):
    return compute(lab, persona, version, "POST", "/os-server-groups", {"server_group": {"name": "g", **body}})


def test_server_groups_by_microversion(lab):
    old = group(lab, policies=["affinity"]).json()["server_group"]
    assert old == {"id": old["id"], "name": "g", "policies": ["affinity"], "members": [], "metadata": {}}
    new = group(lab, "2.64", policy="anti-affinity", rules={"max_server_per_host": "2"}).json()["server_group"]
    assert (new["policy"], new["rules"], new["project_id"]) == ("anti-affinity", {"max_server_per_host": 2}, PROJECT)
    listed = compute(lab, "demo", "2.13", "GET", "/os-server-groups").json()["server_groups"]
    assert [each["policies"] for each in listed] == [["affinity"], ["anti-affinity"]]
    assert len(compute(lab, "demo", "2.1", "GET", "/os-server-groups?limit=1&offset=1").json()["server_groups"]) == 1
    assert compute(lab, "other", "2.1", "GET", "/os-server-groups").json() == {"server_groups": []}
    assert len(compute(lab, "admin", "2.1", "GET", "/os-server-groups?all_projects").json()["server_groups"]) == 2
    assert compute(lab, "other", "2.1", "GET", "/os-server-groups/" + old["id"]).status_code == 404
    assert compute(lab, "other", "2.1", "DELETE", "/os-server-groups/" + old["id"]).status_code == 404
    assert compute(lab, "reader", "2.1", "DELETE", "/os-server-groups/" + old["id"]).status_code == 403
    assert compute(lab, "demo", "2.1", "DELETE", "/os-server-groups/" + old["id"]).status_code == 204
    assert compute(lab, "demo", "2.1", "DELETE", "/os-server-groups/" + old["id"]).status_code == 404


@pytest.mark.parametrize(
    ("version", "body"),
    [
        ("2.1", {}), ("2.1", {"policies": []}), ("2.1", {"policies": ["affinity", "anti-affinity"]}),
        ("2.1", {"policies": ["x"]}),
        ("2.14", {"policies": ["soft-affinity"]}), ("2.15", {"policies": ["affinity"], "name": ""}),
        ("2.64", {"policies": ["affinity"]}), ("2.64", {"policy": "affinity", "rules": {"max_server_per_host": 2}}),
        ("2.64", {"policy": "anti-affinity", "rules": {"max_server_per_host": 0}}),
        ("2.64", {"policy": "anti-affinity", "rules": {"x": 1}}),
    ],
)  # fmt: skip
def test_what_is_no_server_group(lab, version, body):
    assert group(lab, version, **body).status_code == 400


def test_the_quota_of_server_groups(lab):
    compute(lab, "admin", "2.57", "PUT", "/os-quota-class-sets/default", {"quota_class_set": {"server_groups": 1}})
    assert group(lab, policies=["affinity"]).status_code == 200
    assert group(lab, policies=["affinity"]).json()["forbidden"]["message"] == "Quota exceeded, too many server groups."
    assert group(lab, persona="reader", policies=["affinity"]).status_code == 403


def test_what_belongs_to_a_project_goes_with_it(lab):
    group(lab, policies=["affinity"])
    with lab.cloud.db.begin() as tx:
        lab.cloud.events.publish(tx, lab.cloud, "identity.project.deleted", {"id": PROJECT, "project_id": PROJECT})
    assert compute(lab, "demo", "2.1", "GET", "/os-server-groups").json() == {"server_groups": []}


def test_records(lab):
    assert compute(lab, "admin", "2.80", "GET", "/os-migrations").json() == {"migrations": []}
    assert compute(lab, "manager", "2.1", "GET", "/os-migrations").json() == {"migrations": []}
    assert compute(lab, "demo", "2.1", "GET", "/os-migrations").status_code == 403
    assert compute(lab, "admin", "2.59", "GET", "/os-migrations?x=1").status_code == 400
    assert compute(lab, "admin", "2.59", "GET", "/os-migrations?changes-since=x").status_code == 400
    aliases = {each["alias"] for each in compute(lab, "demo", "2.1", "GET", "/extensions").json()["extensions"]}
    assert {"os-keypairs", "servers"} <= aliases
    assert compute(lab, "demo", "2.1", "GET", "/extensions/none").status_code == 404
    audit = compute(lab, "admin", "2.1", "GET", "/os-instance_usage_audit_log/2024-02-10").json()["instance_usage_audit_log"]
    assert (audit["period_beginning"], audit["period_ending"]) == ("2024-01-01 00:00:00", "2024-02-01 00:00:00")
    assert compute(lab, "admin", "2.1", "GET", "/os-instance_usage_audit_log/x").status_code == 400
