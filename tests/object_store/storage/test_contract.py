"""What every make of storage must show to a proxy."""

import asyncio
import hashlib
import os

import pytest

from pileus.object_store.backend import ContainerPut, ObjectDelete, ObjectPost, ObjectRow, Timestamp
from pileus.object_store.indexes import Listing, Subdir

from .conftest import ACCOUNT, CONTAINER, Store


def listed(store: Store, **query: object) -> list[str]:
    answer = store.run(store.containers.listing(*store.box(), Listing(**query)))  # type: ignore[arg-type]
    return [entry.name for entry in answer.entries]


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_500_000])
def test_what_is_put_is_got(store: Store, size: int) -> None:
    data = os.urandom(size)
    done = store.put("a", data, content_type="text/x", headers={"X-Object-Meta-Color": "red"}, size_bytes=size)
    assert (done.status, done.etag) == (201, hashlib.md5(data).hexdigest())
    assert store.get("a") == data
    found = store.head("a").metadata
    assert (found.size_bytes, found.etag, found.content_type) == (size, done.etag, "text/x")
    assert found.headers == {"X-Object-Meta-Color": "red"}


def test_a_part_is_read(store: Store) -> None:
    data = os.urandom(2_500_000)
    store.put("a", data)
    assert store.get("a", 1_000_000, 1_200_000) == data[1_000_000:2_200_000]
    assert store.get("a", 2_499_999) == data[-1:]


def test_an_open_reader_keeps_its_bytes(store: Store) -> None:
    old = os.urandom(200_000)
    store.put("a", old)
    reader = store.run(store.objects.get(*store.name("a")))
    store.put("a", b"new")

    async def read() -> bytes:
        return b"".join([piece async for piece in reader.chunks()])

    assert store.run(read()) == old
    if reader.path:
        with open(reader.path, "rb") as file:
            assert file.read() == old
    store.run(reader.close())
    assert store.get("a") == b"new"


def test_bodies_that_do_not_fit_are_refused(store: Store) -> None:
    assert store.put("a", b"abc", size_bytes=4).status == 499
    assert store.put("a", b"abc", size_bytes=2).status == 400
    assert store.put("a", b"abc", etag="0" * 32).status == 422
    assert store.put("a", b"abc", footer={"Etag": "0" * 32}).status == 422
    assert store.get("a") is None
    assert listed(store) == []


def test_a_footer_adds_headers(store: Store) -> None:
    etag = hashlib.md5(b"abc").hexdigest()
    store.put("a", b"abc", headers={"X-Object-Meta-A": "1"}, footer={"Etag": etag, "X-Object-Sysmeta-Late": "x"})
    assert store.head("a").metadata.headers == {"X-Object-Meta-A": "1", "X-Object-Sysmeta-Late": "x"}


def test_an_aborted_body_leaves_nothing(store: Store) -> None:
    async def half() -> None:
        from pileus.object_store.backend import ObjectPut

        writer = await store.objects.put(*store.name("a"), ObjectPut(timestamp=store.tick()))
        await writer.write(os.urandom(3_000_000))
        await writer.abort()

    store.run(half())
    assert store.get("a") is None


def test_the_newest_write_wins(store: Store) -> None:
    early, late = store.tick(), store.tick()
    assert store.put("a", b"late", timestamp=late).status == 201
    refused = store.put("a", b"early", timestamp=early)
    assert (refused.status, refused.timestamp) == (409, late)
    assert store.run(store.objects.delete(*store.name("a"), ObjectDelete(timestamp=early))).status == 409
    assert store.get("a") == b"late"


def test_a_tombstone_outlives_older_writes(store: Store) -> None:
    early = store.tick()
    store.put("a", b"x")
    gone_at = store.tick()
    done = store.run(
        store.objects.delete(*store.name("a"), ObjectDelete(timestamp=gone_at, updates=store.target(ACCOUNT, CONTAINER)))
    )
    assert done.status == 204
    answer = store.head("a")
    assert (answer.status, answer.timestamp) == (404, gone_at)
    assert store.put("a", b"x", timestamp=early).status == 409
    assert store.run(store.objects.delete(*store.name("a"), ObjectDelete(timestamp=store.tick()))).status == 404
    assert listed(store) == []
    assert store.put("a", b"again").status == 201
    assert listed(store) == ["a"]


def test_deleting_what_never_was_is_404(store: Store) -> None:
    assert store.run(store.objects.delete(*store.name("never"), ObjectDelete(timestamp=store.tick()))).status == 404


