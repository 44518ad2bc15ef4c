"""Objects on a disk: what is damaged is set aside, what is cut off leaves nothing, what is full says so."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.object_store.backend import ObjectDelete, ObjectName, ObjectPost, ObjectPut, Unreachable
from pileus.object_store.storage import durable
from pileus.object_store.storage.disk import Incoming, Shelf, open_object
from pileus.object_store.storage.hashdir import judge
from pileus.object_store.storage.layout import Device
from pileus.object_store.timestamps import Timestamp

from .conftest import Store


def data_file(root: Path) -> Path:
    (found,) = root.glob("store/objects/*/*/*/*.data")
    return found


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("store/objects/*/*/*/*"))


def test_the_layout_is_swifts(disk: Store, tmp_path: Path) -> None:
    at = disk.tick()
    disk.put("a", b"x", timestamp=at)
    found = data_file(tmp_path)
    hash_dir = found.parent
    assert found.name == f"{at.normal}.data"
    assert (hash_dir.parent.name, hash_dir.parent.parent.name) == (hash_dir.name[-3:], "0")


def test_older_files_are_removed(disk: Store, tmp_path: Path) -> None:
    disk.put("a", b"1")
    disk.run(disk.objects.post(*disk.name("a"), ObjectPost(timestamp=disk.tick(), content_type="t/t")))
    assert [name.rsplit(".")[-1] for name in files(tmp_path)] == ["ctype", "data", "meta"] or len(files(tmp_path)) == 3
    disk.put("a", b"2")
    assert len(files(tmp_path)) == 1
    disk.run(disk.objects.delete(*disk.name("a"), ObjectDelete(timestamp=disk.tick())))
    assert [name[-3:] for name in files(tmp_path)] == [".ts"]


def test_a_file_of_the_wrong_size_is_quarantined(disk: Store, tmp_path: Path) -> None:
    disk.put("a", b"abc")
    with data_file(tmp_path).open("ab") as file:
        file.write(b"!")
    assert disk.get("a") is None
    assert list((tmp_path / "store/quarantined/objects").iterdir())
    assert disk.put("a", b"new").status == 201
    assert disk.get("a") == b"new"


def test_a_damaged_record_is_quarantined(disk: Store, tmp_path: Path) -> None:
    disk.put("a", b"abc")
    path = data_file(tmp_path)
    os.setxattr(path, durable.ATTRIBUTE, b"nonsense")
    assert disk.head("a").status == 404
    assert not path.exists()


def test_records_too_big_for_an_attribute_stand_beside(disk: Store, tmp_path: Path) -> None:
    headers = {f"X-Object-Meta-{number}": "v" * 250 for number in range(90)}
    disk.put("a", b"abc", headers=headers)
    assert disk.head("a").metadata.headers == headers
    disk.put("a", b"abc")
    assert len(files(tmp_path)) == 1


def test_works_without_attributes_and_nameless_files(disk: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_attributes(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    real_open = os.open

    def no_nameless(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real_open(path, flags, mode)

    monkeypatch.setattr(os, "setxattr", no_attributes)
    monkeypatch.setattr(os, "getxattr", no_attributes)
    monkeypatch.setattr(os, "open", no_nameless)
    disk.put("a", b"abc", headers={"X-Object-Meta-A": "1"})
    assert disk.get("a") == b"abc"
    assert disk.head("a").metadata.headers == {"X-Object-Meta-A": "1"}
    disk.run(disk.objects.delete(*disk.name("a"), ObjectDelete(timestamp=disk.tick())))
    assert len(files(tmp_path)) == 2
    assert list((tmp_path / "store/tmp").iterdir()) == []


def test_a_full_device_says_so_and_recovers(disk: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Device, "has_room", lambda self, size_bytes=0: False)
        assert disk.put("a", b"abc").status == 507
    real_write = os.write

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        done = disk.put("a", os.urandom(3_000_000))
    assert done.status == 507
    assert files(tmp_path) == []
    assert os.write is real_write
    assert disk.put("a", b"abc").status == 201


WRITER = """
import os, sys, time
from pileus.object_store.backend import ObjectName, ObjectPut
from pileus.object_store.storage.disk import Incoming, Shelf
from pileus.object_store.storage.layout import Device
from pileus.object_store.timestamps import Timestamp
shelf = Shelf(Device(sys.argv[1]))
number = int(sys.argv[2])
while True:
    number += 1
    data = str(number).encode() * 50_000
    incoming = Incoming(shelf, 0, ObjectName("A", "c", "o"), ObjectPut(timestamp=Timestamp(number)))
    incoming.write(data)
    assert incoming.commit({})[0].status == 201
    incoming.close()
    os.write(1, b"%d\\n" % number)
