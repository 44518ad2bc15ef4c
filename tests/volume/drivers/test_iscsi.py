"""Back end `iscsi` with true daemons: the contract, and that initiators with the password, and no others, see true content."""

import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pileus.volume.driver import GIB, Connection, Connector, VolumeDriverError, VolumeSpec
from pileus.volume.drivers.iscsi import IscsiBackend
from tests.volume.drivers.conftest import tear_down
from tests.volume.drivers.test_contract import *  # noqa: F403  (all of it is shown of this back end too)
from tests.volume.drivers.test_contract import get, put

pytestmark = pytest.mark.host
MIB = 1 << 20


def opened(directory: Path) -> IscsiBackend:
    return IscsiBackend(directory / "volumes", directory / "run", "here")


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[IscsiBackend]:
    made = opened(tmp_path)
    yield made
    tear_down(made)


def attached(backend: IscsiBackend, volume_id: str = "v", id: str = "a", *, read_only: bool = False) -> Connection:
    return backend.connect(volume_id, Connector(id, "here", read_only=read_only))


def initiator(
    connection: Connection, *commands: str, user: str = "", password: str = "", check: bool = True, netns: str = ""
) -> str:
    """Have QEMU's own initiator log in and do something."""
    data = connection["data"]
    where = {"portal": data["target_portal"], "target": data["target_iqn"], "lun": data["target_lun"], "transport": "tcp"}
    where |= {"user": user or data["auth_username"], "password-secret": "p", "initiator-name": "iqn.2026-01.org.pileus:test"}
    options = ",".join(f"{key}={value}" for key, value in where.items())
    secret = f"secret,id=p,data={password or data['auth_password']}"
    read_only = ["-r"] if data["access_mode"] == "ro" else []
    command = [
        *(["nsenter", f"--net=/run/netns/{netns}"] if netns else []),
        "qemu-io",
        *read_only,
        "--object",
        secret,
        "--image-opts",
        f"driver=raw,file.driver=iscsi,file.{options.replace(',', ',file.')}",
    ]
    done = subprocess.run(
        [*command, *(part for each in commands for part in ("-c", each))], capture_output=True, text=True, timeout=30, check=False
    )
    assert not check or (done.returncode == 0 and "failed" not in done.stdout), done.stdout + done.stderr
    return done.stdout + done.stderr


