"""Two proxies before five storage nodes, all of them processes: clients race on the same names while some of them are killed."""

import hashlib
import http.client
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pileus.object_store.storage.ring.table import load_table

from .conftest import free_port
from .processes import Processes

pytestmark = [pytest.mark.host, pytest.mark.timeout(400)]

PATIENCE_SECONDS = 120.0
NAMES, CLIENTS, ROUNDS = 5, 4, 12
ACCOUNT = "/v1/AUTH_test"


@dataclass
class Site:
    """The processes, and what was acknowledged."""

    nodes: Processes
    ports: list[int] = field(default_factory=lambda: [free_port(), free_port()])
    proxies: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    token: str = ""

    def start_proxy(self, number: int) -> None:
        command = [sys.executable, "-m", "pileus.cli", "--state-dir", str(self.nodes.path / "state"), "proxy-server"]
        command += ["--rings", f"{self.nodes.path}/rings", "--listen", f"127.0.0.1:{self.ports[number]}"]
        environment = {**os.environ, "PILEUS_OBJECT_TEMPAUTH_USERS": "test:tester:testing:.admin"}
        with open(self.nodes.path / f"proxy{number}.log", "ab") as log:
            self.proxies[number] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.ask(number, "GET", "/healthcheck")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def kill_proxy(self, number: int) -> None:
        process = self.proxies.pop(number)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def ask(self, number: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Send a request to a proxy; return status, body and headers, status 0 when it is not answered."""
        link = http.client.HTTPConnection("127.0.0.1", self.ports[number], timeout=60)
        given = {"X-Auth-Token": self.token} if self.token else {}
        try:
            link.request(method, path, body, {**given, **{key.replace("_", "-"): value for key, value in headers.items()}})
            answer = link.getresponse()
            return answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()}
        except (OSError, http.client.HTTPException):
            return 0, b"", {}
        finally:
            link.close()

    def close(self) -> None:
        for number in list(self.proxies):
            self.kill_proxy(number)
        self.nodes.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(Processes(tmp_path))
    for kind in ("account", "container", "object", "object-1"):  # all proxies of a cluster know each other's tokens by its salt
        table = load_table(f"{tmp_path}/rings/{kind}.ring.gz")
        assert len([node for node in table.devices if node]) == 5
    for number in range(5):
        made.nodes.start(number)
    made.start_proxy(0)
    made.start_proxy(1)
    yield made
    made.close()


def etag_of(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def test_races_over_two_proxies_have_one_winner_everywhere(site: Site) -> None:
    tokens = []
    for number in range(2):
        status, _, headers = site.ask(number, "GET", "/auth/v1.0", X_Auth_User="test:tester", X_Auth_Key="testing")
        assert status == 200
        tokens.append(headers["x-auth-token"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while site.ask(0, "PUT", f"{ACCOUNT}/box", X_Auth_Token=tokens[0])[0] not in {201, 202}:
        assert time.monotonic() < deadline, "no quorum of the nodes answers"
        time.sleep(0.2)
    sent: dict[str, dict[str, int]] = {f"o{number}": {} for number in range(NAMES)}

    def client(number: int) -> None:
        chance, proxy = random.Random(number), number % 2
        for turn in range(ROUNDS):
            name, body = f"o{chance.randrange(NAMES)}", b"%d %d " % (number, turn) * chance.choice((1, 1_000, 60_000))
            sent[name][etag_of(body)] = -1  # on its way
            sent[name][etag_of(body)] = site.ask(proxy, "PUT", f"{ACCOUNT}/box/{name}", body, X_Auth_Token=tokens[proxy])[0]

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    site.nodes.kill(3)
    time.sleep(0.5)
    site.kill_proxy(1)
    site.nodes.start(3)
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    site.start_proxy(1)
    _, _, headers = site.ask(1, "GET", "/auth/v1.0", X_Auth_User="test:tester", X_Auth_Key="testing")
    tokens[1] = headers["x-auth-token"]
    wrong, deadline = "not looked yet", time.monotonic() + 2 * PATIENCE_SECONDS
    while wrong and time.monotonic() < deadline:
        wrong = disagreement(site, tokens, sent)
        time.sleep(0.5)
    assert not wrong
    assert any(status == 201 for name in sent for status in sent[name].values())


def disagreement(site: Site, tokens: list[str], sent: dict[str, dict[str, int]]) -> str:
    """Return on what the proxies, the listing and the disks do not agree; "" when they do."""
    rows = site.ask(0, "GET", f"{ACCOUNT}/box", X_Auth_Token=tokens[0])[1].decode().split()
    for name, writes in sent.items():
        answers = [site.ask(number, "GET", f"{ACCOUNT}/box/{name}", X_Auth_Token=tokens[number]) for number in range(2)]
        found = {(status, etag_of(body), headers.get("x-timestamp")) for status, body, headers in answers}
        if len(found) != 1:
            return f"{name}: the proxies differ: {found}"
        ((status, etag, stamp),) = found
        if status == 404:
            if any(one == 201 for one in writes.values()):
                return f"{name} is lost"
            continue
        if status != 200 or writes.get(etag) is None or name not in rows:
            return f"{name}: {status} {etag}, listed: {name in rows}"
        copies = [
            path for path in site.nodes.path.glob("d*/objects/*/*/*/*.data") if path.name.startswith(str(stamp).split(".")[0])
        ]
        if sum(etag_of(path.read_bytes()) == etag for path in copies) < 3:
            return f"{name}: fewer than three replicas of the winner"
    live = list(site.nodes.path.glob("d*/objects/*/*/*/*.data"))
    expected = 3 * sum(name in rows for name in sent)
    return "" if len(live) == expected else f"{len(live)} files, not {expected}: losers are left"
