"""A RabbitMQ of the tests' own: a private directory and port, an ordinary process, gone afterwards."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
READY_SECONDS = 90


def is_there() -> bool:
    """Tell whether Debian's rabbitmq-server is installed."""
    return SERVER.exists() and shutil.which("epmd") is not None


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Run a broker; yields its URL."""
    with TemporaryDirectory(prefix="rabbit-") as folder:
        port, distribution, names = _free_ports(3)
        environment = {
            **os.environ, "HOME": folder, "RABBITMQ_NODENAME": f"test{port}@localhost",
            "RABBITMQ_MNESIA_BASE": f"{folder}/mnesia", "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(distribution), "ERL_EPMD_PORT": str(names), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONFIG_FILE": f"{folder}/none", "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
        }  # fmt: skip
        with open(f"{folder}/out", "wb") as out:
            process = subprocess.Popen([str(SERVER)], env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        try:
            _wait(process, port, Path(folder, "out"))
            yield f"amqp://guest:guest@127.0.0.1:{port}//"
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            subprocess.run(["epmd", "-kill"], env=environment, capture_output=True, check=False)


def _wait(process: subprocess.Popen, port: int, out: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, out.read_text()
        with closing(socket.socket()) as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"RabbitMQ is not ready after {READY_SECONDS} s:\n{out.read_text()}")


def _free_ports(count: int) -> list[int]:
    found = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in found]
    for each in found:
        each.close()
    return ports
