"""A real cloud, started as its user would start it, beside any other on the machine.

One for all journeys: they share it and leave it as they found it.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
import pytest
import yaml

from tests import engines

IMAGE = "cirros-pileus"
WAIT_SECONDS = 120.0


def until(look: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """Look until there is something to see."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
    return found


@dataclass
class RealCloud:
    """A cloud of its own name, state, port and public network."""

    state_dir: Path
    name: str
    listen: str
    public_cidr: str

    @property
    def environment(self) -> dict[str, str]:
        own = {"NAME": self.name, "LISTEN": self.listen, "PUBLIC_CIDR": self.public_cidr}
        if url := engines.url_for(self.state_dir.with_name("server")):
            own["DATABASE_URL"] = url
        return {**os.environ, **{f"PILEUS_{name}": value for name, value in own.items()}}

    def pileus(self, *arguments: str, check: bool = True) -> str:
        command = [sys.executable, "-m", "pileus.cli", "--state-dir", str(self.state_dir), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self) -> None:
        self.pileus("up", "--detach")

    def kill(self) -> None:
        """End the control plane as a crash would."""
        pid = json.loads((self.state_dir / "process.json").read_text())["pid"]
        os.kill(pid, signal.SIGKILL)
        until(lambda: "running        False" in self.pileus("status", check=False), 10)

    def connect(self, project: str = "demo") -> openstack.connection.Connection:
        entry = yaml.safe_load(self.pileus("clouds-yaml"))["clouds"][f"{self.name}-{project}"]
        return openstack.connect(auth=entry["auth"], region_name=entry["region_name"])

    def openrc(self, project: str) -> dict[str, str]:
        """The environment of a command-line client."""
        lines = [line.removeprefix("export ").partition("=") for line in self.pileus("openrc", project).splitlines()]
        return {**self.environment, **{name: value.strip("'") for name, _, value in lines}}

    def guests(self) -> list[int]:
        """The pids of this cloud's QEMU processes."""
        return self._processes(b"qemu-system")

    def storage_daemons(self) -> list[int]:
        """The pids of the processes that serve this cloud's volumes."""
        return self._processes(b"qemu-storage-daemon")

    def _processes(self, program: bytes) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            except OSError:
                continue
            if program in command.split(b"\0")[0] and str(self.state_dir).encode() in command:
                found.append(int(entry.name))
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def real(tmp_path_factory) -> Iterator[RealCloud]:
    """The cloud, with its guest image built."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    number = secrets.randbelow(200) + 20
    cloud = RealCloud(
        tmp_path_factory.mktemp("cloud") / "state", f"plt{number}", f"127.0.0.1:{free_port()}", f"172.25.{number}.0/24"
    )
    cloud.up()
    try:
        connection = cloud.connect("admin")
        until(lambda: (image := connection.image.find_image(IMAGE)) and image.status == "active")
        yield cloud
    finally:
        log = cloud.state_dir / "pileus.log"
        print(log.read_text()[-4000:] if log.exists() else "no log")
        cloud.pileus("down", "--purge", "--yes")


@pytest.fixture(scope="session")
def key(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


def ssh(address: str, key: Path, command: str) -> str | None:
    """Run a command in a guest; None when it cannot be reached or the command fails."""
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=3"]
    flags = [part for option in options for part in ("-o", option)]
    done = subprocess.run(
        ["ssh", "-q", *flags, "-i", str(key), f"cirros@{address}", command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout if done.returncode == 0 else None
