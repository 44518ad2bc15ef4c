"""Versions of objects, in the newer way and the two older ones."""

import pytest

MARKER = "application/x-deleted;swift_versions_deleted=1"


@pytest.fixture
def box(swift):
    """A client whose container c keeps versions."""
    assert swift("PUT", "/c", X_Versions_Enabled="true").status_code == 201
    return swift


def put(box, body, **headers):
    answer = box("PUT", "/c/o", body, **headers)
    assert answer.status_code == 201
    return answer.headers["x-object-version-id"]


def versions(box, query=""):
    return [(row["name"], row["version_id"], row["is_latest"]) for row in box("GET", f"/c?versions&format=json{query}").json()]


def test_each_upload_is_kept(box):
    assert box("HEAD", "/c").headers["x-versions-enabled"] == "True"
    one, two = put(box, b"one", X_Object_Meta_A="1", Content_Type="text/x"), put(box, b"two!")
    answer = box("GET", "/c/o")
    assert (answer.content, answer.headers["x-object-version-id"]) == (b"two!", two)
    old = box("GET", f"/c/o?version-id={one}")
    assert (old.content, old.headers["x-object-meta-a"], old.headers["content-type"]) == (b"one", "1", "text/x")
    assert old.headers["x-object-version-id"] == one
    assert box("HEAD", f"/c/o?version-id={one}").headers["content-length"] == "3"
    assert versions(box) == [("o", two, True), ("o", one, False)]
    row = box("GET", "/c?format=json").json()[0]
    assert (row["name"], row["bytes"], row["hash"]) == ("o", 4, answer.headers["etag"])
    assert box("HEAD", "/c").headers["x-container-bytes-used"] == "7"
    assert box("GET", "?format=json").json()[0]["name"] == "c"
    assert len(box("GET", "?format=json").json()) == 1


def test_deleting_leaves_a_marker(box):
    one = put(box, b"one")
    answer = box("DELETE", "/c/o")
    assert answer.status_code == 204
    gone = answer.headers["x-object-version-id"]
    assert box("GET", "/c/o").status_code == 404
    assert box("GET", "/c").status_code == 204
    rows = box("GET", "/c?versions&format=json").json()
    assert [(row["version_id"], row["is_latest"], row["content_type"] == MARKER) for row in rows] == [
        (gone, True, True),
        (one, False, False),
    ]
    hidden = box("GET", f"/c/o?version-id={gone}")
    assert (hidden.status_code, hidden.headers["x-object-version-id"]) == (404, gone)
    assert box("GET", f"/c/o?version-id={one}").content == b"one"
    assert box("DELETE", "/c/o").status_code == 404


def test_versions_are_brought_back_and_deleted(box):
    one, two = put(box, b"one"), put(box, b"two")
    assert box("PUT", f"/c/o?version-id={one}", b"").status_code == 201
    assert box("GET", "/c/o").content == b"one"
    assert versions(box) == [("o", two, False), ("o", one, True)]
    assert box("PUT", f"/c/o?version-id={one}", b"body").status_code == 400
    assert box("PUT", "/c/o?version-id=1.00000", b"").status_code == 404
    answer = box("DELETE", f"/c/o?version-id={two}")
    assert (answer.status_code, answer.headers["x-object-current-version-id"]) == (204, one)
    answer = box("DELETE", f"/c/o?version-id={one}")
    assert (answer.status_code, answer.headers["x-object-current-version-id"]) == (204, "null")
    assert box("GET", "/c/o").status_code == 404
    assert versions(box) == []
    assert box("DELETE", f"/c/o?version-id={one}").status_code == 404


def test_ids_that_are_none(box):
    put(box, b"one")
    assert box("GET", "/c/o?version-id=nonsense").status_code == 400
    assert box("POST", "/c/o?version-id=1.00000").status_code == 400
    assert box("GET", "/c/o?version-id=null").status_code == 404
    box("PUT", "/plain")
    box("PUT", "/plain/o", b"x")
    assert box("GET", "/plain/o?version-id=1.00000").status_code == 400
    assert box("GET", "/plain/o?version-id=null").content == b"x"


def test_objects_from_before_are_kept(swift):
    swift("PUT", "/c")
    swift("PUT", "/c/o", b"zero", X_Object_Meta_A="0")
    assert swift("POST", "/c", X_Versions_Enabled="true").status_code == 204
    assert versions(swift) == [("o", "null", True)]
    assert swift("GET", "/c/o?version-id=null").content == b"zero"
    one = put(swift, b"one")
    listed = versions(swift)
    assert [latest for _, _, latest in listed] == [True, False]
    assert listed[0][1] == one
    old = swift("GET", f"/c/o?version-id={listed[1][1]}")
    assert (old.content, old.headers["x-object-meta-a"]) == (b"zero", "0")


