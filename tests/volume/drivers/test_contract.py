"""What every back end of volumes must show."""

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pileus.volume.driver import GIB, Connector, Source, VolumeBackend, VolumeDriverError, VolumeSpec

MIB = 1 << 20
WORD = b"written by a guest"
MANY = 14  # snapshots, so that a chain of layers is shortened


def put(backend: VolumeBackend, volume_id: str, offset: int, data: bytes) -> None:
    content = backend.open(volume_id, writable=True)
    content.write(offset, data)
    content.flush()
    content.close()


def get(backend: VolumeBackend, volume_id: str, offset: int, length: int, snapshot_id: str = "") -> bytes:
    content = backend.open(volume_id, snapshot_id)
    try:
        return content.read(offset, length)
    finally:
        content.close()


def raw_image(path: Path, size_bytes: int = 3 * MIB) -> Source:
    path.write_bytes(b"start of the image".ljust(size_bytes - 4, b"\7") + b"end.")
    return Source("image", path=str(path), disk_format="raw")


def qcow2_image(path: Path, *options: str) -> Source:
    raw = path.with_suffix(".raw")
    raw_image(raw)
    subprocess.run(["qemu-img", "convert", "-q", *options, "-f", "raw", "-O", "qcow2", raw, path], check=True)
    return Source("image", path=str(path), disk_format="qcow2")


def connector(id: str, *, read_only: bool = False) -> Connector:
    return Connector(id, "here", read_only=read_only)


def test_what_nobody_made_is_none_and_goes_away_in_silence(backend: VolumeBackend) -> None:
    assert backend.observe("none") is None
    assert backend.observe_all() == {}
    backend.destroy("none", "punch")
    backend.disconnect("none", "nobody")
    backend.drop_snapshot("none", "nothing", "punch")


def test_what_needs_a_volume_says_that_there_is_none(backend: VolumeBackend) -> None:
    for call in (
        lambda: backend.open("none"),
        lambda: backend.connect("none", connector("c")),
        lambda: backend.take_snapshot("none", "s"),
        lambda: backend.revert("none", "s"),
        lambda: backend.ensure(VolumeSpec("v", 1, Source("volume", "none"))),
        lambda: backend.ensure(VolumeSpec("v", 1, Source("snapshot", "s", "none"))),
    ):
        with pytest.raises(VolumeDriverError):
            call()
    assert backend.observe_all() == {}


