"""What back end `file` promises beyond the contract: who serves, what survives, and what is left on the disk."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus.volume.driver import GIB, Connector, Source, VolumeDriverError, VolumeSpec
from pileus.volume.drivers.file import FileBackend
from pileus.volume.drivers.layers import qcow2
from pileus.volume.drivers.nbd import daemon, nodes
from pileus.volume.drivers.nbd.qmp import monitor
from pileus.volume.drivers.nbd_client import NbdContent
from pileus.volume.drivers.upkeep import CHAIN_MAX
from tests.volume.drivers.conftest import HOST, make_file, tear_down
from tests.volume.drivers.test_contract import MANY, MIB, WORD, get, put, qcow2_image, raw_image

LOCAL = Connector("c", HOST)
PIDFD_GETFD = 438


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.01)


def attached(backend: FileBackend, connector: Connector = LOCAL) -> NbdContent:
    data = backend.connect("v", connector)["data"]
    return NbdContent(Path(data["socket"]), data["export"])


def daemon_of(backend: FileBackend, key: str = "v") -> daemon.Process | None:
    return daemon.find(backend.serving.directory / key)


def layers(backend: FileBackend) -> list[str]:
    return os.listdir(backend.tree.directory / "layers")


def test_a_guest_of_this_host_reads_what_others_write(file_backend: FileBackend) -> None:
    file_backend.ensure(VolumeSpec("v", 1))
    one = attached(file_backend)
    two = attached(file_backend, Connector("c2", HOST))
    reader = attached(file_backend, Connector("c3", HOST, read_only=True))
    one.write(0, WORD)
    assert two.read(0, len(WORD)) == reader.read(0, len(WORD)) == WORD
    with pytest.raises(VolumeDriverError):
        reader.write(0, b"x")
    reader._flags = 0  # a client that does not care for what it was told
    with pytest.raises(VolumeDriverError):
        reader.write(0, b"x")
    assert one.read(0, len(WORD)) == WORD


def test_one_daemon_a_volume_and_none_without_users(file_backend: FileBackend) -> None:
    file_backend.ensure(VolumeSpec("v", 1))
    assert daemon_of(file_backend) is None
    attached(file_backend).close()
    first = daemon_of(file_backend)
    file_backend.connect("v", Connector("c2", HOST))
    assert daemon_of(file_backend).pid == first.pid
    file_backend.disconnect("v", "c")
    assert not first.ended(0)
    file_backend.disconnect("v", "c2")
    assert first.ended(0)
    assert os.listdir(file_backend.serving.directory) == []


def test_guests_go_on_when_pileus_ends_and_starts(tmp_path: Path) -> None:
    backend = make_file(tmp_path)
    backend.ensure(VolumeSpec("v", 1))
    content = attached(backend)
    content.write(0, WORD)
    pid = daemon_of(backend).pid
    backend.close()
    content.write(MIB, WORD)
    backend = make_file(tmp_path)
    try:
        assert backend.observe("v").connections == ("c",)
        backend.connect("v", LOCAL)
        assert daemon_of(backend).pid == pid
        backend.take_snapshot("v", "s")
        content.write(0, b"W")
        assert get(backend, "v", 0, 1, "s") == b"w"
        assert content.read(MIB, len(WORD)) == WORD
    finally:
        tear_down(backend)


def test_a_daemon_that_dies_is_started_again(file_backend: FileBackend) -> None:
    file_backend.ensure(VolumeSpec("v", 1))
    content = attached(file_backend)
    content.write(0, WORD)
    content.flush()
    first = daemon_of(file_backend)
    started = time.monotonic()
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: (found := daemon_of(file_backend)) and found.pid != first.pid)
    assert time.monotonic() - started < 30
    again = attached(file_backend)
    assert again.read(0, len(WORD)) == WORD


def test_daemons_come_back_after_the_host_went_down(tmp_path: Path) -> None:
    backend = make_file(tmp_path)
    backend.ensure(VolumeSpec("v", 1))
    attached(backend).close()
    process = daemon_of(backend)
    backend.close()
    os.kill(process.pid, signal.SIGKILL)
    assert process.ended(5)
    daemon.reap(process.pid)
    backend = make_file(tmp_path)
    try:
        until(lambda: daemon_of(backend))
    finally:
        tear_down(backend)


def test_a_daemon_that_nobody_needs_ends_with_the_next_start(tmp_path: Path) -> None:
    backend = make_file(tmp_path)
    backend.ensure(VolumeSpec("v", 1))
    backend.take_snapshot("v", "s")
    backend.open("v")
    backend.open("v", "s")
    found = [daemon_of(backend), daemon_of(backend, "v@s")]
    assert all(found)
    backend.close()
    backend = make_file(tmp_path)
    try:
        until(lambda: all(process.ended(0) for process in found))
        backend.drop_snapshot("v", "s", "none")
        backend.destroy("v", "none")
    finally:
        tear_down(backend)


def test_another_host_needs_its_certificate(file_backend: FileBackend, tmp_path: Path) -> None:
    file_backend.ensure(VolumeSpec("v", 1))
    far = Connector("far", "there", address="127.0.0.1")
    data = file_backend.connect("v", far)["data"]
    assert data == file_backend.connect("v", far)["data"]
    read_only = file_backend.connect("v", Connector("ro", "elsewhere", "127.0.0.1", read_only=True))["data"]
    put(file_backend, "v", 0, WORD)

    def write(where: dict[str, object], tls_dir: str | None, command: str = "write -P 1 1M 64k") -> str:
        options = f"driver=nbd,server.type=inet,server.host={where['host']},server.port={where['port']},export={where['export']}"
        secured = ["--object", f"tls-creds-x509,id=t,dir={tls_dir},endpoint=client"] if tls_dir else []
        options += ",tls-creds=t" if tls_dir else ""
        program = ["qemu-io", *secured, *(["-r"] if command.startswith("read") else []), "-c", command, "--image-opts", options]
        done = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout + done.stderr

    assert "wrote 65536/65536" in write(data, data["tls_dir"])
    assert get(file_backend, "v", MIB, 2) == b"\1\1"
    assert "wrote" not in write(data, None)
    assert "wrote" not in write(data, read_only["tls_dir"])
    assert "wrote" not in write(read_only, read_only["tls_dir"])
    assert "read 65536/65536" in write(read_only, read_only["tls_dir"], "read -P 1 1M 64k")
    file_backend.ensure(VolumeSpec("v", 2))
    assert "wrote 65536/65536" in write(data, data["tls_dir"], "write -P 2 1536M 64k")
    file_backend.disconnect("v", "far")
    assert "wrote" not in write(data, data["tls_dir"])
    file_backend.disconnect("v", "ro")
    assert os.listdir(file_backend.serving.directory) == []


def test_answers_to_another_host_are_sent_at_once(file_backend: FileBackend) -> None:
    """Else the end of each waits 40 ms for a word that the beginning is there."""
    file_backend.ensure(VolumeSpec("v", 1))
    data = file_backend.connect("v", Connector("far", "there", address="127.0.0.1"))["data"]
    gate = daemon_of(file_backend, "v.rw")
    assert gate is not None
    with socket.create_connection((data["host"], data["port"]), 10) as client:
        assert client.recv(8) == b"NBDMAGIC"
        served = []
        for entry in Path(f"/proc/{gate.pid}/fd").iterdir():
            if os.readlink(entry).startswith("socket:"):
                copy = ctypes.CDLL(None).syscall(PIDFD_GETFD, gate.pidfd, int(entry.name), 0)
                with socket.socket(fileno=copy) as found:
                    if found.family == socket.AF_INET and found.getsockname() == client.getpeername():
                        served.append(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    assert len(served) == 2, "one listens, one is connected"
    assert all(served)


def test_a_port_that_somebody_else_has_is_named(file_backend: FileBackend) -> None:
    file_backend.ensure(VolumeSpec("v", 1))
    far = Connector("far", "there", address="127.0.0.1")
    data = file_backend.connect("v", far)["data"]
    file_backend.close()
    daemon.stop(file_backend.serving.directory / "v.rw")
    with socket.create_server(("127.0.0.1", data["port"])):
        again = make_file(file_backend.tree.directory.parent)
        try:
            with pytest.raises(VolumeDriverError, match=f"127.0.0.1 port {data['port']}: Address already in use"):
                again.connect("v", far)
        finally:
            again.close()


def test_a_guest_of_qemu_goes_on_over_growth_and_snapshots(file_backend: FileBackend) -> None:
    """qemu-io is the block layer of a guest: it comes back by itself when the connection is lost."""
    file_backend.ensure(VolumeSpec("v", 1))
    data = file_backend.connect("v", LOCAL)["data"]
    options = f"driver=nbd,server.type=unix,server.path={data['socket']},export=v,reconnect-delay=30"
    guest = subprocess.Popen(
        ["qemu-io", "--image-opts", options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )

    def write(offset: str) -> float:
        started = time.monotonic()
        guest.stdin.write(f"write -P 7 {offset} 64k\n")
        guest.stdin.flush()
        while (line := guest.stdout.readline()) and "wrote 65536" not in line:
            assert "fail" not in line.lower(), line
        assert line
        return time.monotonic() - started

    write("0")
    file_backend.take_snapshot("v", "s")
    write("1M")
    file_backend.ensure(VolumeSpec("v", 2))
    assert write("2M") < 30
    os.kill(daemon_of(file_backend).pid, signal.SIGKILL)
    assert write("3M") < 30
    guest.communicate("quit\n", timeout=10)
    assert [get(file_backend, "v", at * MIB, 1) for at in range(4)] == [b"\7"] * 4
    assert [get(file_backend, "v", at * MIB, 1, "s") for at in range(2)] == [b"\7", b"\0"]


def test_dropping_the_last_snapshot_makes_one_plain_file_again(file_backend: FileBackend) -> None:
    file_backend.ensure(VolumeSpec("v", 1))
    put(file_backend, "v", 0, WORD)
    file_backend.take_snapshot("v", "s")
    put(file_backend, "v", 0, b"W")
    file_backend.ensure(VolumeSpec("v", 2))
    assert len(layers(file_backend)) == 2
    file_backend.drop_snapshot("v", "s", "punch")
    until(lambda: len(layers(file_backend)) == 1)
    assert layers(file_backend)[0].endswith(".raw")
    content = file_backend.open("v")
    assert (content.size_bytes, content.read(0, len(WORD))) == (2 * GIB, b"W" + WORD[1:])
    content.close()


@pytest.mark.parametrize("connected", [True, False])
def test_chains_are_bounded(file_backend: FileBackend, connected: bool) -> None:
    file_backend.ensure(VolumeSpec("v", 1))
    if connected:
        file_backend.connect("v", LOCAL)
    for number in range(MANY):
        put(file_backend, "v", number * MIB, bytes([number + 1]))
        file_backend.take_snapshot("v", f"s{number}")

    def depth() -> int:
        return len(file_backend.tree.chain(file_backend.tree.require("v").top))

    until(lambda: depth() <= CHAIN_MAX)
    assert [get(file_backend, "v", number * MIB, 1)[0] for number in range(MANY)] == list(range(1, MANY + 1))
    for number in range(0, MANY, 3):
        assert get(file_backend, "v", number * MIB, 2, f"s{number}") == bytes([number + 1, 0])


def test_only_what_nobody_shares_is_wiped(file_backend: FileBackend) -> None:
    file_backend.ensure(VolumeSpec("v", 1))
    put(file_backend, "v", 0, WORD)
    file_backend.ensure(VolumeSpec("clone", 1, Source("volume", "v")))
    put(file_backend, "v", MIB, WORD)
    own = file_backend.tree.path(file_backend.tree.require("v").top)
    with own.open("rb") as still_open:
        assert WORD in still_open.read()
        file_backend.destroy("v", "zero")
        assert os.fstat(still_open.fileno()).st_size == 0
    assert get(file_backend, "clone", 0, len(WORD)) == WORD


def test_a_wipe_that_was_interrupted_is_finished_later(tmp_path: Path) -> None:
    backend = make_file(tmp_path)
    backend.ensure(VolumeSpec("v", 1))
    put(backend, "v", 0, WORD)
    backend.close()
    with pytest.raises(VolumeDriverError):
        backend.destroy("v", "shred")
    trash = tmp_path / "volumes" / "trash"
    assert len(os.listdir(trash)) == 1
    backend = make_file(tmp_path)
    until(lambda: os.listdir(trash) == [])
    assert backend.observe("v") is None
    tear_down(backend)


def test_what_a_killed_process_left_is_swept_away(tmp_path: Path) -> None:
    backend = make_file(tmp_path)
    backend.ensure(VolumeSpec("v", 1))
    backend.take_snapshot("v", "s")
    backend.close()
    qcow2.create(tmp_path / "volumes" / "layers" / "0123456789.qcow2", GIB)
    (tmp_path / "volumes" / "building" / "half.raw").write_bytes(WORD)
    (tmp_path / "volumes" / "volumes" / ".v.new").write_bytes(b"{")
    backend = make_file(tmp_path)
    assert len(layers(backend)) == 2
    assert os.listdir(tmp_path / "volumes" / "building") == []
    assert set(backend.observe_all()) == {"v"}
    tear_down(backend)


KILLED = """
import sys
from pathlib import Path
from pileus.volume.driver import *
from pileus.volume.drivers.file import FileBackend
here = Path(sys.argv[1])
backend = FileBackend(here / "volumes", here / "run", "here")
backend.ensure(VolumeSpec("v", 1))
content = backend.connect("v", Connector("c", "here"))
print("up", flush=True)
for number in range(100000):
    content = backend.open("v", writable=True)
    content.write(number % 1000 * 65536, number.to_bytes(4, "big"))
    content.flush()
    content.close()
    print(number, flush=True)
    backend.take_snapshot("v", f"s{number}")
    backend.ensure(VolumeSpec("clone", 1, Source("snapshot", f"s{number}", "v")))
    backend.drop_snapshot("v", f"s{number - 2}", "zero")
    backend.destroy("clone", "zero")
