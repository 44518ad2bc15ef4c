"""Image records over HTTP: making, showing, listing, changing, deleting."""

import pytest

from pileus.kernel import ids

from .conftest import PATCH

V21 = PATCH
V20 = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
AT = "/image/v2/images"


def test_a_new_image_has_the_defaults_of_glance(lab):
    answer = lab.client("demo").post(AT, json={})
    image = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"].endswith(f"/v2/images/{image['id']}")
    assert answer.headers["openstack-image-import-methods"] == "glance-direct,web-download,glance-download,copy-image"
    nothing = ("name", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "disk_format", "container_format")
    assert all(image[key] is None for key in nothing)
    assert (image["status"], image["visibility"], image["min_disk"], image["min_ram"]) == ("queued", "shared", 0, 0)
    assert (image["protected"], image["os_hidden"], image["tags"]) == (False, False, [])
    assert image["owner"] == "b" * 32
    assert image["self"] == f"/v2/images/{image['id']}"
    assert image["file"] == image["self"] + "/file"
    assert image["schema"] == "/v2/schemas/image"
    assert image["created_at"] == image["updated_at"] == "2023-11-14T22:13:20Z"
    assert "locations" not in image
    assert "stores" not in image


def test_everything_given_is_kept(lab):
    body = {
        "id": "0f0f0f0f-1111-4222-8333-444455556666", "name": "näme", "disk_format": "qcow2", "container_format": "bare",
        "min_disk": 1, "min_ram": 64, "protected": True, "os_hidden": True, "visibility": "private", "tags": ["b", "a", "b"],
        "hw_disk_bus": "scsi", "os_distro": "debian",
    }  # fmt: skip
    made = lab.client("demo").post(AT, json=body).json()
    assert {key: made[key] for key in body} == {**body, "tags": ["a", "b"]}
    assert lab.client("demo").get(f"{AT}/{body['id']}").json() == made
    assert lab.client("demo").post(AT, json={"id": body["id"]}).status_code == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": "no-uuid"}, 400), ({"name": "x" * 256}, 400), ({"name": 5}, 400), ({"visibility": "secret"}, 400),
        ({"visibility": None}, 400), ({"disk_format": "exe"}, 400), ({"container_format": "box"}, 400), ({"min_disk": -1}, 400),
        ({"min_ram": "lots"}, 400), ({"min_disk": 2**31}, 400), ({"protected": "yes"}, 400), ({"tags": "a"}, 400),
        ({"tags": [1]}, 400),
        ({"tags": ["x" * 256]}, 400), ({"colour": 5}, 400), ({"colour": None}, 400), ({"x" * 256: "v"}, 400), ({"": "v"}, 400),
        ([], 400), ("text", 400), ({"size": 1}, 403), ({"status": "active"}, 403), ({"checksum": "x"}, 403),
        ({"created_at": "x"}, 403),
        ({"self": "x"}, 403), ({"file": "x"}, 403), ({"direct_url": "x"}, 403), ({"stores": "x"}, 403), ({"deleted": "x"}, 403),
        ({"location": "x"}, 403), ({"locations": []}, 403), ({"os_glance_x": "y"}, 403), ({"owner": "c" * 32}, 403),
        ({"visibility": "public"}, 403), ({"tags": [str(n) for n in range(129)]}, 413), ({f"p{n}": "v" for n in range(129)}, 413),
    ],
)  # fmt: skip
def test_what_may_not_be_said_of_a_new_image(lab, body, status):
    answer = lab.client("demo").post(AT, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert lab.client("admin").get(AT).json()["images"] == []


def test_malformed_json(lab):
    assert lab.client("demo").post(AT, content=b"{").status_code == 400
    assert lab.client("demo").post(AT).status_code == 400


def test_who_may_make_which_images(lab):
    assert lab.client("reader").post(AT, json={}).status_code == 403
    assert lab.client("nobody").post(AT, json={}).status_code == 403
    assert lab.anonymous.post(AT, json={}).status_code == 401
    assert lab.client("admin").post(AT, json={"visibility": "public"}).status_code == 201
    assert lab.client("admin").post(AT, json={"owner": "c" * 32}).json()["owner"] == "c" * 32
    assert lab.client("demo").post(AT, json={"visibility": "community"}).status_code == 201


def test_who_sees_what(lab, make):
    seen = {kind: make(visibility=kind)["id"] for kind in ("private", "shared", "community")}
    seen["public"] = make(persona="admin", visibility="public")["id"]

    def names(persona: str, query: str = "") -> set[str]:
        listed = {image["id"] for image in lab.client(persona).get(f"{AT}?{query}").json()["images"]}
        return {kind for kind, image_id in seen.items() if image_id in listed}

    assert names("demo") == names("reader") == {"private", "shared", "community", "public"}
    assert names("other") == {"public"}
    assert names("other", "visibility=community") == {"community"}
    assert names("other", "visibility=all") == {"community", "public"}
    assert names("admin") == {"private", "shared", "public"}
    assert names("admin", "visibility=private") == {"private"}
    for kind, status in {"private": 404, "shared": 404, "community": 200, "public": 200}.items():
        assert lab.client("other").get(f"{AT}/{seen[kind]}").status_code == status
        assert lab.client("other").get(f"{AT}/{seen[kind]}/file").status_code == status
        assert lab.client("other").delete(f"{AT}/{seen[kind]}").status_code == (404 if status == 404 else 403)
        patched = lab.client("other").patch(f"{AT}/{seen[kind]}", json=[{"op": "add", "path": "/a", "value": "b"}], headers=V21)
        assert patched.status_code == (404 if status == 404 else 403)
    assert lab.client("nobody").get(AT).status_code == 403
    assert lab.client("system").get(AT).status_code == 403
    assert lab.client("admin").get(f"{AT}/{seen['private']}").status_code == 200
    assert lab.client("reader").delete(f"{AT}/{seen['private']}").status_code == 403


def test_filters(lab, make):
    big = make(b"x" * 2000, name="big", tags=["red", "round"], hw_disk_bus="scsi", min_ram=64)
    lab.clock.advance(100)
    small = make(b"x", name='a,"b"', tags=["red"], hw_disk_bus="virtio", protected=True)
    queued = make(None, name="later", disk_format="qcow2")
    make(None, name="hidden", os_hidden=True)
    ids_by = {big["id"]: "big", small["id"]: "small", queued["id"]: "queued"}

    def found(query: str) -> set[str]:
        answer = lab.client("demo").get(f"{AT}?{query}")
        assert answer.status_code == 200, answer.text
        return {ids_by.get(image["id"], "hidden") for image in answer.json()["images"]}

    assert found("") == {"big", "small", "queued"}
    assert found("os_hidden=true") == {"hidden"}
    assert found("name=big") == {"big"}
    assert found("name=in:big,later") == {"big", "queued"}
    assert found("status=active") == {"big", "small"}
    assert found("status=in:queued,saving") == {"queued"}
    assert found("size_min=2") == {"big"}
    assert found("size_max=1") == {"small"}
    assert found("size=2000") == {"big"}
    assert found("tag=red") == {"big", "small"}
    assert found("tag=red&tag=round") == {"big"}
    assert found("hw_disk_bus=scsi") == {"big"}
    assert found("hw_disk_bus=none") == set()
    assert found("protected=true") == {"small"}
    assert found("disk_format=qcow2") == {"queued"}
    assert found("container_format=in:bare,ova") == {"big", "small", "queued"}
    assert found(f"id=in:{big['id']},{small['id']}") == {"big", "small"}
    assert found(f"owner={'b' * 32}") == {"big", "small", "queued"}
    assert found(f"owner={'c' * 32}") == set()
    assert found(f"checksum={big['checksum']}") == {"big"}
    assert found(f"os_hash_value={small['os_hash_value']}") == {"small"}
    assert found("min_ram=64") == {"big"}
    assert found(f"created_at={big['created_at']}") == {"big"}
    assert found(f"created_at=gt:{big['created_at']}") == {"small", "queued"}
    assert found(f"created_at=gte:{big['created_at']}") == {"big", "small", "queued"}
    assert found(f"updated_at=lte:{big['updated_at']}") == {"big"}
    assert found(f"updated_at=lt:{big['updated_at']}") == set()
    assert found("nonsense=5") == set()


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1", "limit=x", "marker=nope", "sort_key=owner", "sort_dir=up", "sort=name:up", "sort=name&sort_key=name",
        "sort_key=name&sort_dir=asc&sort_dir=desc", "visibility=x", "member_status=x", "os_hidden=x", "protected=x", "size_min=x",
        "size=x", "name=gt:a", "created_at=x", "created_at=in:2020-01-01", "changes-since=2020-01-01", 'name=in:"a',
        f"size_min={2**70}",
    ],
)  # fmt: skip
def test_bad_queries(lab, query):
    assert lab.client("demo").get(f"{AT}?{query}").status_code == 400


