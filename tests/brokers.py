"""A RabbitMQ of the tests' own, by tools/dbs: gone afterwards."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
TOOL = Path(__file__).parents[1] / "tools" / "dbs"


def is_there() -> bool:
    """Tell whether Debian's rabbitmq-server is installed."""
    return SERVER.exists()


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Run a broker; yields its URL."""
    command = [str(TOOL), "rabbitmq", "sh", "-c", "echo $PILEUS_TEST_BUS; exec cat"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdin
    assert process.stdout
    try:
        url = process.stdout.readline().strip()
        assert url, "RabbitMQ did not start"
        yield url
    finally:
        process.stdin.close()  # which ends cat, and the tool ends the broker
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
