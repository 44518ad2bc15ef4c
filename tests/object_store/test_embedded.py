"""The proxy on a real directory, as it is embedded: bytes last, and nothing stays open."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from pileus.object_store.bundle import LOOPS
from pileus.object_store.indexes import Listing
from pileus.object_store.placement import Placement
from pileus.object_store.storage import local_reader
from pileus.object_store.storage.embedded import embedded_cluster
from tests.object_store.conftest import make_shop

SIZES = (0, 1, 65_535, 65_536, 65_537, 300_000, 3_000_001)


def embedded(tmp_path, **settings):
    shop = make_shop(tmp_path, **settings)
    shop.store._open = lambda now: Placement(embedded_cluster(str(tmp_path / "objects"), now))
    return shop


@pytest.fixture
def shop(tmp_path):
    made = embedded(tmp_path)
    yield made
    made.app.close()
    made.store.placement.cluster.carrier.close()


def body_of(size):
    return (hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1))[:size]


def open_bodies(folder):
    """The bodies of objects in a folder that this process holds open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)
        except FileNotFoundError:
            continue
        if target.startswith(str(folder)) and target.removesuffix(" (deleted)").endswith(".data"):
            found.append(target)
    return found


def test_bytes_of_all_sizes_last(tmp_path):
    shop = embedded(tmp_path)
    swift = shop.client()
    swift("PUT", "/c", X_Container_Meta_A="b")
    for size in SIZES:
        assert swift("PUT", f"/c/{size}", body_of(size), X_Object_Meta_Size=str(size)).status_code == 201
    shop.app.close()
    shop.store.placement.cluster.carrier.close()
    again = embedded(tmp_path)
    swift = again.client()
    for size in SIZES:
        answer = swift("GET", f"/c/{size}")
        assert answer.content == body_of(size)
        assert answer.headers["x-object-meta-size"] == str(size)
        if size > 1:
            assert swift("GET", f"/c/{size}", Range=f"bytes=1-{size - 2}").content == body_of(size)[1:-1]
            assert body_of(size)[-1:] in swift("GET", f"/c/{size}", Range="bytes=0-0,-1").content
    listed = {row["name"]: row["bytes"] for row in swift("GET", "/c?format=json").json()}
    assert listed == {str(size): size for size in SIZES}
    assert swift("HEAD", "/c").headers["x-container-meta-a"] == "b"
    again.app.close()
    again.store.placement.cluster.carrier.close()


def test_nothing_stays_open(shop, tmp_path):
    _ask_in_all_ways(shop.client())
    assert open_bodies(tmp_path) == []


def _ask_in_all_ways(swift):
    swift("PUT", "/c", X_Versions_Enabled="true")
    swift("PUT", "/c/o", body_of(300_000))
    swift("PUT", "/c/o", body_of(300_001))
    for headers, status in (
        ({}, 200),
        ({"Range": "bytes=5-9"}, 206),
        ({"Range": "bytes=5-9,11-12"}, 206),
        ({"Range": "bytes=400000-"}, 416),
        ({"If-Match": "x"}, 412),
        ({"If-None-Match": "*"}, 304),
    ):
        assert swift("GET", "/c/o", **headers).status_code == status
        assert swift("HEAD", "/c/o", **headers).status_code in (200, status)
    assert swift("COPY", "/c/o", Destination="c/p").status_code == 201
    assert swift("COPY", "/c/o", Destination="c/p", Range="bytes=400000-").status_code == 416
    assert swift("PUT", "/c/o", body_of(70_000), ETag="0" * 32).status_code == 422


