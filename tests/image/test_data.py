"""Content over HTTP: upload, download, ranges, staging and import, and content that is not what it is said to be."""

import asyncio
import gzip
import hashlib
import threading

import pytest

from pileus.image.service import data
from pileus.kernel import ids

from .conftest import OCTETS, iso, md5, qcow2, vmdk

AT = "/image/v2/images"


def test_an_upload_makes_the_image_active(lab, make, files):
    content = b"0123456789" * 300_000
    image = make(content)
    assert (image["status"], image["size"], image["virtual_size"]) == ("active", len(content), len(content))
    assert image["checksum"] == md5(content)
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", hashlib.sha512(content).hexdigest())
    assert image["stores"] == "file"
    got = lab.client("reader").get(f"{AT}/{image['id']}/file")
    assert got.status_code == 403  # download_image asks for a member
    got = lab.client("demo").get(f"{AT}/{image['id']}/file")
    assert (got.status_code, got.content) == (200, content)
    assert got.headers["content-md5"] == md5(content)
    assert got.headers["content-length"] == str(len(content))
    assert got.headers["content-type"] == "application/octet-stream"
    assert files() == [image["id"]]


def test_uploads_that_are_refused(lab, make):
    client, image = lab.client("demo"), make(None)
    at = f"{AT}/{image['id']}/file"
    assert client.put(at, content=b"x").status_code == 415
    assert client.put(at, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.put(at, content=b"x", headers={**OCTETS, "x-openstack-image-size": "lots"}).status_code == 400
    assert lab.client("reader").put(at, content=b"x", headers=OCTETS).status_code == 403
    assert lab.client("other").put(at, content=b"x", headers=OCTETS).status_code == 404
    assert lab.anonymous.put(at, content=b"x", headers=OCTETS).status_code == 401
    assert client.put(f"{AT}/{ids.uuid()}/file", content=b"x", headers=OCTETS).status_code == 404
    assert client.put(f"{AT}/..%2F..%2Fetc/file", content=b"x", headers=OCTETS).status_code == 404
    bare = client.post(AT, json={"disk_format": "raw"}).json()["id"]
    answer = client.put(f"{AT}/{bare}/file", content=b"x", headers=OCTETS)
    assert answer.status_code == 400
    assert "Property container_format must be set" in answer.text
    assert client.put(at, content=b"x", headers=OCTETS).status_code == 204
    assert client.put(at, content=b"x", headers=OCTETS).status_code == 409
    assert client.get(at).content == b"x"


def test_an_empty_image(lab, make):
    image = make(b"")
    assert (image["status"], image["size"], image["checksum"]) == ("active", 0, md5(b""))
    assert lab.client("demo").get(f"{AT}/{image['id']}/file").content == b""


def test_an_image_without_content_has_nothing_to_download(lab, make):
    answer = lab.client("demo").get(f"{AT}/{make(None)['id']}/file")
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-4", 0, 5),
        ("bytes=5-", 5, 20),
        ("bytes=-3", 17, 20),
        ("bytes=0-999", 0, 20),
        ("bytes=19-19", 19, 20),
        ("bytes=-99", 0, 20),
    ],
)
def test_ranges(lab, make, wanted, start, end):
    content = b"abcdefghijklmnopqrst"
    at = f"{AT}/{make(content)['id']}/file"
    answer = lab.client("demo").get(at, headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (206, content[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/20"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("wanted", ["bytes=20-", "bytes=5-4", "bytes=-0", "bytes=-", "lines=1-2", "bytes=1-2,5-6", "bytes=x-y"])
def test_ranges_outside(lab, make, wanted):
    at = f"{AT}/{make(b'abcdefghijklmnopqrst')['id']}/file"
    answer = lab.client("demo").get(at, headers={"Range": wanted})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */20"


def test_the_range_form_of_old_clients(lab, make):
    at = f"{AT}/{make(b'abcdefghij')['id']}/file"
    assert lab.client("demo").get(at, headers={"Content-Range": "bytes 2-4/10"}).content == b"cde"
    assert lab.client("demo").get(at, headers={"Content-Range": "bytes 2-14/10"}).status_code == 416


@pytest.mark.parametrize(
    ("disk_format", "content", "virtual_size"),
    [
        ("qcow2", qcow2(5 << 30), 5 << 30), ("vmdk", vmdk(), 20480 * 512), ("iso", iso(), 40 * 2048), ("raw", b"\0" * 2048, 2048),
        ("raw", iso(), 40 * 2048), ("ami", b"kernel", None), ("aki", b"kernel", None),
    ],
)  # fmt: skip
def test_formats_that_are_what_they_say(lab, make, disk_format, content, virtual_size):
    image = make(content, disk_format=disk_format)
    assert (image["status"], image["virtual_size"]) == ("active", virtual_size)


@pytest.mark.parametrize(
    ("disk_format", "content"),
    [
        ("qcow2", b"not a qcow2"), ("qcow2", b""), ("qcow2", vmdk()), ("raw", qcow2()), ("raw", vmdk()),
        ("vmdk", b"text" * 999), ("iso", qcow2()),
        ("vhd", qcow2()), ("vdi", b"\0" * 4096), ("ami", qcow2()), ("iso", b"x" * 99999), ("qcow2", qcow2(backing="/etc/shadow")),
        ("qcow2", qcow2(data_file=True)), ("qcow2", qcow2(unknown_feature=True)),
        ("vmdk", vmdk('RW 20480 FLAT "/etc/shadow" 0', "monolithicFlat")), ("vmdk", vmdk('RW 20480 SPARSE "/etc/shadow"')),
        ("raw", qcow2(backing="/etc/shadow")),
    ],
)  # fmt: skip
def test_content_that_is_refused_leaves_nothing(lab, make, files, disk_format, content):
    image = make(None, disk_format=disk_format)
    client = lab.client("demo")
    answer = client.put(f"{AT}/{image['id']}/file", content=content, headers=OCTETS)
    assert answer.status_code == 415, answer.text
    assert files() == []
    now = client.get(f"{AT}/{image['id']}").json()
    assert {key: now[key] for key in ("status", "size", "checksum")} == {"status": "queued", "size": None, "checksum": None}


def test_what_is_in_a_container_is_not_looked_at(make):
    assert make(gzip.compress(b"x"), disk_format="qcow2", container_format="compressed")["status"] == "active"


def test_too_large(template_state, tmp_path, monkeypatch):
    import shutil

    from tests.conftest import make_lab

    shutil.copytree(template_state, tmp_path / "state")
    lab = make_lab(tmp_path / "state", image_bytes_max=3_000_000)
    client = lab.client("demo")
    image_id = client.post(AT, json={"disk_format": "raw", "container_format": "bare"}).json()["id"]
    at = f"{AT}/{image_id}"
    assert client.put(f"{at}/file", content=b"x" * 3_000_001, headers=OCTETS).status_code == 413
    assert client.put(f"{at}/file", content=(b"x" * 1_000_000 for _ in range(5)), headers=OCTETS).status_code == 413
    assert client.get(at).json()["status"] == "queued"
    assert [path for path in (tmp_path / "state" / "images").rglob("*") if path.is_file()] == []
    assert client.put(f"{at}/file", content=b"x" * 3_000_000, headers=OCTETS).status_code == 204
    lab.app.close()
    lab.cloud.db.dispose()


def test_of_two_uploads_at_once_one_is_refused(lab, make):
    image = make(None)
    # The test client reads a whole body before it calls the application, so the first upload is driven from here.
    upload = data.begin_upload(lab.ctx("demo"), image["id"], None)
    upload.sink.take([b"a" * 10])
    client = lab.client("demo")
    assert client.get(f"{AT}/{image['id']}").json()["status"] == "saving"
    assert client.put(f"{AT}/{image['id']}/file", content=b"c", headers=OCTETS).status_code == 409
    assert client.get(f"{AT}/{image['id']}/file").status_code == 204
    upload.sink.take([b"b" * 10])
    data.end_upload(upload)
    assert client.get(f"{AT}/{image['id']}/file").content == b"a" * 10 + b"b" * 10


def test_many_at_once_and_one_wins(lab, make, files):
    image = make(None)
    codes: list[int] = []

    def put(letter: bytes) -> None:
        codes.append(lab.client("demo").put(f"{AT}/{image['id']}/file", content=letter * 2_000_000, headers=OCTETS).status_code)

    threads = [threading.Thread(target=put, args=(letter,)) for letter in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [204, 409, 409, 409]
    assert files() == [image["id"]]
    content = lab.client("demo").get(f"{AT}/{image['id']}/file").content
    assert md5(content) == lab.client("demo").get(f"{AT}/{image['id']}").json()["checksum"]


def test_deleting_during_an_upload(lab, make, files):
    image = make(None)
    upload = data.begin_upload(lab.ctx("demo"), image["id"], None)
    upload.sink.take([b"a" * 10])
    assert lab.client("demo").delete(f"{AT}/{image['id']}").status_code == 204
    with pytest.raises(data.Gone):
        data.end_upload(upload)
    assert files() == []


def test_deleting_during_a_download(lab, make):
    image = make(b"x" * 100_000)
    path = data.open_download(lab.ctx("demo"), image["id"]).path
    with open(path, "rb") as reading:
        assert lab.client("demo").delete(f"{AT}/{image['id']}").status_code == 204
        assert reading.read() == b"x" * 100_000


def test_a_client_that_goes_away(lab, make, files):
    image = make(None)
    messages = [
        {"type": "http.request", "body": b"x" * 3_000_000, "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    token = lab.client("demo").headers["x-auth-token"].encode()
    scope = {
        "type": "http", "method": "PUT", "path": f"{AT}/{image['id']}/file", "query_string": b"", "scheme": "http",
        "headers": [(b"x-auth-token", token), (b"content-type", b"application/octet-stream")],
    }  # fmt: skip
    asyncio.run(lab.app(scope, receive, send))
    assert sent[0]["status"] == 400
    assert files() == []
    assert lab.client("demo").get(f"{AT}/{image['id']}").json()["status"] == "queued"


def test_stage_and_import(lab, make, files):
    client, image = lab.client("demo"), make(None, disk_format="qcow2")
    at = f"{AT}/{image['id']}"
    direct = {"method": {"name": "glance-direct"}}
    assert client.post(f"{at}/import", json=direct).status_code == 409
    assert client.put(f"{at}/stage", content=qcow2(), headers=OCTETS).status_code == 204
    assert client.get(at).json()["status"] == "uploading"
    assert client.get(at).json()["size"] == len(qcow2())
    assert client.put(f"{at}/stage", content=qcow2(), headers=OCTETS).status_code == 409
    assert client.put(f"{at}/file", content=qcow2(), headers=OCTETS).status_code == 409
    assert client.get(f"{at}/file").status_code == 204
    for body in ({}, {"method": {}}, {"method": {"name": "web-download", "uri": "http://localhost/"}}, [], {"method": "x"}):
        assert client.post(f"{at}/import", json=body).status_code == 400
    assert client.post(f"{at}/import", json={**direct, "stores": ["ceph"]}).status_code == 409
    assert lab.client("other").post(f"{at}/import", json=direct).status_code == 404
    assert lab.client("reader").post(f"{at}/import", json=direct).status_code == 403
    assert client.post(f"{at}/import", json=direct).status_code == 202
    assert client.post(f"{at}/import", json=direct).status_code == 409
    lab.settle()
    done = client.get(at).json()
    assert (done["status"], done["checksum"], done["virtual_size"]) == ("active", md5(qcow2()), 1 << 30)
    assert files() == [image["id"]]
    task = client.get(f"{at}/tasks").json()["tasks"][0]
    assert (task["status"], task["type"], task["image_id"]) == ("success", "api_image_import", image["id"])
    assert client.get("/image/v2/tasks").status_code == 403
    assert lab.client("admin").get("/image/v2/tasks").json()["tasks"][0]["id"] == task["id"]
    assert lab.client("admin").get(f"/image/v2/tasks/{task['id']}").json()["result"] == {"image_id": image["id"]}
    assert lab.client("admin").get(f"/image/v2/tasks/{ids.uuid()}").status_code == 404
    assert client.post(f"{at}/import", json=direct).status_code == 409


def test_an_import_of_hostile_content(lab, make, files):
    client, image = lab.client("demo"), make(None, disk_format="qcow2")
    at = f"{AT}/{image['id']}"
    client.put(f"{at}/stage", content=qcow2(backing="/etc/shadow"), headers=OCTETS)
    assert client.post(f"{at}/import", json={"method": {"name": "glance-direct"}}).status_code == 202
    lab.settle()
    now = client.get(at).json()
    assert (now["status"], now["size"], now["os_glance_failed_import"]) == ("queued", None, "file")
    assert "backing" in client.get(f"{at}/tasks").json()["tasks"][0]["message"]
    assert files() == []
    client.put(f"{at}/stage", content=qcow2(), headers=OCTETS)
    client.post(f"{at}/import", json={"method": {"name": "glance-direct"}})
    lab.settle()
    assert client.get(at).json()["status"] == "active"
    assert client.get(at).json()["os_glance_failed_import"] == ""


def test_deleting_what_is_staged(lab, make, files):
    client, image = lab.client("demo"), make(None)
    at = f"{AT}/{image['id']}"
    client.put(f"{at}/stage", content=b"x", headers=OCTETS)
    client.post(f"{at}/import", json={"method": {"name": "glance-direct"}})
    assert client.delete(at).status_code == 204
    lab.settle()
    assert files() == []
