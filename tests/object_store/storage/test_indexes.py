"""Container and account indexes: merging commutes, crashes lose nothing, a hundred thousand names list quickly."""

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.object_store.backend import ContainerPut
from pileus.object_store.indexes import ContainerRow, Listing, ObjectRow
from pileus.object_store.storage.container_index import SHAPE, ContainerIndex
from pileus.object_store.storage.index_file import IndexFile
from pileus.object_store.storage.merging import merge_container_rows, merge_headers, merge_object_rows
from pileus.object_store.timestamps import Timestamp

from .conftest import ACCOUNT, CONTAINER, Store

moments = st.integers(1, 6).map(Timestamp)
object_rows = st.builds(
    lambda at, typed, posted, deleted: ObjectRow(
        name="a",
        data_at=at,
        size_bytes=0 if deleted else at.ticks,
        etag="" if deleted else f"e{at.ticks}",
        content_type="" if deleted else f"t{(typed or at).ticks}",
        content_type_at=typed,
        meta_at=posted,
        deleted=deleted,
    ),
    moments,
    st.none() | moments,
    st.none() | moments,
    st.booleans(),
)
container_rows = st.builds(
    lambda put, gone, count, at: ContainerRow(name="c", put_at=put, delete_at=gone, object_count=count, figures_at=at),
    moments,
    moments,
    st.integers(0, 3),
    moments,
)
headers = st.dictionaries(st.sampled_from("ab"), st.tuples(st.sampled_from(["", "1", "2"]), moments))


@given(object_rows, object_rows, object_rows)
def test_object_rows_merge_in_any_order(a: ObjectRow, b: ObjectRow, c: ObjectRow) -> None:
    merge = merge_object_rows
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(merge(a, b), b) == merge(a, b)


@given(container_rows, container_rows, container_rows)
def test_container_rows_merge_in_any_order(a: ContainerRow, b: ContainerRow, c: ContainerRow) -> None:
    merge = merge_container_rows
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(headers, headers, headers)
def test_headers_merge_in_any_order(a: dict, b: dict, c: dict) -> None:  # type: ignore[type-arg]
    assert merge_headers(a, b) == merge_headers(b, a)
    assert merge_headers(merge_headers(a, b), c) == merge_headers(a, merge_headers(b, c))


def made(path: Path) -> ContainerIndex:
    path.mkdir(parents=True, exist_ok=True)
    index = ContainerIndex(IndexFile(str(path / "x.db"), SHAPE))
    assert index.put("A", "c", ContainerPut(timestamp=Timestamp(1))).status == 201
    return index


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from("abcd"), object_rows), max_size=20), seed=st.integers(0, 99))
def test_two_replicas_agree_whatever_comes_first(tmp_path_factory: pytest.TempPathFactory, rows: list, seed: int) -> None:  # type: ignore[type-arg]
    from msgspec.structs import replace

    named = [replace(row, name=name) for name, row in rows]
    one, two = made(tmp_path_factory.mktemp("one")), made(tmp_path_factory.mktemp("two"))
    one.file.merge(named)
    shuffled = list(named)
    random.Random(seed).shuffle(shuffled)
    for row in shuffled:
        two.update([row])
    assert one.answer(Listing()).entries == two.answer(Listing()).entries
    infos = [index.answer().info for index in (one, two)]
    assert infos[0]
    assert infos[1]
    assert (infos[0].object_count, infos[0].bytes_used) == (infos[1].object_count, infos[1].bytes_used)
    assert infos[0].object_count == len(one.answer(Listing()).entries)


def test_pending_news_survives_a_crash_and_a_torn_tail(tmp_path: Path) -> None:
    index = made(tmp_path)
    index.update([ObjectRow(name="a", data_at=Timestamp(5), size_bytes=3)])
    with open(index.file.path + ".pending", "ab") as file:
        file.write(b"\0\0\0\xffgarbage")
    again = ContainerIndex(IndexFile(index.file.path, SHAPE))  # the first process is gone
    assert [entry.name for entry in again.answer(Listing()).entries] == ["a"]
    again.update([ObjectRow(name="b", data_at=Timestamp(6))])
    assert [entry.name for entry in again.answer(Listing()).entries] == ["a", "b"]


def test_an_unfinished_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "x.db").touch()
    index = ContainerIndex(IndexFile(str(tmp_path / "x.db"), SHAPE))
    assert index.answer().status == 404
    assert index.put("A", "c", ContainerPut(timestamp=Timestamp(1))).status == 201


def test_tombstones_are_forgotten_in_time(tmp_path: Path) -> None:
    index = made(tmp_path)
    index.file.merge([ObjectRow(name=name, data_at=Timestamp(at), deleted=True) for name, at in (("a", 5), ("b", 50))])
    index.file.reclaim(Timestamp(10).internal)
    assert [row.name for row in index.file.news(0)[0]] == ["b"]


def test_a_hundred_thousand_names_list_quickly(disk: Store) -> None:
    at = disk.tick()
    file = disk.containers.files.container(0, ACCOUNT, CONTAINER).file
    for start in range(0, 100_000, 20_000):
        file.merge(
            [
                ObjectRow(name=f"{n % 100:02d}/{n:06d}", data_at=at, size_bytes=1, etag="e" * 32)
                for n in range(start, start + 20_000)
            ]
        )
    queries = [
        Listing(),
        Listing(marker="50/"),
        Listing(reverse=True),
        Listing(prefix="42/"),
        Listing(delimiter="/"),
        Listing(path="42"),
    ]
    best = []
    for query in queries:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            answer = disk.run(disk.containers.listing(*disk.box(), query))
            times.append(time.perf_counter() - started)
        best.append(min(times))
        assert answer.info.object_count == 100_000
    assert max(best) < 0.25  # 0.02-0.06 s on a quiet machine
    assert [entry.name for entry in disk.run(disk.containers.listing(*disk.box(), queries[4])).entries] == [
        f"{n:02d}/" for n in range(100)
    ]