def test_a_server_may_open_a_big_body_late(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(local_reader, "LENT_SECONDS", 0.2)
    swift, size = shop.client(), local_reader.LENT_BYTES_MIN
    swift("PUT", "/c")
    swift("PUT", "/c/o", body_of(size))
    path = f"/object-store/v1/{swift.account}/c/o"
    headers = [(key.lower().encode(), value.encode()) for key, value in swift.headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "extensions": {"http.response.pathsend": {}}}

    async def get():
        sent = []

        async def send(message):
            sent.append(message)

        await shop.app(scope, None, send)
        assert (sent[0]["status"], sent[1]["type"]) == (200, "http.response.pathsend")
        lent = Path(sent[1]["path"])
        (data,) = (tmp_path / "objects").rglob("*.data")
        data.unlink()
        found = lent.read_bytes()
        for _ in range(1000):
            if not lent.exists():
                break
            await asyncio.sleep(0.02)
        return found, lent.exists()

    assert asyncio.run(get()) == (body_of(size), False)
    assert open_bodies(tmp_path) == []


def test_what_has_expired_is_cleared_away(shop, tmp_path):
    swift = shop.client()
    swift("PUT", "/c")
    swift("PUT", "/c/o", body_of(70_000), X_Delete_After="10")
    swift("PUT", "/c/kept", body_of(10))
    shop.clock.advance(60)
    for loop in LOOPS:
        loop.run(shop.cloud)
    assert swift("GET", "/c").text == "kept\n"
    assert swift("GET", "/c/kept").content == body_of(10)
    assert len(list((tmp_path / "objects").rglob("*.data"))) == 1


def test_a_refused_upload_leaves_no_file(shop, tmp_path):
    swift = shop.client()
    swift("PUT", "/c")
    before = sorted(path.name for path in (tmp_path / "objects").rglob("*.data"))
    shop.limit(object_bytes_max=100_000)
    assert swift("PUT", "/c/o", iter([body_of(90_000)] * 2)).status_code == 413
    assert swift("PUT", "/c/o", body_of(90_000), ETag="0" * 32).status_code == 422
    assert sorted(path.name for path in (tmp_path / "objects").rglob("*.data")) == before
    assert swift("GET", "/c").status_code == 204


def shards_of(shop, account, container):
    """The shards that list a container's names."""
    ring = shop.store.placement.cluster.container_ring
    (node,) = ring.nodes(0)
    return asyncio.run(shop.kernel().containers(node).listing(0, account, container, Listing())).shards


def work(shop):
    """Let all daemons make a pass."""
    shop.clock.advance(60)
    for loop in LOOPS:
        loop.run(shop.cloud)


def test_a_big_container_is_split_here_too(tmp_path):
    shop = embedded(tmp_path, object_shard_threshold=20)
    swift, names = shop.client(), [f"n{number:03d}" for number in range(50)]
    swift("PUT", "/c", X_Container_Meta_A="b")
    swift("PUT", "/small")
    for name in names:
        assert swift("PUT", f"/c/{name}", name.encode()).status_code == 201
    for _ in range(3):
        work(shop)
    assert len(shards_of(shop, swift.account, "c")) >= 3, "names are in other containers now"
    assert swift("GET", "").text.split() == ["c", "small"], "which nobody sees"
    assert swift("GET", "/c").text.split() == names
    assert swift("GET", "/c?reverse=on&limit=3").text.split() == ["n049", "n048", "n047"]
    assert swift("GET", "/c?prefix=n02&marker=n024&delimiter=9").text.split() == ["n025", "n026", "n027", "n028", "n029"]
    head = swift("HEAD", "/c").headers
    assert [head[f"x-container-{word}"] for word in ("object-count", "bytes-used", "meta-a")] == ["50", "200", "b"]
    assert swift("PUT", "/c/n0245", b"new").status_code == 201
    assert swift("DELETE", "/c/n000").status_code == 204
    assert swift("GET", "/c").text.split() == sorted([*names[1:], "n0245"])
    assert swift("DELETE", "/c").status_code == 409
    for name in (*names, "n0245"):
        swift("DELETE", f"/c/{name}")
    work(shop)
    assert swift("DELETE", "/c").status_code == 204
    for _ in range(3):
        work(shop)
    assert swift("GET", "").text.split() == ["small"]
    shop.app.close()
    shop.store.placement.cluster.carrier.close()
