"""A storage cluster as an operator builds it: rings, then a process for each kind of server, and a proxy."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import free_port

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]

PATIENCE_SECONDS = 120.0
KINDS = ("account", "container", "object")


class Site:
    """Processes, each by the name of its command, with the port that it listens on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in (*KINDS, "proxy")}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "srv" / "d1").mkdir(parents=True)
        for kind in KINDS:
            self.pileus("ring", f"{kind}.builder", "create", "4", "1", "1")
            self.pileus("ring", f"{kind}.builder", "add", f"r1z1-127.0.0.1:{self.ports[kind]}/d1", "100")
            self.pileus("ring", f"{kind}.builder", "rebalance")

    def pileus(self, *words: str) -> str:
        command = [sys.executable, "-m", "pileus.cli", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name: str) -> None:
        words = [f"{name}-server", "--rings", str(self.folder), "--listen", f"127.0.0.1:{self.ports[name]}"]
        if name == "proxy":
            words = ["--state-dir", str(self.folder / "state"), *words]
        else:
            words += ["--devices", str(self.folder / "srv")]
        environment = {**os.environ, "PILEUS_OBJECT_TEMPAUTH_USERS": "test:tester:testing:.admin"}
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "pileus.cli", *words], env=environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.ask(name, "/healthcheck")[0] != 200:
            assert self.running[name].poll() is None, (self.folder / f"{name}.log").read_text()
            assert time.monotonic() < deadline, f"the {name} server does not answer"
            time.sleep(0.1)

    def ask(
        self, name: str, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """Send a request; return status, body and headers, status 0 when nobody answers."""
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports[name]}{path}", body, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read(), {key.lower(): value for key, value in answer.headers.items()}
        except urllib.error.HTTPError as error:
            return error.code, error.read(), {}
        except OSError:
            return 0, b"", {}

    def stop(self, name: str) -> int:
        """Ask a process to end, and return its exit status."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def test_each_kind_of_server_is_a_command(site: Site) -> None:
    for name in (*KINDS, "proxy"):
        site.start(name)
    for name in KINDS:  # a call without its arguments is refused by who serves the kind, and unknown to the others
        assert [site.ask(name, f"/{kind}s/head")[0] for kind in KINDS] == [400 if kind == name else 404 for kind in KINDS]
    status, _, headers = site.ask("proxy", "/auth/v1.0", X_Auth_User="test:tester", X_Auth_Key="testing")
    assert status == 200
    token, account = headers["x-auth-token"], "/v1/AUTH_test"
    assert site.ask("proxy", f"{account}/box", "PUT", b"", X_Auth_Token=token)[0] == 201
    body = os.urandom(3_000_000)
    assert site.ask("proxy", f"{account}/box/o", "PUT", body, X_Auth_Token=token)[0] == 201
    assert site.ask("proxy", f"{account}/box/o", X_Auth_Token=token)[:2] == (200, body)
    assert site.ask("proxy", f"{account}/box", X_Auth_Token=token)[:2] == (200, b"o\n")
    assert site.ask("proxy", account, X_Auth_Token=token)[:2] == (200, b"box\n")
    assert site.ask("proxy", f"{account}/box/o")[0] == 401
    assert site.stop("object") == 0
    assert site.ask("proxy", f"{account}/box/o", X_Auth_Token=token)[0] == 503
    assert site.ask("proxy", f"{account}/box", X_Auth_Token=token)[0] == 200, "the containers have a server of their own"
    site.start("object")
    assert site.ask("proxy", f"{account}/box/o", X_Auth_Token=token)[:2] == (200, body)
    for name in ("proxy", *KINDS):
        assert site.stop(name) == 0, name
