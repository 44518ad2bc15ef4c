"""Quotas, quota classes, limits, zones and extensions over HTTP."""

import pytest

from pileus.kernel.errors import OverQuota
from pileus.volume.service import quotas
from tests.conftest import BLUE, RED
from tests.volume.test_types import add_volume, make

SET = f"/volume/v3/os-quota-sets/{BLUE}"
DEFAULTS = {
    "volumes": 10, "snapshots": 10, "gigabytes": 1000, "backups": 10, "backup_gigabytes": 1000, "groups": 10,
    "per_volume_gigabytes": -1, "volumes___DEFAULT__": -1, "snapshots___DEFAULT__": -1, "gigabytes___DEFAULT__": -1,
}  # fmt: skip


@pytest.fixture
def admin(lab):
    return lab.client("admin")


@pytest.fixture
def demo(lab):
    return lab.client("demo")


def set_limits(admin, **limits):
    answer = admin.put(SET, json={"quota_set": limits})
    assert answer.status_code == 200, answer.text
    return answer.json()["quota_set"]


def require(lab, **wanted):
    with lab.cloud.db.begin() as tx:
        quotas.require_room(tx, lab.ctx(), BLUE, **wanted)


def test_a_set_without_limits_of_its_own(demo, admin):
    assert demo.get(SET).json() == {"quota_set": {"id": BLUE, **DEFAULTS}}
    assert demo.get(f"{SET}/defaults").json() == {"quota_set": {"id": BLUE, **DEFAULTS}}
    assert demo.get(f"/volume/v3/os-quota-sets/{RED}").status_code == 403
    assert admin.get(SET).status_code == 200
    assert demo.put(SET, json={"quota_set": {"volumes": 1}}).status_code == 403


def test_limits_are_changed_and_taken_back(demo, admin):
    changed = set_limits(admin, volumes=20, gigabytes="30", volumes___DEFAULT__=5, tenant_id="x")
    assert changed == {**DEFAULTS, "volumes": 20, "gigabytes": 30, "volumes___DEFAULT__": 5}
    assert demo.get(SET).json()["quota_set"] == {"id": BLUE, **changed}
    assert admin.get(f"/volume/v3/os-quota-sets/{RED}").json()["quota_set"]["volumes"] == 10
    assert admin.delete(SET).status_code == 200
    assert demo.get(SET).json()["quota_set"]["volumes"] == 10


def test_use_is_counted_by_type(lab, admin, demo):
    kind = make(admin)["id"]
    add_volume(lab, kind, size_gib=7)
    shown = demo.get(f"{SET}?usage=True").json()["quota_set"]
    assert shown["volumes"] == {"limit": 10, "in_use": 1, "reserved": 0}
    assert shown["gigabytes_fast"] == {"limit": -1, "in_use": 7, "reserved": 0}
    assert shown["gigabytes___DEFAULT__"]["in_use"] == 0
    assert demo.get(f"{SET}?usage=perhaps").status_code == 400
    refused = admin.put(SET, json={"quota_set": {"gigabytes": 6}})
    assert refused.status_code == 400
    assert refused.json()["badRequest"]["message"] == (
        "Quota gigabytes limit must be equal or greater than existing resources. Current usage is 7 and the requested limit is 6."
    )
    assert set_limits(admin, gigabytes=-1, per_volume_gigabytes=1)["gigabytes"] == -1


@pytest.mark.parametrize("limits", [{}, {"volumes": -2}, {"volumes": "many"}, {"odd": 1}, {"volumes": 2**31}, {"volumes": True}])
def test_limits_that_cannot_be(admin, limits):
    assert admin.put(SET, json={"quota_set": limits}).status_code == 400


def test_limits_of_a_type_follow_its_name_and_go_with_it(admin):
    kind = make(admin)["id"]
    set_limits(admin, volumes_fast=3)
    admin.put(f"/volume/v3/types/{kind}", json={"volume_type": {"name": "quick"}})
    assert admin.get(SET).json()["quota_set"]["volumes_quick"] == 3
    admin.delete(f"/volume/v3/types/{kind}")
    assert "volumes_quick" not in admin.get(SET).json()["quota_set"]