"""


@pytest.mark.parametrize("delay_seconds", [0.02, 0.05, 0.11, 0.17, 0.23, 0.31, 0.4, 0.55])
def test_killed_at_any_moment_nothing_is_lost_or_half_there(tmp_path: Path, delay_seconds: float) -> None:
    child = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "up\n"
    time.sleep(delay_seconds)
    child.kill()
    written = [int(line) for line in child.stdout.read().split("\n")[:-1] if line]
    child.wait()
    backend = make_file(tmp_path)
    try:
        state = backend.observe("v")
        assert state.connections == ("c",)
        for number in written:
            assert get(backend, "v", number * 65536, 4) == number.to_bytes(4, "big")
        for id in state.snapshots:
            number = int(id[1:])
            assert get(backend, "v", number * 65536, 4, id) == number.to_bytes(4, "big")
            backend.drop_snapshot("v", id, "zero")
        backend.take_snapshot("v", "after")
        backend.ensure(VolumeSpec("clone", 1, Source("snapshot", "after", "v")))
        backend.drop_snapshot("v", "after", "zero")
        backend.disconnect("v", "c")
        backend.destroy("clone", "zero")
        for number in written:
            assert get(backend, "v", number * 65536, 4) == number.to_bytes(4, "big")
        backend.destroy("v", "zero")
        backend.close()
        backend = make_file(tmp_path)  # what outlived the process by a moment may have left something; a start sweeps it away
        assert layers(backend) == []
    finally:
        tear_down(backend)


def test_a_job_that_a_killed_process_left_stands_in_nobodys_way(tmp_path: Path) -> None:
    backend = make_file(tmp_path)
    backend.ensure(VolumeSpec("v", 1))
    backend.connect("v", LOCAL)
    for number in range(3):
        put(backend, "v", number * MIB, bytes([number + 1]) * MIB)
        backend.take_snapshot("v", f"s{number}")
    chain = backend.tree.chain(backend.tree.require("v").top)
    with monitor(backend.serving.live("v")) as talk:
        arguments = {"job-id": nodes.SHORTEN, "device": nodes.top_of(talk), "base-node": nodes.name_of(chain[-1])}
        talk.execute("block-stream", **arguments, backing_file=chain[-1], speed=1000, auto_dismiss=False)
    backend.close()
    backend = make_file(tmp_path)
    try:
        for number in range(3, MANY):
            backend.take_snapshot("v", f"s{number}")
        until(lambda: len(backend.tree.chain(backend.tree.require("v").top)) <= CHAIN_MAX)
        assert [get(backend, "v", number * MIB, 1)[0] for number in range(4)] == [1, 2, 3, 0]
        assert [get(backend, "v", number * MIB, 1, "s1")[0] for number in range(3)] == [1, 2, 0]
    finally:
        tear_down(backend)


def opened(backend: FileBackend, layers_: list[str]) -> dict[str, str]:
    """By which descriptors the daemon of the volume has layers open."""
    folder = Path(f"/proc/{daemon.lock_holder(backend.serving.directory / 'v' / 'pid')}/fd")
    found = {os.path.basename(os.readlink(entry)): entry.name for entry in folder.iterdir() if entry.is_symlink()}
    return {layer: found[layer] for layer in layers_ if layer in found}


def test_no_layer_is_opened_anew_while_a_chain_is_shortened(tmp_path: Path) -> None:
    backend = make_file(tmp_path)
    try:
        backend.ensure(VolumeSpec("v", 1))
        backend.connect("v", LOCAL)
        for number in range(CHAIN_MAX - 1):
            put(backend, "v", number * MIB, bytes([number + 1]) * MIB)
            backend.take_snapshot("v", f"s{number}")
        chain = backend.tree.chain(backend.tree.require("v").top)
        before, at_work = opened(backend, chain), []
        qmp = backend.serving.live("v")
        assert qmp
        nodes.shorten(qmp, chain, lambda: at_work.append(opened(backend, chain)), lambda: False)
        assert at_work[0] == before, "requests under way at a descriptor that is closed fail"
        assert set(opened(backend, chain)) == {chain[0], chain[-1]}, "nothing holds what nobody needs any more"
        assert [get(backend, "v", number * MIB, 1)[0] for number in range(CHAIN_MAX - 1)] == list(range(1, CHAIN_MAX))
    finally:
        tear_down(backend)


def test_what_is_left_is_wiped_once_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    backend = make_file(tmp_path)
    backend.ensure(VolumeSpec("v", 1))
    backend.take_snapshot("v", "s")
    for number in range(6):
        with (backend.tree.directory / "trash" / f"zero.v.left{number}.raw").open("wb") as file:
            for fragment in range(300):
                file.seek(fragment * 7 * 65536)
                file.write(WORD)
    backend.close()
    backend = make_file(tmp_path)
    try:
        backend.connect("v", LOCAL)
        backend.disconnect("v", "c")
        backend.drop_snapshot("v", "s", "shred")
        assert os.listdir(backend.tree.directory / "trash") == []
        backend.destroy("v", "shred")
        assert layers(backend) == []
    finally:
        tear_down(backend)


@pytest.mark.parametrize("disk_format", ["raw", "qcow2", "vmdk", "vdi", "vhdx"])
def test_copy_out_writes_any_format(file_backend: FileBackend, tmp_path: Path, disk_format: str) -> None:
    file_backend.ensure(VolumeSpec("v", 1))
    put(file_backend, "v", MIB, WORD)
    file_backend.connect("v", LOCAL)
    target = tmp_path / "out"
    file_backend.copy_out("v", str(target), disk_format)
    command = ["qemu-img", "convert", "-f", disk_format, "-O", "raw", target, tmp_path / "raw"]
    subprocess.run(command, check=True)
    with (tmp_path / "raw").open("rb") as file:
        file.seek(MIB)
        assert file.read(len(WORD)) == WORD
    assert (tmp_path / "raw").stat().st_size == GIB


def test_a_volume_of_an_image_holds_its_own_name_for_the_file(file_backend: FileBackend, tmp_path: Path) -> None:
    source = qcow2_image(tmp_path / "image")
    file_backend.ensure(VolumeSpec("v", 1, source))
    assert Path(source.path).stat().st_nlink == 2
    with Path(source.path).open("rb") as guest:
        before = guest.read()
        Path(source.path).unlink()
        file_backend.take_snapshot("v", "s")
        file_backend.drop_snapshot("v", "s", "shred")
        file_backend.destroy("v", "shred")
        guest.seek(0)
        assert guest.read() == before, "a guest may still stand on the image"
    assert layers(file_backend) == []


def test_connecting_and_disconnecting_is_quick(file_backend: FileBackend, tmp_path: Path) -> None:
    file_backend.ensure(VolumeSpec("v", 1, raw_image(tmp_path / "image")))
    took = []
    for _ in range(5):
        started = time.monotonic()
        file_backend.connect("v", LOCAL)
        file_backend.disconnect("v", "c")
        took.append(time.monotonic() - started)
    assert min(took) < 2


def test_paths_of_sockets_are_short_enough(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    backend = FileBackend(deep / "volumes", deep / "run", HOST)
    try:
        backend.ensure(VolumeSpec("v" * 36, 1))
        path = backend.connect("v" * 36, LOCAL)["data"]["socket"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
    finally:
        tear_down(backend)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a/b", ".hidden", "x" * 65, "a.b"])
def test_ids_that_are_no_names_are_refused(file_backend: FileBackend, name: str) -> None:
    for call in (
        lambda: file_backend.ensure(VolumeSpec(name, 1)),
        lambda: file_backend.destroy(name, "none"),
        lambda: file_backend.connect(name, LOCAL),
        lambda: file_backend.open(name),
    ):
        with pytest.raises(VolumeDriverError):
            call()


@pytest.mark.parametrize("connected", [True, False])
def test_a_chain_that_was_shortened_is_whole_on_the_disk(file_backend: FileBackend, connected: bool) -> None:
    """Whatever the storage daemon still had in its memory: a layer's header does not go to the disk before what it promises."""
    file_backend.ensure(VolumeSpec("v", 1))
    if connected:
        file_backend.connect("v", LOCAL)
    for number in range(MANY):
        put(file_backend, "v", number * MIB, bytes([number + 1]))
        file_backend.take_snapshot("v", f"s{number}")
    until(lambda: len(file_backend.tree.chain(file_backend.tree.require("v").top)) <= CHAIN_MAX)
    if process := daemon_of(file_backend):
        os.kill(process.pid, signal.SIGKILL)
        assert process.ended(30)
    assert [get(file_backend, "v", number * MIB, 1)[0] for number in range(MANY)] == list(range(1, MANY + 1))
