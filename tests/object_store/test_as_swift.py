"""Corners that Swift's own functional tests ask for, each once wrong here."""

import hashlib
import hmac
import json

import pytest

from tests.object_store.conftest import ACCOUNT, OTHER_ACCOUNT


@pytest.fixture
def box(swift):
    swift("PUT", "/c")
    return swift


@pytest.fixture
def large(box):
    """A large object of three parts: 11, 2222 and 3."""
    for name, body in (("1", b"11"), ("2", b"2222"), ("3", b"3")):
        box("PUT", f"/c/s{name}", body)
    assert (
        box("PUT", "/c/slo?multipart-manifest=put", json.dumps([{"path": f"/c/s{n}"} for n in "123"]).encode()).status_code == 201
    )
    return box


def test_a_part_by_its_number(large):
    part = large("GET", "/c/slo?part-number=2")
    assert (part.status_code, part.content) == (206, b"2222")
    assert (part.headers["content-range"], part.headers["x-parts-count"]) == ("bytes 2-5/7", "3")
    head = large("HEAD", "/c/slo?part-number=3")
    assert (head.status_code, head.headers["content-length"]) == (206, "1")
    beyond = large("GET", "/c/slo?part-number=4")
    assert (beyond.status_code, beyond.headers["content-range"], beyond.headers["x-parts-count"]) == (416, "bytes */7", "3")
    assert large("GET", "/c/slo?part-number=0").status_code == 400
    assert large("GET", "/c/slo?part-number=1", Range="bytes=0-1").status_code == 400
    assert large("GET", "/c/s1?part-number=9").content == b"11"
    assert large("COPY", "/c/slo?part-number=2", Destination="c/p").status_code == 201
    assert large("GET", "/c/p").content == b"2222"


def test_a_manifest_is_copied_like_one_that_is_uploaded(large, shop):
    assert large("COPY", "/c/slo?multipart-manifest=get", Destination="c/again").status_code == 201
    assert large("GET", "/c/again").content == b"1122223"
    other = shop.client("other", OTHER_ACCOUNT)
    other("PUT", "/d", X_Container_Write="*:*")
    there = {"Destination": "d/slo", "Destination-Account": OTHER_ACCOUNT}
    assert large("COPY", "/c/slo?multipart-manifest=get", **there).status_code == 400


def test_segments_that_are_links(large):
    large("PUT", "/c/l1", b"", X_Symlink_Target="c/s2")
    large("PUT", "/c/l2", b"", X_Symlink_Target="c/l1")
    large("PUT", "/c/of-links?multipart-manifest=put", b'[{"path": "/c/l2"}, {"path": "/c/slo"}]')
    assert large("GET", "/c/of-links").content == b"22221122223"


def test_several_ranges_of_a_dynamic_large_object_are_all_of_it(large):
    large("PUT", "/c/dlo", b"", X_Object_Manifest="c/s")
    found = large("GET", "/c/dlo", Range="bytes=0-1,3-4")
    assert found.status_code == 200
    assert large("GET", "/c/dlo", Range="bytes=1-2").content == found.content[1:3]


def test_segments_in_a_versioned_container(box):
    box("PUT", "/v", X_Versions_Enabled="true")
    for name in "12":
        box("PUT", f"/v/s/{name}", b"old")
        box("PUT", f"/v/s/{name}", name.encode() * 2)
    box("PUT", "/v/dlo", b"", X_Object_Manifest="v/s/")
    assert box("GET", "/v/dlo").content == b"1122"


def test_versions_are_the_owners(box, shop):
    box("PUT", "/v", X_Versions_Enabled="true", X_Container_Read="*:*")
    version_id = box("PUT", "/v/o", b"x").headers["x-object-version-id"]
    other = shop.client("other", ACCOUNT)
    assert other("GET", "/v/o").content == b"x"
    assert other("GET", f"/v/o?version-id={version_id}").status_code == 403
    assert box("GET", f"/v/o?version-id={version_id}").content == b"x"
    assert box("GET", "/v?versions&format=plain").status_code == box("GET", "/v?versions", Accept="text/plain").status_code == 406


def test_a_large_version_is_deleted_with_its_segments(large):
    large("PUT", "/v", X_Versions_Enabled="true")
    version_id = large("PUT", "/v/slo?multipart-manifest=put", b'[{"path": "/c/s1"}]').headers["x-object-version-id"]
    large("PUT", "/v/slo", b"plain")
    answer = large("DELETE", f"/v/slo?multipart-manifest=delete&version-id={version_id}", Accept="application/json")
    assert (answer.json()["Number Deleted"], answer.json()["Response Status"]) == (2, "200 OK")
    assert large("GET", "/c/s1").status_code == 404
    assert large("GET", "/v/slo").content == b"plain"