def test_pages_and_order(lab, make):
    for number, name in enumerate(["b", "a", None, "a", "c"]):
        make(b"x" * number if number else None, name=name)
        lab.clock.advance(1)

    def walk(query: str, key: str) -> list:
        url, got = f"{AT}?limit=2&{query}", []
        for _ in range(10):
            page = lab.client("demo").get(url).json()
            got += [image[key] for image in page["images"]]
            if "next" not in page:
                break
            url = "/image" + page["next"]
        return got

    assert walk("sort=name:asc", "name") == [None, "a", "a", "b", "c"]
    assert walk("sort=name:desc,size:asc", "name") == ["c", "b", "a", "a", None]
    assert walk("sort_key=name&sort_key=size&sort_dir=asc", "size") == [2, 1, 3, None, 4]
    assert walk("sort_key=size&sort_dir=desc", "size") == [4, 3, 2, 1, None]
    assert walk("", "name") == ["c", "a", None, "a", "b"]
    assert walk("sort_dir=asc", "name") == ["b", "a", None, "a", "c"]
    first = lab.client("demo").get(f"{AT}?limit=2&name=a&marker=").status_code
    assert first == 400
    assert lab.client("demo").get(f"{AT}?limit=0").json()["images"] == []
    assert lab.client("demo").get(f"{AT}?limit=1&name=c").json()["first"] == "/v2/images?limit=1&name=c"


