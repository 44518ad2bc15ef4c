"""Several stores: chosen by uploads and imports, copied to, deleted from; content elsewhere is brought here when it is used."""

import shutil
from pathlib import Path

import pytest

from pileus.image import stores
from pileus.image.backend import BackendError
from pileus.image.files import Workspace
from pileus.image.service import images
from pileus.image.stores import Stores, parse
from pileus.image.tasks.sweep import sweep
from pileus.kernel.errors import Conflict
from pileus.kernel.settings import SettingsError
from tests import engines
from tests.conftest import make_lab

from .conftest import OCTETS, md5, qcow2

AT = "/image/v2/images"
ALL = "file,fast=file,far=swift,web=http"
CONTENT = b"0123456789" * 30_000


class Broken:
    """A back end that takes nothing."""

    kind, read_only = "swift", False

    def url(self, image_id, token):
        return f"swift://x/{image_id}"

    def put(self, url, source):
        raise BackendError("it is broken")

    def local_path(self, url):
        return None

    def read(self, url, start=0, length=None):
        raise BackendError("it is broken")
        yield b""

    def size_bytes(self, url):
        return None

    def remove(self, url):
        raise BackendError("it is broken")

    def properties(self):
        return {}


@pytest.fixture
def lab(template_state, tmp_path):
    """A cloud of several stores."""
    shutil.copytree(template_state, tmp_path / "state")
    made = make_lab(tmp_path / "state", repeats=2, image_stores=ALL, image_cache_bytes_max=1_000_000)
    made.cloud.part(Workspace).prepare()
    yield made
    made.app.close()
    made.cloud.db.dispose()
    engines.drop(tmp_path / "state")


def show(lab, image, persona="demo"):
    return lab.client(persona).get(f"{AT}/{image['id']}").json()


def upload(lab, image, store, content=CONTENT):
    headers = {**OCTETS, "x-image-meta-store": store}
    return lab.client("demo").put(f"{AT}/{image['id']}/file", content=content, headers=headers)


def begin(lab, image, method="glance-direct", persona="demo", headers=None, **more):
    body = {"method": {"name": method}, **more}
    return lab.client(persona).post(f"{AT}/{image['id']}/import", json=body, headers=headers)


def stage(lab, image, content=CONTENT):
    assert lab.client("demo").put(f"{AT}/{image['id']}/stage", content=content, headers=OCTETS).status_code == 204


def break_store(lab, name):
    kept = stores.all_of(lab.cloud)
    changed = [stores.Store(s.id, s.kind, s.where, Broken()) if s.id == name else s for s in kept]
    lab.cloud.part(Stores).put(changed)


def far_names(lab):
    far = stores.find(lab.cloud, "far").backend
    return far._account.list("far", "")


def settle_failing(lab):
    """Let steps fail until they are given up."""
    for _ in range(8):
        lab.settle(60)


def test_stores_are_told(lab):
    found = lab.client("demo").get("/image/v2/info/stores").json()["stores"]
    assert [store["id"] for store in found] == ["file", "fast", "far", "web"]
    assert [store["id"] for store in found if store.get("default")] == ["file"]
    assert [store["id"] for store in found if store.get("read-only")] == ["web"]
    detail = lab.client("admin").get("/image/v2/info/stores/detail").json()["stores"]
    assert [store["type"] for store in detail] == ["file", "file", "swift", "http"]
    made = lab.client("demo").post(AT, json={})
    assert made.headers["openstack-image-store-ids"] == "file,fast,far,web"


@pytest.mark.parametrize("store", ["file", "fast", "far"])
def test_an_upload_goes_where_it_is_told(lab, make, store):
    image = make(None)
    assert upload(lab, image, store).status_code == 204
    shown = show(lab, image)
    assert (shown["status"], shown["stores"], shown["checksum"]) == ("active", store, md5(CONTENT))
    got = lab.client("demo").get(f"{AT}/{image['id']}/file")
    assert got.content == CONTENT
    assert got.headers["content-length"] == str(len(CONTENT))
    part = lab.client("demo").get(f"{AT}/{image['id']}/file", headers={"Range": "bytes=5-11"})
    assert (part.status_code, part.content) == (206, b"5678901")
    assert (far_names(lab) != []) == (store == "far")
    assert lab.client("demo").delete(f"{AT}/{image['id']}").status_code == 204
    lab.settle()
    assert far_names(lab) == []
    folder = Path(lab.cloud.settings.state_dir) / "images"
    assert [path for path in folder.rglob("*") if path.is_file() and image["id"] in path.name] == []