def test_ensure_twice_is_once(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    put(backend, "v", 4096, WORD)
    backend.ensure(VolumeSpec("v", 1))
    assert get(backend, "v", 4096, len(WORD)) == WORD
    state = backend.observe("v")
    assert state is not None
    assert (state.id, state.size_gib, state.snapshots, state.connections) == ("v", 1, (), ())
    assert backend.observe_all() == {"v": state}


def test_capacity_counts_what_was_promised(backend: VolumeBackend) -> None:
    before = backend.capacity()
    assert 0 < before.free_gib <= before.total_gib
    backend.ensure(VolumeSpec("v", 3))
    assert backend.capacity().provisioned_gib == before.provisioned_gib + 3


def test_a_new_volume_is_zeroes_and_takes_no_room(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    content = backend.open("v")
    assert content.size_bytes == GIB
    assert content.read(0, MIB) == content.read(GIB - MIB, MIB) == bytes(MIB)
    assert list(content.extents()) == [(0, GIB, False)]
    content.close()
    state = backend.observe("v")
    assert state is not None
    assert state.used_bytes < 4 * MIB


def test_content_is_what_was_written(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    content = backend.open("v", writable=True)
    big = bytes(range(256)) * 4096 * 12
    content.write(100 * MIB - 3, big)
    content.write(100 * MIB, WORD)
    assert content.read(100 * MIB - 4, 8) == b"\0" + big[:3] + WORD[:4]
    content.zero(101 * MIB, 2 * MIB)
    assert content.read(101 * MIB - 1, 2) == big[MIB + 2 : MIB + 3] + b"\0"
    assert content.read(103 * MIB, 4) == big[3 * MIB + 3 : 3 * MIB + 7]
    extents = list(content.extents())
    assert [offset for offset, _, _ in extents] == [0, *[offset + length for offset, length, _ in extents[:-1]]]
    assert sum(extents[-1][:2]) == GIB
    full = [(offset, offset + length) for offset, length, data in extents if data]
    for place in (100 * MIB - 3, 103 * MIB, 100 * MIB + len(big) - 4):
        assert any(start <= place < end for start, end in full)
    assert sum(end - start for start, end in full) < len(big) + 8 * MIB  # a store may tell of large pieces only
    content.flush()
    content.close()


def test_beyond_the_end_is_refused(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    content = backend.open("v", writable=True)
    for call in (lambda: content.read(GIB - 1, 2), lambda: content.write(GIB, b"x"), lambda: content.zero(GIB - 1, 2)):
        with pytest.raises(VolumeDriverError):
            call()
    content.close()


def test_opened_to_be_read_cannot_be_written(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    content = backend.open("v")
    with pytest.raises(VolumeDriverError):
        content.write(0, b"x")
    with pytest.raises(VolumeDriverError):
        content.zero(0, 512)
    content.close()
    content.close()


def test_a_volume_grows_and_never_shrinks(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    put(backend, "v", 0, WORD)
    backend.ensure(VolumeSpec("v", 3))
    backend.ensure(VolumeSpec("v", 2))
    assert backend.observe("v").size_gib == 3
    assert get(backend, "v", 0, len(WORD)) == WORD
    assert get(backend, "v", 3 * GIB - 4, 4) == bytes(4)


def test_a_volume_grows_while_it_is_connected_and_open(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    backend.connect("v", connector("c"))
    put(backend, "v", 0, WORD)
    backend.ensure(VolumeSpec("v", 2))
    put(backend, "v", 2 * GIB - len(WORD), WORD)
    assert get(backend, "v", 0, len(WORD)) == WORD
    backend.disconnect("v", "c")
    backend.take_snapshot("v", "s")
    backend.connect("v", connector("c"))
    backend.ensure(VolumeSpec("v", 3))
    put(backend, "v", 3 * GIB - len(WORD), WORD)
    assert get(backend, "v", 2 * GIB - len(WORD), len(WORD)) == WORD


@pytest.mark.parametrize("kind", ["raw", "qcow2", "compressed", "thick", "odd"])
def test_a_volume_of_an_image_outlives_it(backend: VolumeBackend, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image"
    if kind in ("raw", "thick"):
        source = raw_image(path)
    elif kind == "odd":
        source = raw_image(path, 3 * MIB - 100)
    else:
        source = qcow2_image(path, *(["-c"] if kind == "compressed" else []))
    size_bytes = 3 * MIB - 100 if kind == "odd" else 3 * MIB
    spec = VolumeSpec("v", 1, source, thin=kind != "thick")
    backend.ensure(spec)
    path.unlink()
    backend.ensure(spec)
    assert get(backend, "v", 0, 18) == b"start of the image"
    assert get(backend, "v", size_bytes - 4, 6) == b"end.\0\0"
    put(backend, "v", 0, WORD)
    assert get(backend, "v", 0, len(WORD)) == WORD
    backend.ensure(VolumeSpec("v", 2))
    assert get(backend, "v", 2 * GIB - MIB, MIB) == bytes(MIB)


def test_writing_to_a_volume_leaves_its_image_alone(backend: VolumeBackend, tmp_path: Path) -> None:
    source = raw_image(tmp_path / "image")
    before = Path(source.path).read_bytes()
    for id in ("a", "b"):
        backend.ensure(VolumeSpec(id, 1, source))
    put(backend, "a", 0, WORD)
    assert get(backend, "b", 0, 18) == b"start of the image"
    backend.take_snapshot("a", "s")
    backend.drop_snapshot("a", "s", "zero")
    backend.destroy("a", "zero")
    backend.destroy("b", "shred")
    assert Path(source.path).read_bytes() == before


def test_an_image_that_does_not_fit_leaves_nothing(backend: VolumeBackend, tmp_path: Path) -> None:
    with (tmp_path / "image").open("wb") as file:
        file.truncate(GIB + 512)
    for source in (
        Source("image", path=str(tmp_path / "image")),
        Source("image", path=str(tmp_path / "missing")),
        Source("image", path=str(tmp_path / "image"), disk_format="qcow2"),
    ):
        with pytest.raises(VolumeDriverError):
            backend.ensure(VolumeSpec("v", 1, source))
    assert backend.observe_all() == {}


def test_an_image_that_refers_to_another_file_is_refused(backend: VolumeBackend, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"the host's own" + bytes(MIB))
    for name, options in (("backed", ["-b", "secret", "-F", "raw"]), ("elsewhere", ["-o", "data_file=secret,data_file_raw=on"])):
        size = [] if name == "backed" else ["1M"]
        command = ["qemu-img", "create", "-q", "-f", "qcow2", *options, tmp_path / name, *size]
        subprocess.run(command, check=True, cwd=tmp_path)
        source = Source("image", path=str(tmp_path / name), disk_format="qcow2")
        for thin in (True, False):
            with pytest.raises(VolumeDriverError):
                backend.ensure(VolumeSpec("v", 1, source, thin=thin))
    assert backend.observe_all() == {}


def test_a_header_that_a_guest_wrote_opens_no_file(backend: VolumeBackend, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"the host's own" + bytes(MIB))
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", tmp_path / "secret", "-F", "raw", tmp_path / "evil"]
    subprocess.run(command, check=True)
    header = (tmp_path / "evil").read_bytes()
    backend.ensure(VolumeSpec("image", 1, Source("image", path=str(tmp_path / "evil"), disk_format="raw")))
    backend.ensure(VolumeSpec("blank", 1))
    put(backend, "blank", 0, header)
    for id in ("image", "blank"):
        backend.take_snapshot(id, "s")
        backend.ensure(VolumeSpec(f"{id}-again", 1, Source("snapshot", "s", id)))
        backend.connect(id, connector("c"))
        assert get(backend, id, 0, len(header)) == get(backend, f"{id}-again", 0, len(header)) == header
        assert backend.observe(id).size_gib == 1


def test_a_clone_and_its_origin_go_their_ways(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    put(backend, "v", MIB, WORD)
    backend.ensure(VolumeSpec("clone", 2, Source("volume", "v")))
    put(backend, "v", MIB, b"V")
    put(backend, "clone", MIB + 1, b"C")
    assert get(backend, "v", MIB, 4) == b"V" + WORD[1:4]
    assert get(backend, "clone", MIB, 4) == WORD[:1] + b"C" + WORD[2:4]
    assert backend.observe("clone").size_gib == 2
    backend.destroy("v", "zero")
    assert get(backend, "clone", MIB, 4) == WORD[:1] + b"C" + WORD[2:4]
    assert get(backend, "clone", 2 * GIB - 4, 4) == bytes(4)


def test_a_clone_of_a_connected_volume(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    backend.connect("v", connector("c"))
    put(backend, "v", 0, WORD)
    backend.ensure(VolumeSpec("clone", 1, Source("volume", "v")))
    put(backend, "v", 0, b"V")
    assert get(backend, "clone", 0, len(WORD)) == WORD
    assert get(backend, "v", 0, 2) == b"V" + WORD[1:2]


def test_a_clone_that_is_too_small_is_refused(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 2))
    backend.take_snapshot("v", "s")
    for source in (Source("volume", "v"), Source("snapshot", "s", "v")):
        with pytest.raises(VolumeDriverError):
            backend.ensure(VolumeSpec("clone", 1, source))
    assert list(backend.observe_all()) == ["v"]


@pytest.mark.parametrize("connected", [False, True])
def test_a_snapshot_keeps_the_moment(backend: VolumeBackend, connected: bool) -> None:
    backend.ensure(VolumeSpec("v", 1))
    if connected:
        backend.connect("v", connector("c"))
    content = backend.open("v", writable=True)
    content.write(MIB, b"one")
    backend.take_snapshot("v", "s1")
    content.write(MIB, b"two")
    backend.take_snapshot("v", "s1")
    backend.take_snapshot("v", "s2")
    content.write(MIB, b"now")
    assert content.read(MIB, 3) == b"now"
    content.close()
    assert get(backend, "v", MIB, 3, "s1") == b"one"
    assert get(backend, "v", MIB, 3, "s2") == b"two"
    assert set(backend.observe("v").snapshots) == {"s1", "s2"}
    snapshot = backend.open("v", "s1")
    with pytest.raises(VolumeDriverError):
        snapshot.write(0, b"x")
    snapshot.close()
    backend.drop_snapshot("v", "s1", "zero")
    backend.drop_snapshot("v", "s1", "zero")
    assert get(backend, "v", MIB, 3, "s2") == b"two"
    assert get(backend, "v", MIB, 3) == b"now"
    with pytest.raises(VolumeDriverError):
        backend.open("v", "s1")


def test_volumes_made_of_a_snapshot_outlive_it(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    put(backend, "v", 0, WORD)
    backend.take_snapshot("v", "s")
    put(backend, "v", 0, b"later")
    backend.ensure(VolumeSpec("child", 2, Source("snapshot", "s", "v")))
    backend.ensure(VolumeSpec("thick", 1, Source("snapshot", "s", "v"), thin=False))
    with pytest.raises(VolumeDriverError):
        backend.destroy("v", "none")
    backend.drop_snapshot("v", "s", "shred")
    backend.destroy("v", "shred")
    assert get(backend, "child", 0, len(WORD)) == get(backend, "thick", 0, len(WORD)) == WORD
    assert list(backend.observe_all()) == ["child", "thick"] or set(backend.observe_all()) == {"child", "thick"}
    backend.destroy("child", "zero")
    backend.destroy("thick", "zero")
    assert backend.observe_all() == {}


def test_revert_brings_the_snapshot_back_and_keeps_the_size(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    put(backend, "v", 0, b"old")
    backend.take_snapshot("v", "s")
    backend.ensure(VolumeSpec("v", 2))
    put(backend, "v", 0, b"new")
    put(backend, "v", 2 * GIB - 3, b"new")
    for _ in range(2):
        backend.revert("v", "s")
        assert get(backend, "v", 0, 3) == b"old"
        assert get(backend, "v", 2 * GIB - 3, 3) == bytes(3)
    assert backend.observe("v").size_gib == 2
    put(backend, "v", 0, b"own")
    assert get(backend, "v", 0, 3, "s") == b"old"
    with pytest.raises(VolumeDriverError):
        backend.revert("v", "none")


def test_what_is_connected_is_neither_destroyed_nor_reverted(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    backend.take_snapshot("v", "s")
    backend.connect("v", connector("c"))
    with pytest.raises(VolumeDriverError):
        backend.revert("v", "s")
    backend.drop_snapshot("v", "s", "none")
    with pytest.raises(VolumeDriverError):
        backend.destroy("v", "none")
    assert backend.observe("v") is not None
    backend.disconnect("v", "c")
    backend.destroy("v", "none")
    assert backend.observe("v") is None


def test_connections_come_and_go(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    first = backend.connect("v", connector("c1"))
    assert first["driver_volume_type"]
    assert backend.connect("v", connector("c1")) == first
    second = backend.connect("v", connector("c2", read_only=True))
    assert second["data"]["access_mode"] == "ro"
    assert set(backend.observe("v").connections) == {"c1", "c2"}
    backend.disconnect("v", "c1")
    backend.disconnect("v", "c1")
    assert backend.observe("v").connections == ("c2",)
    backend.disconnect("v", "c2")
    assert backend.observe("v").connections == ()


@pytest.mark.parametrize("wipe", ["none", "zero", "shred", "punch"])
def test_a_destroyed_volume_is_gone_and_its_name_free(backend: VolumeBackend, wipe: str) -> None:
    backend.ensure(VolumeSpec("v", 1))
    put(backend, "v", MIB, WORD * 1000)
    backend.destroy("v", wipe)
    backend.destroy("v", wipe)
    assert backend.observe("v") is None
    backend.ensure(VolumeSpec("v", 1))
    assert get(backend, "v", MIB, 16) == bytes(16)


@pytest.mark.parametrize("kind", ["blank", "raw", "qcow2"])
def test_an_encrypted_volume_holds_no_plain_word(backend: VolumeBackend, tmp_path: Path, kind: str) -> None:
    source = {"blank": lambda _: None, "raw": raw_image, "qcow2": qcow2_image}[kind](tmp_path / "image")
    backend.ensure(VolumeSpec("v", 1, source, luks_key="5e" * 32))
    content = backend.open("v")
    assert content.size_bytes == GIB
    assert content.read(0, 8) == b"LUKS\xba\xbe\0\1"
    seen = content.read(0, 8 * MIB)
    assert b"image" not in seen
    assert b"\7" * 64 not in seen
    content.close()
    backend.ensure(VolumeSpec("clone", 1, Source("volume", "v"), luks_key="5e" * 32))
    assert get(backend, "clone", 0, 8 * MIB) == seen


def test_a_long_line_of_snapshots_stays_readable(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    backend.connect("v", connector("c"))
    for number in range(MANY):
        put(backend, "v", number * MIB, bytes([number + 1]) * 8)
        backend.take_snapshot("v", f"s{number}")
    assert [get(backend, "v", number * MIB, 1)[0] for number in range(MANY)] == list(range(1, MANY + 1))
    for number in (0, 7, MANY - 1):
        assert get(backend, "v", number * MIB, 1, f"s{number}") == bytes([number + 1])
        assert get(backend, "v", (number + 1) * MIB, 1, f"s{number}") == b"\0"
    backend.disconnect("v", "c")
    for number in range(MANY):
        backend.drop_snapshot("v", f"s{number}", "punch")
    assert [get(backend, "v", number * MIB, 1)[0] for number in range(MANY)] == list(range(1, MANY + 1))
    backend.destroy("v", "punch")


def test_many_threads_at_once(backend: VolumeBackend) -> None:
    def live(number: int) -> None:
        id = f"v{number % 8}"
        backend.ensure(VolumeSpec(id, 1))
        backend.connect(id, connector(f"c{number}"))
        backend.take_snapshot(id, f"s{number}")
        backend.ensure(VolumeSpec(f"clone{number}", 1, Source("volume", id)))
        backend.disconnect(id, f"c{number}")
        backend.drop_snapshot(id, f"s{number}", "punch")
        backend.destroy(f"clone{number}", "punch")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(live, range(24)))
    assert {state.id: (state.snapshots, state.connections) for state in backend.observe_all().values()} == {
        f"v{number}": ((), ()) for number in range(8)
    }


def test_snapshots_taken_together_are_of_one_instant(backend: VolumeBackend) -> None:
    """A writer counts in one volume and then in the other: no snapshot may show the second ahead of the first."""
    assert backend.capacity().together
    for id in ("a", "b"):
        backend.ensure(VolumeSpec(id, 1))
        backend.connect(id, connector(f"c{id}"))
    end, passed = threading.Event(), threading.Event()

    def count() -> None:
        contents = {}
        for number in range(1, 1 << 30):
            for id in ("a", "b"):
                while not end.is_set():
                    try:
                        contents[id] = contents.get(id) or backend.open(id, writable=True)
                        contents[id].write(0, number.to_bytes(4, "big"))
                        break
                    except VolumeDriverError:  # a guest comes back, too
                        if id in contents:
                            contents.pop(id).close()
                        end.wait(0.001)
            if end.is_set():
                break
            passed.set()
        for content in contents.values():
            content.close()

    writer = threading.Thread(target=count)
    writer.start()
    try:
        for number in range(6):
            pairs = [("a", f"a{number}"), ("b", f"b{number}")]
            passed.clear()
            backend.take_snapshots(pairs if number % 2 else pairs[::-1])
            backend.take_snapshots(pairs)
            assert passed.wait(60), "the writer came back"
    finally:
        end.set()
        writer.join()
    seen = []
    for number in range(6):
        first, second = (int.from_bytes(get(backend, id, 0, 4, f"{id}{number}"), "big") for id in ("a", "b"))
        assert first - second in (0, 1), (first, second)
        seen.append(first)
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_snapshots_taken_together_are_all_or_none(backend: VolumeBackend) -> None:
    backend.ensure(VolumeSpec("a", 1))
    with pytest.raises(VolumeDriverError):
        backend.take_snapshots([("a", "s"), ("none", "s")])
    assert backend.observe("a").snapshots == ()