def test_a_post_replaces_headers_but_not_the_system_ones(store: Store) -> None:
    headers = {"X-Object-Meta-A": "1", "X-Object-Sysmeta-S": "s", "X-Static-Large-Object": "True", "Content-Encoding": "gzip"}
    store.put("a", b"x", headers=headers, content_type="text/a", delete_at=int(store.clock.now()) + 1000)
    at = store.tick()
    post = ObjectPost(timestamp=at, headers={"X-Object-Meta-B": "2"}, updates=store.target(ACCOUNT, CONTAINER))
    assert store.run(store.objects.post(*store.name("a"), post)).status == 202
    found = store.head("a").metadata
    assert found.headers == {"X-Object-Meta-B": "2", "X-Object-Sysmeta-S": "s", "X-Static-Large-Object": "True"}
    assert (found.content_type, found.delete_at, found.modified_at) == ("text/a", None, at)
    typed = ObjectPost(timestamp=store.tick(), content_type="text/b", updates=store.target(ACCOUNT, CONTAINER))
    store.run(store.objects.post(*store.name("a"), typed))
    store.run(store.objects.post(*store.name("a"), ObjectPost(timestamp=store.tick(), updates=store.target(ACCOUNT, CONTAINER))))
    assert store.head("a").metadata.content_type == "text/b"
    (entry,) = store.run(store.containers.listing(*store.box(), Listing())).entries
    assert (entry.content_type, entry.modified_at) == ("text/b", store.head("a").metadata.modified_at)
    assert store.run(store.objects.post(*store.name("a"), ObjectPost(timestamp=at))).status == 409
    assert store.run(store.objects.post(*store.name("b"), ObjectPost(timestamp=store.tick()))).status == 404


def test_expired_is_not_found(store: Store) -> None:
    at = int(store.clock.now()) + 100
    store.put("a", b"x", delete_at=at)
    assert store.get("a") == b"x"
    store.clock.advance(101)
    assert store.get("a") is None
    wrong = ObjectDelete(timestamp=store.tick(), if_delete_at=at + 1)
    assert store.run(store.objects.delete(*store.name("a"), wrong)).status == 412
    right = ObjectDelete(timestamp=store.tick(), if_delete_at=at)
    assert store.run(store.objects.delete(*store.name("a"), right)).status in {204, 404}
    assert store.put("a", b"y").status == 201


def test_if_none_match(store: Store) -> None:
    assert store.put("a", b"x", if_none_match=("*",)).status == 201
    assert store.put("a", b"x", if_none_match=("*",)).status == 412
    assert store.put("a", b"x", if_none_match=(hashlib.md5(b"x").hexdigest(),)).status == 412
    assert store.put("a", b"x", if_none_match=("other",)).status == 201


def test_listed_as_the_override_says(store: Store) -> None:
    start = "X-Object-Sysmeta-Container-Update-Override-"
    store.put("a", b"xyz", headers={start + "Size": "1", start + "Etag": "e", start + "Content-Type": "t/t"})
    (entry,) = store.run(store.containers.listing(*store.box(), Listing())).entries
    assert (entry.size_bytes, entry.etag, entry.content_type) == (1, "e", "t/t")


NAMES = ["a", "b/", "b/1", "b/2/x", "b/2/y", "b/3", "c", "d/x/y", "é", "\U0001f344"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, NAMES),
        ({"limit": 2}, ["a", "b/"]),
        ({"limit": 0}, []),
        ({"marker": "b/3"}, ["c", "d/x/y", "é", "\U0001f344"]),
        ({"end_marker": "b/1"}, ["a", "b/"]),
        ({"prefix": "b/"}, ["b/", "b/1", "b/2/x", "b/2/y", "b/3"]),
        ({"delimiter": "/"}, ["a", "b/", "c", "d/", "é", "\U0001f344"]),
        ({"delimiter": "/", "limit": 2}, ["a", "b/"]),
        ({"delimiter": "/", "marker": "b/"}, ["c", "d/", "é", "\U0001f344"]),
        ({"delimiter": "/", "marker": "b/2"}, ["b/", "c", "d/", "é", "\U0001f344"]),
        ({"prefix": "b/", "delimiter": "/"}, ["b/", "b/1", "b/2/", "b/3"]),
        ({"reverse": True}, NAMES[::-1]),
        ({"reverse": True, "marker": "c", "end_marker": "b/2"}, ["b/3", "b/2/y", "b/2/x"]),
        ({"reverse": True, "delimiter": "/"}, ["\U0001f344", "é", "d/", "c", "b/", "a"]),
        ({"path": ""}, ["a", "b/", "c", "é", "\U0001f344"]),
        ({"path": "b"}, ["b/1", "b/3"]),
        ({"path": "b/2"}, ["b/2/x", "b/2/y"]),
        ({"delimiter": "/x"}, ["a", "b/", "b/1", "b/2/x", "b/2/y", "b/3", "c", "d/x", "é", "\U0001f344"]),
    ],
)
def test_listings(store: Store, query: dict[str, object], expected: list[str]) -> None:
    rows = [ObjectRow(name=name, data_at=store.tick(), size_bytes=1) for name in NAMES[::-1]]
    assert store.run(store.containers.update(*store.box(), rows)).status == 201
    assert listed(store, **query) == expected