def patch(lab, image_id: str, *changes: dict, persona: str = "demo", headers: dict = V21):
    return lab.client(persona).patch(f"{AT}/{image_id}", json=list(changes), headers=headers)


def test_a_patch_changes_attributes_and_properties(lab, make):
    image = make(None, colour="red", shape="round")
    lab.clock.advance(10)
    answer = patch(
        lab, image["id"],
        {"op": "replace", "path": "/name", "value": "new"}, {"op": "replace", "path": "/tags", "value": ["t", "s"]},
        {"op": "add", "path": "/a~1b~0c", "value": "v"}, {"op": "replace", "path": "/colour", "value": "blue"},
        {"op": "remove", "path": "/shape"}, {"op": "replace", "path": "/visibility", "value": "private"},
        {"op": "replace", "path": "/min_ram", "value": 5}, {"op": "replace", "path": "/disk_format", "value": "qcow2"},
    )  # fmt: skip
    changed = answer.json()
    assert answer.status_code == 200
    assert (changed["name"], changed["tags"], changed["a/b~c"], changed["colour"]) == ("new", ["s", "t"], "v", "blue")
    assert (changed["visibility"], changed["min_ram"], changed["disk_format"]) == ("private", 5, "qcow2")
    assert "shape" not in changed
    assert changed["updated_at"] > image["updated_at"]
    assert lab.client("demo").get(f"{AT}/{image['id']}").json() == changed


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"op": "replace", "path": "/id", "value": "x"}, 403), ({"op": "replace", "path": "/status", "value": "active"}, 403),
        ({"op": "replace", "path": "/size", "value": 1}, 403), ({"op": "add", "path": "/os_hash_value", "value": "x"}, 403),
        ({"op": "add", "path": "/deleted", "value": "x"}, 403), ({"op": "add", "path": "/os_glance_x", "value": "x"}, 403),
        ({"op": "replace", "path": "/owner", "value": "x"}, 403),
        ({"op": "replace", "path": "/visibility", "value": "public"}, 403),
        ({"op": "remove", "path": "/name"}, 403), ({"op": "remove", "path": "/checksum"}, 403),
        ({"op": "replace", "path": "/locations", "value": []}, 403), ({"op": "remove", "path": "/nothing"}, 409),
        ({"op": "replace", "path": "/nothing", "value": "x"}, 409), ({"op": "add", "path": "/a/b", "value": "x"}, 400),
        ({"op": "add", "path": "a", "value": "x"}, 400), ({"op": "add", "path": "/", "value": "x"}, 400),
        ({"op": "add", "path": "/a//b", "value": "x"}, 400), ({"op": "add", "path": "/a/", "value": "x"}, 400),
        ({"op": "add", "path": "/a~2", "value": "x"}, 400), ({"op": "add", "path": 5, "value": "x"}, 400),
        ({"op": "add", "path": "/a"}, 400), ({"op": "move", "path": "/a"}, 400), ({"path": "/a", "value": "x"}, 400),
        ({"op": "add", "value": "x"}, 400), ({"op": "add", "path": "/a", "value": 5}, 400), ({"op": ["x"], "path": "/a"}, 400),
        ({"op": "replace", "path": "/min_disk", "value": -1}, 400), ({"op": "replace", "path": "/min_disk", "value": "x"}, 400),
        ({"op": "replace", "path": "/visibility", "value": "x"}, 400),
        ({"op": "replace", "path": "/name", "value": "x" * 256}, 400),
        ({"op": "replace", "path": "/tags", "value": "x"}, 400), ("text", 400),
        ({"op": "replace", "path": "/tags", "value": [str(n) for n in range(129)]}, 413),
    ],
)  # fmt: skip
def test_patches_that_are_refused_change_nothing(lab, make, change, status):
    image = make(None)
    assert patch(lab, image["id"], {"op": "replace", "path": "/name", "value": "half"}, change).status_code == status
    assert lab.client("demo").get(f"{AT}/{image['id']}").json() == image