def test_it_is_the_link_that_expires_not_the_version(box, shop):
    box("PUT", "/v", X_Versions_Enabled="true")
    version_id = box("PUT", "/v/o", b"x").headers["x-object-version-id"]
    assert box("POST", "/v/o", X_Delete_After="10", X_Object_Meta_A="b").status_code == 202
    shop.clock.advance(60)
    assert box("GET", "/v/o").status_code == 404
    found = box("GET", f"/v/o?version-id={version_id}")
    assert (found.content, found.headers["x-object-meta-a"]) == (b"x", "b")


def test_static_links_to_versions(box):
    box("PUT", "/v", X_Versions_Enabled="true")
    etag = box("PUT", "/v/o", b"x").headers["etag"]
    assert box("PUT", "/v/link", b"", X_Symlink_Target="v/o", X_Symlink_Target_Etag=etag).status_code == 201
    assert box("GET", "/v/link").content == b"x"
    box("PUT", "/v/o", b"y")
    assert box("GET", "/v/link").status_code == 409


def test_versions_count_for_the_quota(box):
    box("PUT", "/v", X_Versions_Enabled="true", X_Container_Meta_Quota_Bytes="10")
    assert [box("PUT", "/v/o", b"12345").status_code for _ in range(3)] == [201, 201, 413]


def test_history_that_becomes_a_stack(box):
    box("PUT", "/old")
    box("PUT", "/h", X_History_Location="old")
    for body in (b"1", b"2"):
        box("PUT", "/h/o", body)
    box("DELETE", "/h/o")
    box("POST", "/h", X_Versions_Location="old")
    box("DELETE", "/h/o")
    assert box("GET", "/h/o").content == b"2"
    assert box("HEAD", "/old").headers["x-container-object-count"] == "1"


def test_old_versions_are_named_by_bytes(box):
    box("PUT", "/old")
    box("PUT", "/h", X_Versions_Location="old")
    box("PUT", "/h/ü", b"1")
    box("PUT", "/h/ü", b"2")
    assert box("GET", "/old").text.startswith("002ü/")


def test_only_owners_set_access_lists(box, shop):
    box("POST", "/c", X_Container_Read="me")
    other = shop.client("other", ACCOUNT)
    acl = {"read-write": [other_id(shop)]}
    box("POST", "", X_Account_Access_Control=json.dumps(acl))
    assert other("POST", "/c", X_Container_Read="all", X_Container_Meta_A="b").status_code == 204
    found = box("HEAD", "/c")
    assert (found.headers["x-container-read"], found.headers["x-container-meta-a"]) == ("me", "b")


def other_id(shop):
    return shop.authenticate(shop.cloud, json.dumps({"persona": "other"}), None).user_id


def test_far_dates_of_expiry_are_the_farthest(box):
    assert box("PUT", "/c/o", b"", X_Delete_At="1" * 30).status_code == 201
    assert box("HEAD", "/c/o").headers["x-delete-at"] == "9999999999"


def test_a_temporary_url_of_a_prefix_shows_a_site_and_lists_nothing_else(box, shop):
    box("POST", "/c", X_Container_Meta_Temp_Url_Key="k")
    box("PUT", "/c/dir/o", b"x")
    expires = int(shop.clock.now()) + 100
    sign = hmac.new(b"k", f"GET\n{expires}\nprefix:/v1/{ACCOUNT}/c/".encode(), hashlib.sha256).hexdigest()
    query = f"temp_url_prefix=&temp_url_expires={expires}&temp_url_sig={sign}"
    nobody = shop.client(None)
    assert nobody("GET", f"/c?{query}").status_code == 401
    box("POST", "/c", X_Container_Meta_Web_Listings="true")
    page = nobody("GET", f"/c/?{query}")
    assert page.status_code == 200
    assert f'<a href="./dir/?{query.replace("&", "&amp;")}">' in page.text
    assert nobody("GET", f"/c/dir/?{query}").status_code == 200


def test_where_a_link_leads_is_told_though_it_cannot_be_read(box, shop):
    other = shop.client("other", OTHER_ACCOUNT)
    other("PUT", "/d")
    other("PUT", "/d/link", b"", X_Symlink_Target="c/o", X_Symlink_Target_Account=ACCOUNT)
    box("PUT", "/c/o", b"x")
    refused = other("GET", "/d/link")
    assert (refused.status_code, refused.headers["content-location"]) == (403, f"/v1/{ACCOUNT}/c/o")
    box("POST", "/c", X_Container_Read="*:*")
    assert other("GET", "/d/link", If_Match="x").headers["content-location"] == f"/v1/{ACCOUNT}/c/o"