@pytest.mark.parametrize("store", ["none", "web"])
def test_a_store_that_takes_nothing_is_refused(lab, make, store):
    image = make(None)
    assert upload(lab, image, store).status_code == 400
    assert show(lab, image)["status"] == "queued"


def test_a_store_that_fails_leaves_the_image_queued(lab, make):
    break_store(lab, "far")
    image = make(None)
    assert upload(lab, image, "far").status_code == 503
    assert show(lab, image)["status"] == "queued"
    assert upload(lab, image, "file").status_code == 204


def test_an_import_into_all_stores(lab, make):
    image = make(None, disk_format="qcow2")
    stage(lab, image, qcow2())
    assert begin(lab, image, all_stores=True).status_code == 202
    assert show(lab, image)["os_glance_importing_to_stores"] == "file,fast,far"
    lab.settle()
    shown = show(lab, image)
    assert (shown["status"], shown["stores"], shown["virtual_size"]) == ("active", "file,fast,far", 1 << 30)
    assert (shown["os_glance_importing_to_stores"], shown["os_glance_failed_import"]) == ("", "")
    assert "os_glance_import_task" not in shown
    for name in ("file", "fast", "far"):
        got = lab.client("demo").get(f"{AT}/{image['id']}/file?prefer={name}")
        assert got.content == qcow2()
    assert lab.client("demo").get(f"{AT}/{image['id']}/file?prefer=none").status_code == 400


def test_an_import_into_some_stores(lab, make):
    image = make(None)
    stage(lab, image)
    assert begin(lab, image, stores=["far", "fast"]).status_code == 202
    lab.settle()
    assert show(lab, image)["stores"] == "far,fast"
    other = make(None)
    stage(lab, other)
    assert begin(lab, other, headers={"x-image-meta-store": "fast"}).status_code == 202
    lab.settle()
    assert show(lab, other)["stores"] == "fast"


@pytest.mark.parametrize(
    ("more", "headers", "status"),
    [
        ({"all_stores": True, "stores": ["file"]}, {}, 400), ({"all_stores": True}, {"x-image-meta-store": "file"}, 400),
        ({"stores": ["file"]}, {"x-image-meta-store": "file"}, 400), ({"stores": ["none"]}, {}, 409),
        ({"stores": ["web"]}, {}, 409), ({"all_stores": "yes"}, {}, 400), ({"stores": "file"}, {}, 400),
    ],
)  # fmt: skip
def test_choices_of_stores_that_are_none(lab, make, more, headers, status):
    image = make(None)
    stage(lab, image)
    assert begin(lab, image, headers=headers, **more).status_code == status
    assert show(lab, image)["status"] == "uploading"


def test_one_store_that_fails_undoes_the_import(lab, make):
    break_store(lab, "far")
    image = make(None)
    stage(lab, image)
    assert begin(lab, image, all_stores=True).status_code == 202
    settle_failing(lab)
    shown = show(lab, image)
    assert (shown["status"], shown.get("stores"), shown["size"]) == ("queued", None, None)
    assert shown["os_glance_failed_import"] == "file,fast,far"
    task = lab.client("demo").get(f"{AT}/{image['id']}/tasks").json()["tasks"][0]
    assert (task["status"], "broken" in task["message"]) == ("failure", True)
    sweep(lab.cloud)
    folder = Path(lab.cloud.settings.state_dir) / "images"
    assert [path for path in folder.rglob("*") if path.is_file() and image["id"] in path.name] == []


def test_one_store_that_fails_may_be_done_without(lab, make):
    break_store(lab, "fast")
    image = make(None)
    stage(lab, image)
    assert begin(lab, image, all_stores=True, all_stores_must_succeed=False).status_code == 202
    settle_failing(lab)
    shown = show(lab, image)
    assert (shown["status"], shown["stores"], shown["os_glance_failed_import"]) == ("active", "file,far", "fast")
    assert lab.client("demo").get(f"{AT}/{image['id']}/file").content == CONTENT