def test_when_it_is_turned_off(box):
    one = put(box, b"one")
    assert box("POST", "/c", X_Versions_Enabled="false").status_code == 204
    assert box("HEAD", "/c").headers["x-versions-enabled"] == "False"
    answer = box("PUT", "/c/o", b"two")
    assert "x-object-version-id" not in answer.headers
    assert box("GET", "/c/o").headers["x-object-version-id"] == "null"
    assert versions(box) == [("o", "null", True), ("o", one, False)]
    assert box("DELETE", "/c/o").status_code == 204
    assert box("DELETE", "/c").status_code == 409
    assert box("DELETE", f"/c/o?version-id={one}").status_code == 204
    assert box("DELETE", "/c").status_code == 204
    assert box("GET").status_code == 204


def test_post_changes_the_current_version(box):
    one = put(box, b"one")
    assert box("POST", "/c/o", X_Object_Meta_B="2").status_code == 202
    assert box("GET", "/c/o").headers["x-object-meta-b"] == "2"
    assert versions(box) == [("o", one, True)]


def test_copies_of_versions(box):
    one, _ = put(box, b"one"), put(box, b"two")
    box("PUT", "/d")
    assert box("COPY", f"/c/o?version-id={one}", Destination="d/copy").status_code == 201
    assert box("GET", "/d/copy").content == b"one"
    assert box("COPY", "/d/copy", Destination="c/o").headers["x-object-version-id"]
    assert box("GET", "/c/o").content == b"one"
    assert len(versions(box)) == 3


def test_listings_of_versions_come_in_pages(box):
    ids = []
    for name in ("a", "b"):
        for body in (b"1", b"2"):
            ids.append((name, box("PUT", f"/c/{name}", body).headers["x-object-version-id"]))
    whole = [(name, version) for name, version, _ in versions(box)]
    assert whole == [ids[1], ids[0], ids[3], ids[2]]
    assert [pair[:2] for pair in versions(box, "&limit=3")] == whole[:3]
    assert [pair[:2] for pair in versions(box, f"&marker=a&version_marker={ids[1][1]}")] == whole[1:]
    assert [pair[:2] for pair in versions(box, "&marker=a")] == whole[2:]
    assert [pair[:2] for pair in versions(box, "&prefix=b")] == whole[2:]


def test_large_objects_are_versioned(box):
    import json

    box("PUT", "/s")
    box("PUT", "/s/1", b"abc")
    body = json.dumps([{"path": "/s/1"}]).encode()
    assert box("PUT", "/c/o?multipart-manifest=put", body).headers["x-object-version-id"]
    assert box("GET", "/c/o").content == b"abc"
    assert box("GET", "/c?format=json").json()[0]["bytes"] == 3
    put(box, b"plain")
    older = versions(box)[1][1]
    assert box("GET", f"/c/o?version-id={older}").content == b"abc"


def test_the_ways_do_not_mix(swift):
    swift("PUT", "/c", X_Versions_Location="old")
    assert swift("POST", "/c", X_Versions_Enabled="true").status_code == 400
    swift("PUT", "/d", X_Versions_Enabled="true")
    assert swift("POST", "/d", X_Versions_Location="old").status_code == 400


def test_the_older_way_of_a_stack(swift):
    swift("PUT", "/old")
    swift("PUT", "/c", X_Versions_Location="old")
    assert swift("HEAD", "/c").headers["x-versions-location"] == "old"
    for body in (b"one", b"two", b"three"):
        assert swift("PUT", "/c/o", body).status_code == 201
    assert [row["name"].startswith("001o/") for row in swift("GET", "/old?format=json").json()] == [True, True]
    for body in (b"three", b"two", b"one"):
        assert swift("GET", "/c/o").content == body
        assert swift("DELETE", "/c/o").status_code == 204
    assert swift("GET", "/c/o").status_code == 404
    assert swift("GET", "/old").status_code == 204
    swift("POST", "/c", X_Remove_Versions_Location="x")
    assert "x-versions-location" not in swift("HEAD", "/c").headers


def test_the_older_way_of_history(swift):
    swift("PUT", "/old")
    swift("PUT", "/c", X_History_Location="old")
    swift("PUT", "/c/o", b"one")
    swift("PUT", "/c/o", b"two")
    assert swift("DELETE", "/c/o").status_code == 204
    assert swift("GET", "/c/o").status_code == 404
    rows = swift("GET", "/old?format=json").json()
    assert [row["content_type"] == MARKER for row in rows] == [False, False, True]
    assert swift("GET", f"/old/{rows[1]['name']}").content == b"two"


def test_the_older_way_without_its_container(swift):
    swift("PUT", "/c", X_Versions_Location="nowhere")
    swift("PUT", "/c/o", b"one")
    assert swift("PUT", "/c/o", b"two").status_code == 412
    assert swift("GET", "/c/o").content == b"one"