"""


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    shelf, last = Shelf(Device(str(tmp_path))), 0
    for turn in range(6):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(last)], stdout=subprocess.PIPE) as child:
            assert child.stdout
            child.stdout.readline()
            time.sleep(0.01 * turn)
            child.send_signal(signal.SIGKILL)
            acknowledged = [int(line) for line in child.stdout.read().split()] or [last + 1]
        opened = open_object(shelf, 0, ObjectName("A", "c", "o"), 0.0)
        assert opened.answer.metadata
        found = opened.answer.metadata.data_at.ticks
        assert acknowledged[-1] <= found <= acknowledged[-1] + 1
        data = os.pread(opened.descriptor, 10_000_000, 0)
        os.close(opened.descriptor)
        assert data == str(found).encode() * 50_000
        last = found
    names = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert all(name.endswith(".data") for name in names)
    assert len(names) <= 2


@settings(max_examples=200, deadline=None)
@given(st.sets(st.tuples(st.integers(1, 6), st.sampled_from(["data", "ts", "meta", "ctype"])), max_size=8), st.randoms())
def test_files_say_the_same_in_any_order(files: set[tuple[int, str]], chance: object) -> None:
    """Removing what is superfluous at any time, in any order of arrival, leaves the same files that count."""
    names = [f"{Timestamp(ticks).internal}.{kind}" for ticks, kind in files]
    whole = set(judge(sorted(names)).files)
    for order in itertools.islice(itertools.permutations(names), 6):
        here: list[str] = []
        for name in order:
            here.append(name)
            here = [kept for kept in here if kept not in judge(here).obsolete]
        assert set(judge(here).files) == whole


def test_a_writer_that_is_given_up_closes_nothing_of_others(tmp_path: Path) -> None:
    incoming = Incoming(Shelf(Device(str(tmp_path))), 0, ObjectName("A", "c", "o"), ObjectPut(timestamp=Timestamp(1)))

    def work() -> int:
        incoming.write(b"abc")
        incoming.close()  # as if given up by another thread just now
        assert incoming.new is not None
        return incoming.new.descriptor

    descriptor = incoming.busy(work)
    assert incoming.new is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_a_small_body_that_has_changed_is_never_sent(disk: Store, tmp_path: Path) -> None:
    disk.put("a", b"b" * 60_000)
    flip(data_file(tmp_path), 30_000)
    assert disk.get("a") is None
    assert list((tmp_path / "store/quarantined/objects").iterdir())
    assert disk.put("a", b"new").status == 201
    assert disk.get("a") == b"new"


def test_a_big_body_that_has_changed_breaks_off(disk: Store, tmp_path: Path) -> None:
    disk.put("a", b"b" * 3_000_000)
    flip(data_file(tmp_path), 10)

    async def read(start: int) -> int:
        reader = await disk.objects.get(*disk.name("a"))
        size = 0
        try:
            async for chunk in reader.chunks(start):
                size += len(chunk)
        except Unreachable:
            size = -size
        await reader.close()
        return size

    assert disk.run(read(1)) == 2_999_999  # a range is not compared
    assert -3_000_000 < disk.run(read(0)) < 0
    assert disk.get("a") is None


def test_a_body_written_anew_is_not_set_aside_with_the_damaged_one(disk: Store, tmp_path: Path) -> None:
    disk.put("a", b"b" * 3_000_000)
    flip(data_file(tmp_path), 10)

    async def read() -> None:
        reader = await disk.objects.get(*disk.name("a"))
        writer = await disk.objects.put(*disk.name("a"), ObjectPut(timestamp=disk.tick(), size_bytes=3))
        await writer.write(b"new")
        assert (await writer.commit()).ok
        with pytest.raises(Unreachable):
            [chunk async for chunk in reader.chunks()]
        await reader.close()

    disk.run(read())
    assert disk.get("a") == b"new"
