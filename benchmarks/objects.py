"""Object storage beside a real Swift on the same machine: what requests cost the server, and how fast big bodies go.

    python benchmarks/objects.py                       Pileus alone
    python benchmarks/objects.py --peer VENV           and the Swift that is installed in a virtual environment

The peer (`pip install swift==2.38.0`, memcached) runs as in OpenStack's own guides, with the usual middleware: proxy, object,
container and account servers of two workers each on loopback, one device, one replica, tempauth.  Pileus runs whole, in its
one process, with tokens of its identity service.  Every request carries a token.
"""

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pileus.object_store.indexes import ObjectRow
from pileus.object_store.storage.embedded import embedded_cluster
from pileus.object_store.timestamps import Timestamp

HERE = Path(__file__).parent
SECONDS, WARM_UP_SECONDS, ROUNDS = 3.0, 0.5, 3
SIZES, AT_ONCE = (1024, 65536), (16, 32)
FAILED_MAX = 5
BIG_BYTES, PIECE_BYTES = 256 << 20, 1 << 20
LISTED, MANY = 10_000, 1_000_000
READY_SECONDS = 60.0
TICK = os.sysconf("SC_CLK_TCK")
PILEUS_PORT, PEER_PORT, FILE_PORT = 8210, 28080, 8211


@dataclass
class Server:
    """Something to load: where its account is, a token for it, and the processes whose CPU time counts."""

    name: str
    port: int
    path: str
    token: str
    roots: list[int] = field(default_factory=list)

    def pids(self) -> set[int]:
        """Return its processes and their children."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        found = set(self.roots)
        while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
            found |= more
        return found

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(words[11]) + int(words[12])
        return total / TICK

    def memory_mib(self) -> int:
        """Return the memory that its processes hold, shared pages counted once each."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total // 1024


def head(server: Server, method: str, path: str, length: int | None = None, more: str = "") -> bytes:
    """Return the head of a request to a path below the account."""
    sized = "" if length is None else f"Content-Length: {length}\r\n"
    token = f"X-Auth-Token: {server.token}\r\n"
    return f"{method} {server.path}{path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{token}{sized}{more}\r\n".encode()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read an answer with a length."""
    raw = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status, length = int(raw.split(" ", 2)[1]), 0
    for line in raw.split("\r\n"):
        if line.startswith("content-length:") and status != 204:
            length = int(line.partition(":")[2])
    return status, await reader.readexactly(length)


async def ask(server: Server, method: str, path: str, body: bytes = b"") -> bytes:
    """Make one request.  :raises RuntimeError: when it fails."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 26)
    writer.write(head(server, method, path, len(body)) + body)
    status, found = await answer(reader)
    writer.close()
    if status >= 300:
        raise RuntimeError(f"{server.name}: {method} {path} -> {status}")
    return found


async def load(server: Server, make: Callable[[int], bytes], at_once: int) -> dict[str, float]:
    """Make requests over kept connections for a while; return requests a second, of the clock and of the server's CPU."""
    count, done, failed = itertools.count(), [0], [0]
    until = time.monotonic() + WARM_UP_SECONDS + SECONDS

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 22)
        while time.monotonic() < until:
            writer.write(make(next(count)))
            status, _ = await answer(reader)
            done[0] += status < 300
            failed[0] += status >= 300
        writer.close()

    tasks = [asyncio.create_task(one()) for _ in range(at_once)]
    await asyncio.sleep(WARM_UP_SECONDS)
    before, used, started = done[0], server.cpu_seconds(), time.monotonic()
    await asyncio.gather(*tasks)
    seconds, used, made = time.monotonic() - started, server.cpu_seconds() - used, done[0] - before
    if failed[0] > FAILED_MAX:  # a peer that is starved of CPU gives up on some
        raise RuntimeError(f"{server.name}: {failed[0]} requests failed beside {done[0]}")
    return {"cpu_ms": used / made * 1000, "per_second": made / seconds}