def test_copying_to_other_stores(lab, make):
    image = make(CONTENT)
    assert begin(lab, image, "copy-image", stores=["far"]).status_code == 403
    admin = {"persona": "admin"}
    assert begin(lab, make(None), "copy-image", stores=["far"], **admin).status_code == 409
    assert begin(lab, image, "copy-image", stores=["file"], **admin).status_code == 400
    assert begin(lab, image, "copy-image", all_stores=True, all_stores_must_succeed=False, **admin).status_code == 202
    assert begin(lab, image, "copy-image", stores=["far"], **admin).status_code == 409
    assert show(lab, image)["status"] == "active"
    lab.settle()
    shown = show(lab, image)
    assert (shown["status"], shown["stores"], shown["os_glance_importing_to_stores"]) == ("active", "file,fast,far", "")
    assert begin(lab, image, "copy-image", all_stores=True, **admin).status_code == 202
    lab.settle()
    assert show(lab, image)["stores"] == "file,fast,far"


def test_a_copy_that_fails_leaves_the_image_as_it_was(lab, make):
    break_store(lab, "far")
    image = make(CONTENT)
    assert begin(lab, image, "copy-image", persona="admin", stores=["fast", "far"]).status_code == 202
    settle_failing(lab)
    shown = show(lab, image)
    assert (shown["status"], shown["stores"]) == ("active", "file")
    assert shown["os_glance_failed_import"] == "fast,far"
    assert lab.client("demo").get(f"{AT}/{image['id']}/file").content == CONTENT


def test_deleting_from_one_store(lab, make):
    image = make(CONTENT)
    admin = lab.client("admin")
    assert admin.delete(f"/image/v2/stores/file/{image['id']}").status_code == 403  # it is the only one
    begin(lab, image, "copy-image", persona="admin", stores=["far"])
    lab.settle()
    assert admin.delete(f"/image/v2/stores/none/{image['id']}").status_code == 409
    assert admin.delete(f"/image/v2/stores/fast/{image['id']}").status_code == 404
    assert lab.client("demo").delete(f"/image/v2/stores/file/{image['id']}").status_code == 403
    assert lab.client("other").delete(f"/image/v2/stores/file/{image['id']}").status_code == 404
    assert admin.delete(f"/image/v2/stores/file/{image['id']}").status_code == 204
    assert show(lab, image)["stores"] == "far"
    assert not (Path(lab.cloud.settings.state_dir) / "images" / image["id"]).exists()
    assert lab.client("demo").get(f"{AT}/{image['id']}/file").content == CONTENT


def test_content_elsewhere_is_brought_here_for_guests(lab, make):
    image = make(None, disk_format="qcow2")
    upload(lab, image, "far", qcow2(5 << 30))
    found = images.path(lab.cloud, image["id"])
    assert Path(found.path).read_bytes() == qcow2(5 << 30)
    assert (found.disk_format, found.virtual_size_bytes) == ("qcow2", 5 << 30)
    cached = lab.client("admin").get("/image/v2/cache").json()["cached_images"]
    assert [one["image_id"] for one in cached] == [image["id"]]


def test_what_is_elsewhere_is_not_believed(lab, make):
    image = make(None, disk_format="qcow2")
    upload(lab, image, "far", qcow2())
    far = stores.find(lab.cloud, "far").backend
    hostile = Path(lab.cloud.settings.state_dir) / "hostile"
    hostile.write_bytes(qcow2(backing="/etc/shadow"))
    far.put(f"swift://far/{far_names(lab)[0]}", hostile)
    with pytest.raises(Conflict):
        images.path(lab.cloud, image["id"])
    hostile.write_bytes(qcow2(7 << 30))
    far.put(f"swift://far/{far_names(lab)[0]}", hostile)
    with pytest.raises(Conflict, match="not what it was"):
        images.path(lab.cloud, image["id"])
    assert lab.client("admin").get("/image/v2/cache").json() == {"cached_images": [], "queued_images": []}