def test_the_forms_of_a_patch(lab, make):
    image = make(None, colour="red")
    assert patch(lab, image["id"], headers={"Content-Type": "application/json"}).status_code == 415
    assert lab.client("demo").patch(f"{AT}/{image['id']}", json={}, headers=V21).status_code == 400
    assert patch(lab, image["id"]).status_code == 200
    assert patch(lab, image["id"], {"replace": "/name", "value": "old"}, headers=V20).json()["name"] == "old"
    assert patch(lab, image["id"], {"add": "/colour", "value": "x"}, headers=V20).status_code == 409
    assert patch(lab, image["id"], {"add": "/a", "remove": "/a", "value": "x"}, headers=V20).status_code == 400
    assert patch(lab, image["id"], {"value": "x"}, headers=V20).status_code == 400
    assert patch(lab, image["id"], {"add": "/size", "value": 1}, headers=V20).status_code == 403
    assert patch(lab, ids.uuid(), {"op": "add", "path": "/a", "value": "x"}).status_code == 404
    assert patch(lab, image["id"], {"op": "add", "path": "/a", "value": "x"}, persona="reader").status_code == 403
    done = patch(lab, image["id"], {"op": "replace", "path": "/owner", "value": "c" * 32}, persona="admin")
    assert done.json()["owner"] == "c" * 32


def test_formats_stay_once_there_is_content(lab, make):
    image = make()
    assert patch(lab, image["id"], {"op": "replace", "path": "/disk_format", "value": "qcow2"}).status_code == 403


def test_tags(lab, make):
    at = f"{AT}/{make(None)['id']}"
    client = lab.client("demo")
    assert client.put(f"{at}/tags/a%20b").status_code == 204
    assert client.put(f"{at}/tags/a%20b").status_code == 204
    assert client.get(at).json()["tags"] == ["a b"]
    assert client.put(f"{at}/tags/{'x' * 256}").status_code == 400
    assert lab.client("reader").put(f"{at}/tags/c").status_code == 403
    assert lab.client("other").put(f"{at}/tags/c").status_code == 404
    assert client.delete(f"{at}/tags/a%20b").status_code == 204
    assert client.delete(f"{at}/tags/a%20b").status_code == 404
    for number in range(128):
        client.put(f"{at}/tags/{number}")
    assert client.put(f"{at}/tags/more").status_code == 413


def test_delete(lab, make, files):
    image = make(protected=True)
    at, client = f"{AT}/{image['id']}", lab.client("demo")
    assert client.delete(at).status_code == 403
    patch(lab, image["id"], {"op": "replace", "path": "/protected", "value": False})
    assert files() == [image["id"]]
    assert client.delete(at).status_code == 204
    assert files() == []
    assert client.get(at).status_code == 404
    assert client.delete(at).status_code == 404
    assert client.get(f"{AT}/not-a-uuid").status_code == 404


def test_deactivate_and_reactivate(lab, make):
    image, queued = make(), make(None)
    at, client = f"{AT}/{image['id']}", lab.client("demo")
    assert client.post(f"{AT}/{queued['id']}/actions/deactivate").status_code == 403
    assert client.post(f"{at}/actions/deactivate").status_code == 204
    assert client.post(f"{at}/actions/deactivate").status_code == 204
    assert client.get(at).json()["status"] == "deactivated"
    assert client.get(f"{at}/file").status_code == 403
    assert lab.client("admin").get(f"{at}/file").status_code == 200
    assert lab.client("reader").post(f"{at}/actions/reactivate").status_code == 403
    assert client.post(f"{at}/actions/reactivate").status_code == 204
    assert client.get(f"{at}/file").content == b"data"


def test_an_image_without_an_id_is_not_found(lab):
    assert lab.client("demo").get("/image/v2/images/").status_code == 404
    assert lab.client("demo").delete("/image/v2/images/").status_code == 404
    assert lab.client("demo").get("/image/v2/images").status_code == 200


def test_who_asks_for_json_is_told_of_failures_in_json(lab):
    client = lab.client("demo")
    answer = client.get("/image/v2/images/nowhere", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"], answer.json()["title"]) == (404, "404 Not Found", "Not Found")
    assert "nowhere" in answer.json()["message"]
    assert client.get("/image/v2/images/nowhere").text.startswith("<html>")