def test_classes(admin, demo):
    url = "/volume/v3/os-quota-class-sets/default"
    assert admin.get(url).json() == {"quota_class_set": {"id": "default", **DEFAULTS}}
    changed = admin.put(url, json={"quota_class_set": {"volumes": 15}})
    assert changed.json() == {"quota_class_set": {**DEFAULTS, "volumes": 15}}
    assert demo.get(SET).json()["quota_set"]["volumes"] == 15
    assert demo.get(f"{SET}/defaults").json()["quota_set"]["volumes"] == 15
    set_limits(admin, volumes=4)
    assert demo.get(SET).json()["quota_set"]["volumes"] == 4
    assert admin.put(url, json={"quota_class_set": {"odd": 1}}).status_code == 400
    assert demo.get(url).status_code == 403


@pytest.mark.parametrize(("wanted", "message"), [
    ({"volumes": 11}, "Maximum number of volumes allowed (10) exceeded for quota 'volumes'."),
    ({"snapshots": 11}, "Maximum number of snapshots allowed (10) exceeded"),
    ({"groups": 11}, "Maximum number of groups allowed (10) exceeded"),
    ({"backups": 11}, "Maximum number of backups allowed (10) exceeded"),
    ({"volumes": 1, "gigabytes": 994},
     "Requested volume or snapshot exceeds allowed gigabytes quota. Requested 994G, quota is 1000G and 7G has been consumed."),
    ({"backup_gigabytes": 1001},
     "Requested backup exceeds allowed Backup gigabytes quota. Requested 1001G, quota is 1000G and 0G has been consumed."),
])  # fmt: skip
def test_what_does_not_fit(lab, admin, wanted, message):
    add_volume(lab, make(admin)["id"], size_gib=7)
    with pytest.raises(OverQuota) as caught:
        require(lab, **wanted)
    assert caught.value.message == message


def test_limits_of_types_and_of_single_volumes(lab, admin):
    make(admin)
    set_limits(admin, volumes_fast=2, gigabytes_fast=5, per_volume_gigabytes=4)
    require(lab, volumes=2, gigabytes=5, volume_type="fast")
    require(lab, volumes=3, gigabytes=6, volume_type="__DEFAULT__")
    for wanted, name in (({"volumes": 3}, "volumes_fast"), ({"gigabytes": 6}, "gigabytes_fast")):
        with pytest.raises(OverQuota, match=name):
            require(lab, volume_type="fast", **wanted)
    with pytest.raises(OverQuota) as caught:
        require(lab, per_volume_gigabytes=5)
    assert caught.value.message == "Requested volume size 5G is larger than maximum allowed limit 4G."


def test_limits(lab, admin, demo):
    add_volume(lab, make(admin)["id"], size_gib=7)
    assert demo.get("/volume/v3/limits").json() == {"limits": {"rate": [], "absolute": {
        "maxTotalVolumes": 10, "maxTotalSnapshots": 10, "maxTotalVolumeGigabytes": 1000, "maxTotalBackups": 10,
        "maxTotalBackupGigabytes": 1000, "totalVolumesUsed": 1, "totalGigabytesUsed": 7, "totalSnapshotsUsed": 0,
        "totalBackupsUsed": 0, "totalBackupGigabytesUsed": 0,
    }}}  # fmt: skip
    other = lambda client, version: client.get(  # noqa: E731
        f"/volume/v3/limits?project_id={BLUE}", headers={"OpenStack-API-Version": f"volume {version}"}
    ).json()["limits"]["absolute"]["totalVolumesUsed"]
    assert other(admin, "3.39") == 1
    assert other(admin, "3.38") == 0
    assert other(lab.client("other"), "3.39") == 0


def test_zones_and_extensions(demo, lab):
    zones = demo.get("/volume/v3/os-availability-zone").json()
    assert zones == {"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}}]}
    found = demo.get("/volume/v3/extensions").json()["extensions"]
    assert {"Hosts", "Quotas", "Backups"} <= {each["name"] for each in found}
    assert demo.get("/volume/v3/extensions/os-quota-sets").json()["extension"]["name"] == "Quotas"
    assert demo.get("/volume/v3/extensions/odd").status_code == 404
