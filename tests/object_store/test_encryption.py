"""Encryption at rest: callers see what they sent, devices see nothing of it, and only who has the secret reads it."""

import asyncio
import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from pileus.object_store.backend import ObjectName
from pileus.object_store.bundle import LOOPS
from pileus.object_store.ciphers import BodyKey, Secrets, Unreadable, read_secrets
from pileus.object_store.encryption import EncryptedPlacement
from pileus.object_store.indexes import Listing
from pileus.object_store.placement import Placement
from pileus.object_store.request import Refused
from pileus.object_store.storage.embedded import embedded_cluster
from tests.object_store.conftest import make_shop

ONE, TWO = base64.b64encode(b"1" * 32).decode(), base64.b64encode(b"2" * 40).decode()
WORD = b"the quick brown fox jumps over the lazy dog "
SIZES = (0, 1, 15, 16, 17, 65_536, 65_537, 300_001, 2_100_000)


def body_of(size):
    return (WORD * (size // len(WORD) + 1))[:size]


def open_shop(tmp_path, secrets, **settings):
    shop = make_shop(tmp_path, **settings)
    chosen = read_secrets(secrets)

    def placement(now):
        cluster = embedded_cluster(str(tmp_path / "objects"), now)
        return EncryptedPlacement(cluster, chosen) if chosen else Placement(cluster)

    shop.store._open = placement
    return shop


def close_shop(shop):
    shop.app.close()
    shop.store.placement.cluster.carrier.close()


@pytest.fixture
def shop(tmp_path):
    made = open_shop(tmp_path, f"a:{ONE}")
    yield made
    close_shop(made)


@pytest.fixture
def box(shop):
    swift = shop.client()
    swift("PUT", "/c")
    return swift


def everything_on_disk(folder):
    found = b""
    for path in folder.rglob("*"):
        if path.is_file():
            found += path.read_bytes()
            try:
                found += os.getxattr(path, "user.pileus.record")
            except OSError:
                continue
    return found


def test_bytes_of_all_sizes_and_ranges(box):
    for size in SIZES:
        body = body_of(size)
        put = box("PUT", f"/c/{size}", body, X_Object_Meta_Size=str(size))
        assert put.headers["etag"] == hashlib.md5(body).hexdigest()
        found = box("GET", f"/c/{size}")
        assert (found.content, found.headers["etag"]) == (body, put.headers["etag"])
        assert found.headers["x-object-meta-size"] == str(size)
        head = box("HEAD", f"/c/{size}")
        assert (head.headers["etag"], head.headers["content-length"]) == (put.headers["etag"], str(size))
        for first, last in ((0, 0), (1, 15), (16, 16), (7, 70_000), (size // 2, size)):
            if first < size:
                assert box("GET", f"/c/{size}", Range=f"bytes={first}-{last}").content == body[first : last + 1]
        if size > 20:
            assert body[-3:] in box("GET", f"/c/{size}", Range="bytes=1-5,-3").content
    listed = {row["name"]: (row["bytes"], row["hash"]) for row in box("GET", "/c?format=json").json()}
    assert listed == {str(size): (size, hashlib.md5(body_of(size)).hexdigest()) for size in SIZES}


def test_nothing_on_the_disk_can_be_read(box, shop, tmp_path):
    box("PUT", "/c/o", body_of(100), X_Object_Meta_Secret="attack at dawn")
    box("PUT", "/c/big", iter([body_of(700_000), body_of(9)]))
    box("POST", "/c/big", X_Object_Meta_More="retreat at dusk")
    box("GET", "/c")
    kept = everything_on_disk(tmp_path / "objects")
    for text in (b"quick brown", b"attack at dawn", b"retreat at dusk", hashlib.md5(body_of(100)).hexdigest().encode()):
        assert text not in kept


def test_conditions_go_by_what_was_sent(box):
    etag = box("PUT", "/c/o", b"hello").headers["etag"]
    assert box("GET", "/c/o", If_None_Match=etag).status_code == 304
    assert box("GET", "/c/o", If_Match=etag).status_code == 200
    assert box("GET", "/c/o", If_Match="x").status_code == 412
    assert box("PUT", "/c/p", b"hello", ETag="0" * 32).status_code == 422
    assert box("GET", "/c/p").status_code == 404
    assert box("PUT", "/c/p", b"hello", ETag=etag).status_code == 201
    assert box("PUT", "/c/p", b"hello", If_None_Match="*").status_code == 412


def test_metadata_are_replaced(box):
    box("PUT", "/c/o", b"x", X_Object_Meta_A="1", X_Object_Meta_B="2")
    head = box("HEAD", "/c/o")
    assert (head.headers["x-object-meta-a"], head.headers["x-object-meta-b"]) == ("1", "2")
    box("POST", "/c/o", X_Object_Meta_C="3")
    found = box("GET", "/c/o")
    assert (found.content, found.headers["x-object-meta-c"]) == (b"x", "3")
    assert "x-object-meta-a" not in found.headers


def test_copies_links_large_objects_and_versions(box):
    box("PUT", "/c/s/1", body_of(70_000), X_Object_Meta_A="1")
    box("PUT", "/c/s/2", b"tail")
    box("PUT", "/c/dlo", b"", X_Object_Manifest="c/s/")
    box("PUT", "/c/slo?multipart-manifest=put", json.dumps([{"path": "/c/s/1"}, {"path": "/c/s/2"}]).encode())
    whole = body_of(70_000) + b"tail"
    assert box("GET", "/c/dlo").content == box("GET", "/c/slo").content == whole
    assert box("GET", "/c/slo", Range="bytes=69999-70001").content == whole[69_999:70_002]
    slo = next(row for row in box("GET", "/c?format=json").json() if row["name"] == "slo")
    assert slo["slo_etag"] == box("HEAD", "/c/slo").headers["etag"]
    assert box("COPY", "/c/s/1", Destination="c/copy").status_code == 201
    copied = box("GET", "/c/copy")
    assert (copied.content, copied.headers["x-object-meta-a"]) == (body_of(70_000), "1")
    assert box("PUT", "/c/part", X_Copy_From="c/s/1", Range="bytes=5-9").status_code == 201
    assert box("GET", "/c/part").content == body_of(70_000)[5:10]
    box("PUT", "/c/link", b"", X_Symlink_Target="c/s/2")
    assert box("GET", "/c/link").content == b"tail"
    box("PUT", "/old")
    box("PUT", "/legacy", X_Versions_Location="old")
    box("PUT", "/new", X_Versions_Enabled="true")
    for place in ("/legacy/o", "/new/o"):
        first = box("PUT", place, b"first").headers.get("x-object-version-id")
        box("PUT", place, b"second")
        if first:
            assert box("GET", f"{place}?version-id={first}").content == b"first"
    box("DELETE", "/legacy/o")
    assert box("GET", "/legacy/o").content == b"first"
    assert {row["hash"] for row in box("GET", "/new?versions&format=json").json()} == {
        hashlib.md5(text).hexdigest() for text in (b"first", b"second")
    }


def test_what_was_stored_plainly_is_read_and_secrets_are_changed(tmp_path):
    def put_and_read(secrets, name):
        shop = open_shop(tmp_path, secrets)
        swift = shop.client()
        swift("PUT", "/c")
        swift("PUT", f"/c/{name}", name.encode(), X_Object_Meta_Name=name)
        found = {}
        for row in ("plain", "one", "two"):
            answer = swift("GET", f"/c/{row}")
            if answer.status_code == 200:
                found[row] = (answer.content.decode(), answer.headers["x-object-meta-name"])
        names = swift("GET", "/c?format=json").json()
        close_shop(shop)
        return found, [row["hash"] for row in names]

    put_and_read("", "plain")
    put_and_read(f"a:{ONE}", "one")
    found, hashes = put_and_read(f"b:{TWO},a:{ONE}", "two")
    assert found == {name: (name, name) for name in ("plain", "one", "two")}
    assert sorted(hashes) == sorted(hashlib.md5(name.encode()).hexdigest() for name in found)


def test_without_its_secret_an_object_is_not_read(tmp_path):
    shop = open_shop(tmp_path, f"a:{ONE}")
    shop.client()("PUT", "/c")
    shop.client()("PUT", "/c/o", b"x")
    close_shop(shop)
    other = open_shop(tmp_path, f"a:{TWO}")
    swift = other.client()
    assert [swift(method, "/c/o").status_code for method in ("GET", "HEAD")] == [500, 500]
    assert swift("GET", "/c?format=json").status_code == 500
    assert swift("DELETE", "/c/o").status_code == 204
    close_shop(other)


def test_a_changed_body_is_found_by_the_auditor(box, shop, tmp_path):
    box("PUT", "/c/o", body_of(100_000))
    data = next((tmp_path / "objects").rglob("*.data"))
    with open(data, "r+b") as file:
        file.seek(50_000)
        file.write(b"!")
    for loop in LOOPS:
        loop.run(shop.cloud)
    assert box("GET", "/c/o").status_code == 404


def test_a_container_in_shards_is_listed(tmp_path):
    shop = open_shop(tmp_path, f"a:{ONE}", object_shard_threshold=4)
    swift = shop.client()
    swift("PUT", "/c")
    for number in range(12):
        swift("PUT", f"/c/{number:02d}", b"%d" % number)
    for _ in range(3):
        shop.clock.advance(60)
        for loop in LOOPS:
            loop.run(shop.cloud)
    swift("PUT", "/c/later", b"12")
    listed = [row["hash"] for row in swift("GET", "/c?format=json").json()]
    assert listed == [hashlib.md5(b"%d" % number).hexdigest() for number in range(13)]
    close_shop(shop)


WRITER = """
import asyncio, os, sys, time
from pileus.object_store.backend import ObjectName, ObjectPost, ObjectPut
from pileus.object_store.ciphers import read_secrets
from pileus.object_store.encryption import EncryptedPlacement
from pileus.object_store.indexes import ContainerPut
from pileus.object_store.storage.embedded import embedded_cluster
from pileus.object_store.timestamps import Timestamp

async def main(root, secrets, number):
    placement = EncryptedPlacement(embedded_cluster(root, time.time), read_secrets(secrets))
    now, name = lambda: Timestamp.of(time.time()), ObjectName("AUTH_a", "c", "o")
    await placement.put_account("AUTH_a", now(), {})
    await placement.put_container("AUTH_a", "c", ContainerPut(timestamp=now(), policy=0))
    while True:
        number += 1
        headers = {"X-Object-Meta-Number": f"secret number {number}"}
        body = b"secret body %d " % number * 20_000
        sent = await placement.upload(0, name, ObjectPut(timestamp=now(), size_bytes=len(body), headers=headers))
        for start in range(0, len(body), 65_536):
            await sent.write(body[start : start + 65_536])
        assert (await sent.commit()).ok
        os.write(1, b"put %d\\n" % number)
        headers = {"X-Object-Meta-Number": f"secret number {number + 1}"}
        assert (await placement.post_object(0, name, ObjectPost(timestamp=now(), headers=headers))).ok
        number += 1
        os.write(1, b"post %d\\n" % number)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def read_all(root, secrets):
    """The number in the body, that in the metadata, and whether the listing knows the body."""

    async def read():
        cluster = embedded_cluster(root, time.time)
        placement = EncryptedPlacement(cluster, read_secrets(secrets))
        try:
            found = await placement.open(0, ObjectName("AUTH_a", "c", "o"))
            body = b"".join([piece async for piece in found.chunks()])
            (row,) = (await placement.container("AUTH_a", "c", Listing())).entries
            meta = found.answer.metadata
            await found.close()
            return body, meta, row
        finally:
            cluster.carrier.close()

    body, meta, row = asyncio.run(read())
    assert meta.etag == hashlib.md5(body).hexdigest()
    number = int(body.split()[2])
    assert body == b"secret body %d " % number * 20_000
    return number, int(meta.headers["X-Object-Meta-Number"].split()[-1]), row.etag


def test_killed_in_the_midst_of_puts_and_posts_while_secrets_change(tmp_path):
    """What was acknowledged is whole, under whichever secret each part of it was written, and nothing of it is ever plain."""
    root, last, secrets = str(tmp_path / "objects"), 0, ""
    for turn in range(6):
        key = base64.b64encode(bytes([turn + 1]) * 32).decode()
        secrets = f"k{turn}:{key}" + (f",{secrets}" if secrets else "")
        command = [sys.executable, "-c", WRITER, root, secrets, str(last)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            for _ in range(turn + 1):
                first = child.stdout.readline()
            time.sleep(0.007 * turn)
            child.send_signal(signal.SIGKILL)
            word, number = ([first, *child.stdout.read().splitlines()][-1]).split()
        number = int(number)
        body, meta, listed = read_all(root, secrets)
        if word == b"put":
            assert (body, meta) in {(number, number), (number, number + 1)}
        else:
            assert (body, meta) in {(number - 1, number), (number + 1, number + 1)}
        known = {b"secret body %d " % one * 20_000 for one in (number - 1, number, number + 1)}
        assert listed in {hashlib.md5(one).hexdigest() for one in known}
        last = max(body, meta) + max(body, meta) % 2
    kept = everything_on_disk(tmp_path / "objects")
    assert b"secret body" not in kept
    assert b"secret number" not in kept
    with pytest.raises(Refused):
        read_all(root, f"k9:{ONE}")


def test_sealed_texts_are_bound_to_their_place():
    secrets = read_secrets(f"a:{ONE},b:{TWO}")
    sealed = secrets.seal("/a/c/o", b"text", "etag")
    assert secrets.open("/a/c/o", sealed, "etag") == b"text"
    for path, text, purpose in (("/a/c/p", sealed, "etag"), ("/a/c/o", sealed, "meta"), ("/a/c/o", sealed[:-4], "etag"),
                                ("/a/c/o", "2" + sealed[1:], "etag"), ("/a/c/o", "x", "etag")):  # fmt: skip
        with pytest.raises(Unreadable):
            secrets.open(path, text, purpose)
    with pytest.raises(Unreadable):
        Secrets("z", secrets.by_id).key("/a/c/o")


def test_a_body_is_turned_at_any_place():
    key, body = BodyKey(b"k" * 32, (1 << 128) - 2), body_of(200)
    sealed = key.turner()(body)
    assert sealed != body
    for start in range(60):
        assert BodyKey.unpack(key.pack()).turner(start)(sealed[start:]) == body[start:]


@pytest.mark.parametrize("text", ["a", "a:!!", f":{ONE}", "a:" + base64.b64encode(b"short").decode()])
def test_secrets_that_are_none(text):
    with pytest.raises(ValueError, match="secret"):
        read_secrets(text)
    assert read_secrets("") is None
