"""Database servers and a RabbitMQ of the tests' own, by tools/dbs: gone afterwards, and killed and started again at will."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import pytest
from sqlalchemy import make_url

PROGRAMS = {
    "rabbitmq": "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "postgresql": "/usr/lib/postgresql/*/bin/postgres",
    "mariadb": "/usr/sbin/mariadbd",
}
TOOL = Path(__file__).parents[1] / "tools" / "dbs"


@dataclass
class Engine:
    """A server that runs."""

    kind: str
    url: str
    process: subprocess.Popen[str]

    def kill(self) -> None:
        """Kill -9."""
        self._say("kill")

    def stop(self) -> None:
        """End it as an operator does."""
        self._say("stop")

    def start(self) -> None:
        """Start it again where it was, and wait until it answers."""
        self._say("start")

    def standby(self) -> str:
        """Have a second server follow this one (PostgreSQL); returns the URL of whichever of the two is to be written to."""
        second = self._say("standby")
        url = make_url(self.url)
        hosts = {"host": (f"127.0.0.1:{url.port}", f"127.0.0.1:{second}"), "target_session_attrs": "read-write"}
        return url.set(host=None, port=None, query=hosts).render_as_string(hide_password=False)

    def promote(self) -> None:
        """Have the second server take the place of the first."""
        self._say("promote")

    def _say(self, word: str) -> str:
        """Say a word; returns what is said before it is repeated."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        answer = ""
        while (line := self.process.stdout.readline().strip()) != word:
            assert line, "the server is gone"
            answer = line
        return answer


def is_there(kind: str = "rabbitmq") -> bool:
    """Tell whether Debian's server of a kind is installed."""
    return bool(glob(PROGRAMS[kind]))


@contextmanager
def engine(kind: str, address: str = "127.0.0.1", tls: Path | None = None) -> Iterator[Engine]:
    """Run a server; a broker at an address, and with TLS where a directory with ca.pem, cert.pem and key.pem is given."""
    process = subprocess.Popen(
        [str(TOOL), kind, "--held"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PILEUS_TEST_ADDRESS": address, "PILEUS_TEST_TLS": str(tls or "")},
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        url = process.stdout.readline().strip()
        assert url, f"{kind} did not start"
        yield Engine(kind, url, process)
    finally:
        process.stdin.close()  # then the tool ends the server
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def at_first_use() -> Iterator[Callable[[str], Engine]]:
    """Give a server of a kind, started when it is asked for first; who asks for one that is not installed is skipped."""
    with ExitStack() as stack:
        found: dict[str, Engine] = {}

        def of(kind: str) -> Engine:
            if not is_there(kind):
                pytest.skip(f"{kind} is not installed")
            if kind not in found:
                found[kind] = stack.enter_context(engine(kind))
            return found[kind]

        yield of


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Run a broker; yields its URL."""
    with engine("rabbitmq") as found:
        yield found.url


@contextmanager
def cut_off(port: int) -> Iterator[None]:
    """Lose every packet that goes to a port or comes from it on this machine; as root."""
    table, hook = f"pileus_test_{port}", "type filter hook input priority -300"
    _nft(f"table inet {table} {{\nchain input {{\n{hook}\ntcp sport {port} drop\ntcp dport {port} drop\n}}\n}}\n")
    try:
        yield
    finally:
        _nft(f"delete table inet {table}\n")


def _nft(text: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True, timeout=20)