def test_what_an_initiator_writes_is_in_the_volume(backend: IscsiBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    put(backend, "v", 0, b"before")
    connection = attached(backend)
    assert connection == attached(backend)
    initiator(connection, "read -P 0x62 0 1", "write -P 7 1M 64k", "flush")
    assert get(backend, "v", MIB, 65536) == b"\7" * 65536
    initiator(connection, "discard 1M 64k", "read -P 0 1M 64k")
    backend.take_snapshot("v", "s")
    initiator(connection, "write -P 9 1M 64k", "flush")
    assert get(backend, "v", MIB, 4, "s") == bytes(4)
    backend.disconnect("v", "a")
    assert get(backend, "v", MIB, 4) == b"\x09" * 4


def test_only_who_has_the_password_gets_in(backend: IscsiBackend, tmp_path: Path) -> None:
    for volume_id in ("v", "w"):
        backend.ensure(VolumeSpec(volume_id, 1))
    mine, other = attached(backend), attached(backend, "w", "b")
    for user, password in (
        ("", "wrong-password-x"),
        ("nobody", ""),
        (other["data"]["auth_username"], other["data"]["auth_password"]),
    ):
        said = initiator(mine, "read 0 512", user=user, password=password, check=False)
        assert "Failed to log" in said or "LOGIN" in said or "login" in said, said
    backend.disconnect("v", "a")
    assert "ailed" in initiator(mine, "read 0 512", check=False)
    initiator(other, "read 0 512")
    assert mine["data"]["auth_password"] != other["data"]["auth_password"]
    assert stat.S_IMODE((tmp_path / "volumes" / "chap.key").stat().st_mode) == 0o600


def test_many_share_one_volume_and_one_may_only_read(backend: IscsiBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    one, two, reader = attached(backend), attached(backend, id="b"), attached(backend, id="c", read_only=True)
    initiator(one, "write -P 5 0 64k", "flush")
    initiator(two, "read -P 5 0 64k", "write -P 6 0 64k", "flush")
    initiator(reader, "read -P 6 0 64k")
    writer = {**reader, "data": {**reader["data"], "access_mode": "rw"}}
    assert "ailed" in initiator(writer, "write -P 1 0 64k", check=False) or get(backend, "v", 0, 1) == b"\6"
    assert get(backend, "v", 0, 1) == b"\6"
    backend.disconnect("v", "a")
    initiator(two, "read -P 6 0 64k")


def test_a_volume_grows_while_it_is_connected(backend: IscsiBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    connection = attached(backend)
    initiator(connection, "write -P 3 0 64k", "flush")
    for _ in range(2):
        backend.ensure(VolumeSpec("v", 2))
        initiator(connection, f"write -P 4 {2 * GIB - 65536} 64k", "read -P 3 0 64k", "flush")


def daemons(backend: IscsiBackend) -> dict[str, int]:
    """The daemons of a back end: name and pid."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().decode().split("\0")
            place = os.readlink(path / "cwd")
            if words[0] == "tgtd" and str(backend._units) in (path / "environ").read_text():
                found["tgtd"] = int(path.name)
            elif words[0] == "qemu-storage-daemon" and place.startswith(str(backend._units)):
                found["gate"] = int(path.name)
            elif words[0] == "qemu-storage-daemon" and place.startswith(str(backend.serving.directory)):
                found["daemon"] = int(path.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("victim", ["tgtd", "gate", "daemon"])
def test_what_is_killed_is_started_again(tmp_path: Path, victim: str) -> None:
    backend = opened(tmp_path)
    try:
        backend.ensure(VolumeSpec("v", 1))
        connection = attached(backend)
        initiator(connection, "write -P 3 0 64k", "flush")
        before = daemons(backend)
        assert set(before) == {"tgtd", "gate", "daemon"}
        os.kill(before[victim], signal.SIGKILL)
        deadline = time.monotonic() + 10
        while "ailed" in (said := initiator(connection, "read -P 3 0 64k", check=False)) or not said:
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        assert connection == attached(backend)
        assert daemons(backend)[victim] != before[victim]
    finally:
        tear_down(backend)
    assert daemons(backend) == {}


@pytest.mark.parametrize("dead", [False, True])
def test_targets_outlive_us(tmp_path: Path, dead: bool) -> None:
    backend = opened(tmp_path)
    try:
        backend.ensure(VolumeSpec("v", 1))
        connection = attached(backend)
        initiator(connection, "write -P 3 0 64k", "flush")
        backend.close()
        before = daemons(backend)
        for pid in before.values() if dead else ():
            os.kill(pid, signal.SIGKILL)
        if not dead:
            initiator(connection, "read -P 3 0 64k")
        backend = opened(tmp_path)
        deadline = time.monotonic() + 10
        while "ailed" in (said := initiator(connection, "read -P 3 0 64k", check=False)):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        assert (daemons(backend) == before) == (not dead)
    finally:
        tear_down(backend)
    assert daemons(backend) == {}


def outsider(data: Mapping[str, Any], tls_dir: str | None, *commands: str) -> str:
    """Have a client of another host do something."""
    options = f"driver=nbd,server.type=inet,server.host={data['host']},server.port={data['port']},export={data['export']}"
    secured = ["--object", f"tls-creds-x509,id=t,dir={tls_dir},endpoint=client"] if tls_dir else []
    options += ",tls-creds=t" if tls_dir else ""
    program = ["qemu-io", *secured, *(part for each in commands for part in ("-c", each)), "--image-opts", options]
    done = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


def test_another_host_is_served_by_certificate_and_sees_what_this_one_writes(backend: IscsiBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    far = backend.connect("v", Connector("far", "there", "127.0.0.1"))
    assert far["driver_volume_type"] == "nbd"
    assert not {"target_portal", "auth_password", "socket"} & set(far["data"])
    assert backend._target.find() is None
    assert far == backend.connect("v", Connector("far", "there", "127.0.0.1"))
    elsewhere = backend.connect("v", Connector("elsewhere", "elsewhere", "127.0.0.1", read_only=True))["data"]
    far_data, near = far["data"], attached(backend)
    assert near["driver_volume_type"] == "iscsi"
    initiator(near, "write -P 5 0 64k", "flush")
    assert "wrote" in outsider(far_data, far_data["tls_dir"], "read -P 5 0 64k", "write -P 6 0 64k", "flush")
    initiator(near, "read -P 6 0 64k")
    assert "wrote" not in outsider(far_data, None, "write -P 1 0 64k")
    assert "wrote" not in outsider(far_data, elsewhere["tls_dir"], "write -P 1 0 64k")
    backend.ensure(VolumeSpec("v", 2))
    assert "wrote" in outsider(far_data, far_data["tls_dir"], "write -P 7 1536M 64k", "flush")
    initiator(near, "read -P 7 1536M 64k", "read -P 6 0 64k")
    backend.disconnect("v", "far")
    assert "wrote" not in outsider(far_data, far_data["tls_dir"], "write -P 1 0 64k")
    initiator(near, "read -P 6 0 64k")
    assert set(daemons(backend)) == {"tgtd", "gate", "daemon"}
    backend.disconnect("v", "a")
    assert backend._target.find() is None
    backend.disconnect("v", "elsewhere")
    assert daemons(backend) == {}


def test_a_host_that_said_no_address_is_not_connected(backend: IscsiBackend) -> None:
    backend.ensure(VolumeSpec("v", 1))
    with pytest.raises(VolumeDriverError, match="did not say its address"):
        backend.connect("v", Connector("a", "elsewhere"))
    state = backend.observe("v")
    assert state is not None
    assert state.connections == ()


def test_two_back_ends_have_portals_of_their_own(backend: IscsiBackend, tmp_path: Path) -> None:
    other = opened(tmp_path / "other")
    try:
        for each in (backend, other):
            each.ensure(VolumeSpec("v", 1))
        one, two = attached(backend), attached(other)
        assert one["data"]["target_portal"] != two["data"]["target_portal"]
        assert one["data"]["auth_password"] != two["data"]["auth_password"]
        initiator(one, "write -P 1 0 512")
        initiator(two, "read -P 0 0 512")
    finally:
        tear_down(other)


def test_only_guests_in_the_namespace_reach_it(tmp_path: Path) -> None:
    name = f"pileus-test-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    backend = IscsiBackend(tmp_path / "volumes", tmp_path / "run", "here", netns=name)
    try:
        backend.ensure(VolumeSpec("v", 1))
        connection = attached(backend)
        initiator(connection, "write -P 3 0 64k", "flush", netns=name)
        assert get(backend, "v", 0, 4) == b"\3" * 4
        assert "ailed" in initiator(connection, "read 0 512", check=False)
    finally:
        tear_down(backend)
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_a_namespace_that_is_missing_is_an_error(tmp_path: Path) -> None:
    backend = IscsiBackend(tmp_path / "volumes", tmp_path / "run", "here", netns="pileus-nowhere")
    try:
        backend.ensure(VolumeSpec("v", 1))
        with pytest.raises(VolumeDriverError, match="pileus-nowhere"):
            attached(backend)
        assert backend.observe("v").connections == ()
    finally:
        tear_down(backend)