def test_subdirectories_are_told_apart(store: Store) -> None:
    store.put("d/x")
    (entry,) = store.run(store.containers.listing(*store.box(), Listing(delimiter="/"))).entries
    assert entry == Subdir("d/")


def test_reserved_names_are_hidden(store: Store) -> None:
    rows = [ObjectRow(name=name, data_at=store.tick()) for name in ("\0v\0a", "a")]
    store.run(store.containers.update(*store.box(), rows))
    assert listed(store) == ["a"]
    assert listed(store, allow_reserved=True) == ["\0v\0a", "a"]


def test_the_life_of_a_container(store: Store) -> None:
    box, updates = store.box(), store.target(ACCOUNT)
    assert store.run(store.containers.put(*box, ContainerPut(timestamp=store.tick(), updates=updates))).status == 202
    posted = {"X-Container-Meta-A": "1", "X-Container-Read": ".r:*"}
    assert store.run(store.containers.post(*box, store.tick(), posted)).status == 204
    assert store.run(store.containers.head(*box)).info.metadata == posted
    store.run(store.containers.post(*box, store.tick(), {"X-Container-Meta-A": ""}))
    assert store.run(store.containers.head(*box)).info.metadata == {"X-Container-Read": ".r:*"}
    store.put("a", b"xyz")
    info = store.run(store.containers.head(*box)).info
    assert (info.object_count, info.bytes_used) == (1, 3)
    assert store.run(store.containers.delete(*box, store.tick(), updates)).status == 409
    store.run(
        store.objects.delete(*store.name("a"), ObjectDelete(timestamp=store.tick(), updates=store.target(ACCOUNT, CONTAINER)))
    )
    early = store.tick()
    assert store.run(store.containers.delete(*box, store.tick(), updates)).status == 204
    assert store.run(store.containers.head(*box)).status == 404
    assert store.run(store.containers.delete(*box, store.tick(), updates)).status == 404
    assert store.run(store.containers.put(*box, ContainerPut(timestamp=early))).status == 409
    assert store.run(store.containers.post(*box, store.tick(), posted)).status == 404
    assert store.run(store.containers.put(*box, ContainerPut(timestamp=store.tick(), policy=0))).status == 201
    assert store.run(store.containers.head(*box)).info.metadata == {}
    assert store.run(store.containers.put(*box, ContainerPut(timestamp=store.tick(), policy=1))).status == 409


def test_an_account_counts_what_it_holds(store: Store) -> None:
    at = store.cluster.account_ring.partition(ACCOUNT)
    store.put("a", b"xyz")
    info = store.run(store.accounts.head(at, ACCOUNT)).info
    assert (info.container_count, info.object_count, info.bytes_used) == (1, 1, 3)
    assert info.by_policy[0].bytes_used == 3
    (entry,) = store.run(store.accounts.listing(at, ACCOUNT, Listing())).entries
    assert (entry.name, entry.object_count, entry.bytes_used) == (CONTAINER, 1, 3)


def test_the_life_of_an_account(store: Store) -> None:
    at = store.cluster.account_ring.partition("AUTH_b")
    assert store.run(store.accounts.head(at, "AUTH_b")).status == 404
    assert store.run(store.accounts.post(at, "AUTH_b", store.tick(), {})).status == 404
    assert store.run(store.accounts.put(at, "AUTH_b", store.tick(), {"X-Account-Meta-A": "1"})).status == 201
    assert store.run(store.accounts.put(at, "AUTH_b", store.tick(), {})).status == 202
    assert store.run(store.accounts.post(at, "AUTH_b", store.tick(), {"X-Account-Meta-B": "2"})).status == 204
    assert store.run(store.accounts.head(at, "AUTH_b")).info.metadata == {"X-Account-Meta-A": "1", "X-Account-Meta-B": "2"}
    assert store.run(store.accounts.delete(at, "AUTH_b", store.tick())).status == 204
    assert store.run(store.accounts.head(at, "AUTH_b")).status == 410
    assert store.run(store.accounts.put(at, "AUTH_b", store.tick(), {})).status == 403


def test_races_end_with_one_winner(store: Store) -> None:
    times = [store.tick() for _ in range(8)]

    async def one(at: Timestamp) -> None:
        from pileus.object_store.backend import ObjectPut, Written

        writer = await store.objects.put(*store.name("a"), ObjectPut(timestamp=at, updates=store.target(ACCOUNT, CONTAINER)))
        if not isinstance(writer, Written):
            await writer.write(at.internal.encode())
            await writer.commit()

    async def all_of_them() -> None:
        await asyncio.gather(*(one(at) for at in times[::-1] + times))

    store.run(all_of_them())
    assert store.get("a") == times[-1].internal.encode()
    (entry,) = store.run(store.containers.listing(*store.box(), Listing())).entries
    assert entry.modified_at == times[-1]