def test_the_cache_as_operators_steer_it(lab, make):
    image, admin = make(None), lab.client("admin")
    upload(lab, image, "far")
    assert lab.client("demo").get("/image/v2/cache").status_code == 403
    assert admin.put("/image/v2/cache/nothing").status_code == 404
    assert admin.put(f"/image/v2/cache/{make(None)['id']}").status_code == 400
    assert admin.put(f"/image/v2/cache/{image['id']}").status_code == 202
    assert admin.get("/image/v2/cache").json()["queued_images"] == [image["id"]]
    lab.settle()
    one = admin.get("/image/v2/cache").json()["cached_images"][0]
    assert (one["image_id"], one["hits"], one["size"]) == (image["id"], 0, len(CONTENT))
    assert lab.client("demo").get(f"{AT}/{image['id']}/file").content == CONTENT
    assert admin.get("/image/v2/cache").json()["cached_images"][0]["hits"] == 1
    assert admin.get(f"/image/v2/cache/nodes/{image['id']}").json() == {"cached_nodes": ["host1"]}
    assert admin.delete("/image/v2/cache", headers={"x-image-cache-clear-target": "invalid"}).status_code == 400
    assert admin.delete("/image/v2/cache", headers={"x-image-cache-clear-target": "queue"}).status_code == 204
    assert len(admin.get("/image/v2/cache").json()["cached_images"]) == 1
    assert admin.delete(f"/image/v2/cache/{image['id']}").status_code == 204
    assert admin.delete("/image/v2/cache/nothing").status_code == 404
    assert admin.get("/image/v2/cache").json() == {"cached_images": [], "queued_images": []}
    assert lab.cloud.part(Workspace).list_cached() == []


def test_what_a_store_has_here_is_cached_too_when_asked_for(lab, make):
    image, admin = make(CONTENT), lab.client("admin")
    admin.put(f"/image/v2/cache/{image['id']}")
    lab.settle()
    assert lab.cloud.part(Workspace).list_cached() == [image["id"]]
    assert admin.delete("/image/v2/cache").status_code == 204
    assert lab.cloud.part(Workspace).list_cached() == []
    assert lab.client("demo").get(f"{AT}/{image['id']}/file").content == CONTENT


def test_reading_caches_and_the_cache_stays_small(lab, make):
    made = []
    for _ in range(4):  # 300 kB each, of which three are kept
        image = make(None)
        upload(lab, image, "far")
        lab.client("demo").get(f"{AT}/{image['id']}/file")
        lab.settle(10)
        made.append(image["id"])
    assert lab.cloud.part(Workspace).list_cached() == sorted(made)
    told = lab.client("admin").post("/image/v2/cache/prune")
    assert told.json() == {"total_files_pruned": 1, "total_bytes_pruned": len(CONTENT)}
    assert lab.cloud.part(Workspace).list_cached() == sorted(made[1:])
    lab.cloud.part(Workspace).cached_path(made[1]).unlink()
    assert lab.client("admin").post("/image/v2/cache/clean").status_code == 200
    known = [one["image_id"] for one in lab.client("admin").get("/image/v2/cache").json()["cached_images"]]
    assert sorted(known) == sorted(made[2:])


def test_a_store_that_is_gone_from_the_settings(lab, make):
    image = make(None)
    upload(lab, image, "far")
    lab.cloud.part(Stores).put([one for one in stores.all_of(lab.cloud) if one.id != "far"])
    assert lab.client("demo").get(f"{AT}/{image['id']}/file").status_code == 503
    assert lab.client("demo").delete(f"{AT}/{image['id']}").status_code == 204


def test_images_of_a_cloud_that_had_one_store(lab, make):
    from pileus.image import store
    from pileus.image.bundle import BUNDLE

    image = make(CONTENT)
    with lab.cloud.db.begin() as tx:
        store.set_locations(tx, image["id"], [])
    assert lab.client("demo").get(f"{AT}/{image['id']}/file").status_code == 503
    BUNDLE.bootstrap(lab.cloud)
    assert show(lab, image)["stores"] == "file"
    assert lab.client("demo").get(f"{AT}/{image['id']}/file").content == CONTENT


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("file", [("file", "file", "")]),
        ("a=file, b=file:/srv/b,", [("a", "file", ""), ("b", "file", "/srv/b")]),
        ("swift", [("swift", "swift", "")]),
        ("x=s3:https://k:s@h/b", [("x", "s3", "https://k:s@h/b")]),
    ],
)
def test_the_setting(text, found):
    assert parse(text) == found


@pytest.mark.parametrize("text", ["", "web=http", "a=tape", "file,file", "a b=file", "x=s3", "os_glance_x=file", "=file"])
def test_settings_that_are_none(text):
    with pytest.raises(SettingsError):
        parse(text)