async def small(servers: list[Server], figures: dict[str, dict[str, float]]) -> None:
    """Load with small objects, in turn, so that all meet the same machine; keep the medians."""
    for server in servers:
        await ask(server, "PUT", "/bench")
    found: dict[tuple[str, str], list[float]] = {}
    made = dict.fromkeys(((server.name, size) for server in servers for size in SIZES), 0)
    for size, method, at_once, _, server in itertools.product(SIZES, ("PUT", "GET"), AT_ONCE, range(ROUNDS), servers):
        body, first = os.urandom(size), made[server.name, size]

        def put(place: int, server: Server = server, size: int = size, body: bytes = body, first: int = first) -> bytes:
            made[server.name, size] += 1
            return head(server, "PUT", f"/bench/{size}-{first + place:07d}", len(body)) + body

        def get(place: int, server: Server = server, size: int = size, first: int = first) -> bytes:
            return head(server, "GET", f"/bench/{size}-{place * 7919 % first:07d}")

        for key, value in (await load(server, put if method == "PUT" else get, at_once)).items():
            found.setdefault((server.name, f"{method.lower()} {size} x{at_once} {key}"), []).append(value)
    for (name, key), values in found.items():
        figures.setdefault(name, {})[key] = statistics.median(values)


def put_big(server: Server, path: str) -> float:
    """Upload a big body; return MB/s."""
    piece = os.urandom(PIECE_BYTES)
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        started = time.monotonic()
        link.sendall(head(server, "PUT", path, BIG_BYTES))
        for _ in range(BIG_BYTES // PIECE_BYTES):
            link.sendall(piece)
        if b" 201 " not in link.recv(65536):
            raise RuntimeError(f"{server.name}: PUT {path} failed")
        return BIG_BYTES / 1e6 / (time.monotonic() - started)


def get_big(server: Server, path: str) -> float:
    """Download a big body; return MB/s."""
    buffer = bytearray(PIECE_BYTES)
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        started = time.monotonic()
        link.sendall(head(server, "GET", path, more="Connection: close\r\n"))
        size = 0
        while count := link.recv_into(buffer):
            size += count
        if size < BIG_BYTES:
            raise RuntimeError(f"{server.name}: GET {path} gave {size} bytes")
        return BIG_BYTES / 1e6 / (time.monotonic() - started)


def write_file(folder: Path) -> float:
    """Write a file with its MD5 and fsync it; return MB/s."""
    piece, digest = os.urandom(PIECE_BYTES), hashlib.md5(usedforsecurity=False)
    path, started = folder / "reference", time.monotonic()
    with open(path, "wb", buffering=0) as file:
        for _ in range(BIG_BYTES // PIECE_BYTES):
            digest.update(piece)
            file.write(piece)
        os.fsync(file.fileno())
    found = BIG_BYTES / 1e6 / (time.monotonic() - started)
    path.unlink()
    return found


PLAIN_SERVER = """
import sys
from granian.constants import Interfaces
from granian.server.embed import Server
import asyncio
path, port = sys.argv[1], int(sys.argv[2])
size = b"%d" % __import__("os").path.getsize(path)
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", size)]})
    await send({"type": "http.response.pathsend", "path": path})
asyncio.run(Server(app, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False).serve())
"""


@contextlib.contextmanager
def plain_file(folder: Path) -> Iterator[Server]:
    """The HTTP server that Pileus uses, sending one file and doing nothing else."""
    path = folder / "plain"
    with open(path, "wb") as file:
        for _ in range(BIG_BYTES // PIECE_BYTES):
            file.write(os.urandom(PIECE_BYTES))
    process = subprocess.Popen([sys.executable, "-c", PLAIN_SERVER, str(path), str(FILE_PORT)])
    server = Server("plain file", FILE_PORT, "/", "", [process.pid])
    try:
        wait_open(FILE_PORT)
        yield server
    finally:
        process.terminate()
        process.wait()
        path.unlink()


def wait_open(port: int) -> None:
    """Wait until a port is open."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
            continue
        return


def big(servers: list[Server], folder: Path, figures: dict[str, dict[str, float]]) -> None:
    """Load with a big object, in turn, so that all meet the same machine; keep the best of three."""
    with plain_file(folder) as plain:
        for server in servers:
            asyncio.run(ask(server, "PUT", "/big"))
        for place in range(3):
            once: dict[str, dict[str, float]] = {
                "file": {"put big MB/s": write_file(folder), "get big MB/s": get_big(plain, "")},
            }
            for server in servers:
                once[server.name] = {
                    "put big MB/s": put_big(server, f"/big/{place}"),
                    "get big MB/s": get_big(server, f"/big/{place}"),
                }
            for name, found in once.items():
                kept = figures.setdefault(name, {})
                for key, value in found.items():
                    kept[key] = max(kept.get(key, 0), value)


async def listing(server: Server, container: str, query: str) -> dict[str, float]:
    """Time a listing of 10,000 names."""
    path, times, used = f"/{container}?format=json&limit={LISTED}{query}", [], server.cpu_seconds()
    await ask(server, "GET", path)
    used = server.cpu_seconds()
    for _ in range(10):
        started = time.monotonic()
        found = await ask(server, "GET", path)
        times.append(time.monotonic() - started)
    used = server.cpu_seconds() - used
    if len(json.loads(found)) != LISTED:
        raise RuntimeError(f"{server.name}: the listing of {container} is short")
    return {"cpu_ms": used / 10 * 1000, "wall_ms": statistics.median(times) * 1000}


async def fill(server: Server, container: str) -> None:
    """Make a container with 10,000 empty objects."""
    await ask(server, "PUT", f"/{container}")
    names = iter(range(LISTED))

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for name in names:
            writer.write(head(server, "PUT", f"/{container}/{name:07d}", 0))
            await answer(reader)
        writer.close()

    await asyncio.gather(*(one() for _ in range(8)))


def fill_many(state_dir: Path, server: Server) -> None:
    """Write a million names into the index of a container of the running Pileus."""
    asyncio.run(ask(server, "PUT", "/many"))
    cluster = embedded_cluster(str(state_dir / "objects"), time.time)
    index = cluster.carrier.files("d0").container(0, server.path.rpartition("/")[2], "many")
    etag, at = hashlib.md5(b"", usedforsecurity=False).hexdigest(), Timestamp.of(time.time())
    for start in range(0, MANY, 20_000):
        names = range(start, start + 20_000)
        rows = [
            ObjectRow(name=f"object-{name:07d}", data_at=at, size_bytes=0, etag=etag, content_type="text/plain") for name in names
        ]
        index.file.merge(rows)
    cluster.carrier.close()


@contextlib.contextmanager
def pileus(folder: Path) -> Iterator[Server]:
    """A cloud with nothing but the APIs."""
    fake = {"HYPERVISOR": "fake", "NETWORK_DRIVER": "fake", "LISTEN": f"127.0.0.1:{PILEUS_PORT}", "NAME": "benchobj"}
    environment = {**os.environ, **{f"PILEUS_{name}": value for name, value in fake.items()}, "PILEUS_VOLUME_BACKENDS": "fake"}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "pileus.cli", "--state-dir", str(folder / "state"), *arguments]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    run("up", "--detach")
    try:
        passwords = json.loads((folder / "state" / "passwords.json").read_text())
        path, token = sign_in(passwords["admin"])
        pid = json.loads((folder / "state" / "process.json").read_text())["pid"]
        yield Server("Pileus", PILEUS_PORT, path, token, [int(pid)])
    finally:
        run("down", "--purge", "--yes")


def sign_in(password: str) -> tuple[str, str]:
    """Return the path of the admin's account, and a token."""
    user = {"name": "admin", "domain": {"id": "default"}, "password": password}
    scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    url = f"http://127.0.0.1:{PILEUS_PORT}/identity/v3/auth/tokens"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as found:
        project = json.load(found)["token"]["project"]["id"]
        return f"/object-store/v1/AUTH_{project}", found.headers["X-Subject-Token"]


PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 2
swift_dir = {etc}
user = {user}
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk tempurl tempauth copy slo dlo \
versioned_writes proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
"""
FILTERS = ("catch_errors", "gatekeeper", "healthcheck", "listing_formats", "bulk", "tempurl", "copy", "slo", "dlo")
BACKEND = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 2
swift_dir = {etc}
devices = {devices}
mount_check = false
user = {user}
[pipeline:main]
pipeline = healthcheck {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
[filter:healthcheck]
use = egg:swift#healthcheck
"""


@contextlib.contextmanager
def swift(folder: Path, venv: Path) -> Iterator[Server]:
    """A real Swift: one device, one replica."""
    etc, programs, user = folder / "etc", venv / "bin", subprocess.check_output(["id", "-un"], text=True).strip()
    etc.mkdir(parents=True)
    (folder / "srv" / "d1").mkdir(parents=True)
    (etc / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = peer\n")
    ports = {"object": PEER_PORT + 1, "container": PEER_PORT + 2, "account": PEER_PORT + 3}
    facts = {"etc": etc, "user": user, "devices": folder / "srv"}
    filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in FILTERS)
    (etc / "proxy-server.conf").write_text(PROXY.format(port=PEER_PORT, memcached=PEER_PORT + 4, **facts) + filters)
    for kind, port in ports.items():
        (etc / f"{kind}-server.conf").write_text(BACKEND.format(kind=kind, port=port, **facts))
        for words in (["create", "8", "1", "0"], ["add", f"r1z1-127.0.0.1:{port}/d1", "100"], ["rebalance"]):
            builder = [str(programs / "swift-ring-builder"), f"{kind}.builder", *words]
            subprocess.run(builder, cwd=etc, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    commands = [["memcached", "-l", "127.0.0.1", "-p", str(PEER_PORT + 4), "-u", user]]
    environment = {**os.environ, "SWIFT_DIR": str(etc), "PYTHONWARNINGS": "ignore"}
    commands += [[str(programs / f"swift-{kind}-server"), str(etc / f"{kind}-server.conf")] for kind in (*ports, "proxy")]
    with open(folder / "peer.log", "wb") as out:
        running = [
            subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, env=environment, cwd=etc)
            for command in commands
        ]
    try:
        for port in (*ports.values(), PEER_PORT):
            wait_open(port)
        keys = {"X-Auth-User": "test:tester", "X-Auth-Key": "testing"}
        request = urllib.request.Request(f"http://127.0.0.1:{PEER_PORT}/auth/v1.0", headers=keys)
        with urllib.request.urlopen(request, timeout=30) as found:
            token = found.headers["X-Auth-Token"]
        yield Server("Swift", PEER_PORT, "/v1/AUTH_test", token, [process.pid for process in running])
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Start what there is, load it, return the figures by server."""
    figures: dict[str, dict[str, float]] = {}
    folder = Path(tempfile.mkdtemp(prefix="bench-objects-", dir=options.folder))
    try:
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(pileus(folder))]
            if options.peer:
                servers.append(stack.enter_context(swift(folder / "peer", options.peer)))
            if "small" in options.only:
                asyncio.run(small(servers, figures))
            for server in servers:
                found = figures.setdefault(server.name, {})
                if "list" in options.only:
                    asyncio.run(fill(server, "ten"))
                    found |= {f"list 10k {key}": value for key, value in asyncio.run(listing(server, "ten", "")).items()}
            if "list" in options.only:
                fill_many(folder / "state", servers[0])
                found = asyncio.run(listing(servers[0], "many", "&marker=object-0500000"))
                figures["Pileus"] |= {f"list 10k of 1M {key}": value for key, value in found.items()}
            if "big" in options.only:
                big(servers, folder, figures)
            for server in servers:
                figures[server.name]["memory MiB"] = server.memory_mib()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return figures


TARGETS = {
    "put 1024 x32 cpu_ms": 1.2, "get 1024 x32 cpu_ms": 0.5, "list 10k cpu_ms": 25, "list 10k of 1M wall_ms": 100,
    "put big MB/s": 500, "get big MB/s": 1500,
}  # fmt: skip


def show(figures: dict[str, dict[str, float]]) -> None:
    """Print the table; ratios above 1 are in Pileus' favour."""
    print("| figure | Pileus | Swift | ratio | file | share of file | target |\n|---|---|---|---|---|---|---|")
    ours, theirs, file = figures["Pileus"], figures.get("Swift", {}), figures.get("file", {})
    for key, value in ours.items():
        other, plain = theirs.get(key), file.get(key)
        more = key.endswith(("per_second", "MB/s"))
        ratio = f"{(value / other if more else other / value):.1f}" if other and value else ""
        share = f"{value / plain:.0%}" if plain else ""
        cells = [f"{one:.4g}" if one is not None else "" for one in (value, other, plain)]
        print(f"| {key} | {cells[0]} | {cells[1]} | {ratio} | {cells[2]} | {share} | {TARGETS.get(key, '')} |")


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, default=os.environ.get("SWIFT_VENV"), help="virtual environment with Swift")
    parser.add_argument("--only", default="small,list,big", help="parts: small, list, big")
    parser.add_argument("--folder", default=None, help="where to write (the default: a temporary directory)")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    figures = measure(options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    show(figures)


if __name__ == "__main__":
    main()
