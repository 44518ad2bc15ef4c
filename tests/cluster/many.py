"""The processes of a cloud of many, on loopback: engines, APIs, workers, agents; each can be killed and started again."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from pileus.kernel.clock import SystemClock
from pileus.kernel.db import Database
from pileus.kernel.settings import Settings
from pileus.nodes import joining
from pileus.nodes import service as nodes
from tests.brokers import Engine, engine

WAIT_SECONDS = 300.0
SECRET = "the secret of a cloud of the tests"


def until(look: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Look until there is something to see."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)
    return found


def free_port() -> int:
    """Return a port that nobody has."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Many:
    """A cloud of many processes.  Those of the control plane have a state directory each, as on machines of their own."""

    folder: Path
    database: Engine
    broker: Engine
    hosts: tuple[str, ...]
    settings: dict[str, str]
    agent: list[str] | None = None
    host_settings: dict[str, Any] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, tuple[list[str], dict[str, str]]] = field(default_factory=dict)
    url: str = ""
    starts: int = 0

    def start(self, name: str) -> None:
        """Start a process: `api...`, `worker...`, or that of a host."""
        command, environment = self.commands[name]
        with open(self.folder / f"{name}.log", "ab") as out:
            self.processes[name] = subprocess.Popen(
                command, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out,
            )  # fmt: skip
        self.starts += 1

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a process."""
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(60)

    def log(self, name: str) -> str:
        """What a process said."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def control(self, name: str, *arguments: str) -> None:
        """Note how a process of the control plane is started."""
        command = [sys.executable, "-m", "pileus.cli", "--state-dir", str(self.folder / name), *arguments]
        self.commands[name] = command, {**self.settings, "PILEUS_HOST_NAME": name}

    def knock(self, host: str) -> dict[str, Any]:
        """Have a host let in, as `pileus join` does; returns the settings that it is handed."""
        state_dir = self.folder / host
        state_dir.mkdir(mode=0o700)
        own = Settings(state_dir=str(self.folder / "api1"), secret=SECRET)
        db = Database(self.database.url)
        token = nodes.issue_token(db, SystemClock(), nodes.authority_of(db, own))
        db.dispose()
        door = f"https://{self.settings['PILEUS_HOST_ADDRESS']}:{self.settings['PILEUS_JOIN_PORT']}"
        return joining.knock(door, token, host, state_dir)

    def join(self, host: str) -> None:
        """Have a host join, and note how its agent is started."""
        given, state_dir = self.knock(host), self.folder / host
        fakes = {"hypervisor": "fake", "network_driver": "fake", "volume_backends": "", "host_name": host}
        lines = {**given, **fakes, **self.host_settings, "host_address": "127.0.0.1"}
        (state_dir / "pileus.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items()))
        self.commands[host] = self.agent or [sys.executable, "-m", "tests.cluster.agent", str(state_dir)], {}

    def token(self, name: str = "admin") -> str:
        """A token of one of the first users in the project of its name."""
        password = json.loads(next(self.folder.glob("*/passwords.json")).read_text())[name]
        user = {"name": name, "domain": {"id": "default"}, "password": password}
        scope = {"project": {"name": name, "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        answer = httpx.post(f"{self.url}/identity/v3/auth/tokens", json=body, timeout=30)
        answer.raise_for_status()
        return str(answer.headers["X-Subject-Token"])

    def answers(self, port: int) -> bool:
        """Tell whether the API at a port is up and well."""
        try:
            return httpx.get(f"http://127.0.0.1:{port}/identity/v3", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


@contextlib.contextmanager
def cloud_of_many(
    folder: Path,
    hosts: int | tuple[str, ...] = 3,
    workers: int = 2,
    agent: list[str] | None = None,
    host_settings: dict[str, Any] | None = None,
    address: str = "127.0.0.1",
    join: Callable[[Many, str], None] = Many.join,
    **settings: str,
) -> Iterator[Many]:
    """Run a cloud: an API, workers, hosts with fakes, on engines of its own.

    :param hosts: how many, or their names.
    :param agent: the command that runs an agent; by default one whose fakes are kept.
    :param address: where hosts reach the control plane.
    :param join: has a host join, and notes how its agent is started.
    """
    with contextlib.ExitStack() as stack:
        database, broker = stack.enter_context(engine("postgresql")), stack.enter_context(engine("rabbitmq", address))
        port, door = free_port(), free_port()
        chosen = {
            "DATABASE_URL": database.url, "BUS_URL": broker.url, "SECRET": SECRET, "LISTEN": f"127.0.0.1:{port}",
            "HOST_ADDRESS": address,
            "JOIN_PORT": str(door), "BCRYPT_ROUNDS": "4", "DEMO": "false", "BOOT_TIMEOUT_SECONDS": "60", **settings,
        }  # fmt: skip
        names = hosts if isinstance(hosts, tuple) else tuple(f"host{number}" for number in range(1, hosts + 1))
        many = Many(folder, database, broker, names, {f"PILEUS_{name}": value for name, value in chosen.items()})
        many.agent, many.host_settings = agent, host_settings or {}
        many.url = f"http://127.0.0.1:{port}"
        stack.callback(_end, many)
        many.control("api1", "api")
        for number in range(1, workers + 1):
            many.control(f"worker{number}", "worker")
        for name in list(many.commands):
            many.start(name)
        until(lambda: _lives(many) and many.answers(port), "the API")
        for host in names:
            join(many, host)
            many.start(host)
        yield many


def _lives(many: Many) -> bool:
    for name, process in many.processes.items():
        assert process.poll() is None, f"{name} has ended:\n{many.log(name)[-3000:]}"
    return True


def _end(many: Many) -> None:
    for process in many.processes.values():
        process.terminate()
    for process in many.processes.values():
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
