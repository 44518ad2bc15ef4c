"""Slow, truncated, oversized and malformed requests over a real socket: the right status, and no file left behind."""

import asyncio
import json
import socket
import threading
import time

import pytest

from pileus.object_store.placement import Placement
from pileus.object_store.storage.embedded import embedded_cluster
from pileus.object_store.storage.serve import serving
from tests.object_store.conftest import ACCOUNT, make_shop

WAIT_SECONDS = 20.0
TOKEN = json.dumps({"persona": "demo"})
PATH = f"/object-store/v1/{ACCOUNT}/c/o"


@pytest.fixture
def port(tmp_path):
    """The port of an object store with a container c, and short patience."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    shop = make_shop(tmp_path)
    shop.store._open = lambda now: Placement(embedded_cluster(str(tmp_path / "objects"), now))
    shop.limit(client_timeout_seconds=0.5, object_bytes_max=3_000_000)
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def serve():
        async with serving(shop.app, "127.0.0.1", number):
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(WAIT_SECONDS)
    shop.client()("PUT", "/c")
    yield number
    loop.call_soon_threadsafe(stop.set)
    thread.join(WAIT_SECONDS)
    loop.close()
    shop.app.close()
    shop.store.placement.cluster.carrier.close()


def send(port, headers, body=b"", *, then="read", method="PUT", path=PATH):
    """Send a request; return the status of its answer, or None when it is broken off."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as link:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {TOKEN}\r\n{headers}\r\n"
        link.sendall(head.encode("latin-1") + body)
        if then == "leave":
            return None
        try:
            answer = link.recv(65536)
        except ConnectionResetError:
            return None
        return int(answer.split()[1]) if answer else None


def files(tmp_path):
    """The bodies on the device, and files without a name that are held open below it."""
    return [path for path in (tmp_path / "objects").rglob("*") if path.is_file() and path.suffix in (".data", ".ts", ".meta")]


def nothing_is_there(port, tmp_path):
    deadline = time.monotonic() + WAIT_SECONDS
    while files(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert send(port, "", method="GET") == 404
    assert send(port, "", method="GET", path=PATH.removesuffix("/o")) == 204


@pytest.mark.parametrize("size", [10, 70_000, 2_000_000])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_who_falls_silent(port, tmp_path, size, framing):
    if framing == "length":
        assert send(port, f"Content-Length: {size + 5}\r\n", b"x" * size) == 408
    else:
        assert send(port, "Transfer-Encoding: chunked\r\n", b"%x\r\n" % size + b"x" * size + b"\r\n") == 408
    nothing_is_there(port, tmp_path)


@pytest.mark.parametrize("size", [0, 10, 70_000, 2_000_000])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_who_goes_away(port, tmp_path, size, framing):
    if framing == "length":
        send(port, f"Content-Length: {size + 500_000}\r\n", b"x" * size, then="leave")
    else:
        send(port, "Transfer-Encoding: chunked\r\n", b"%x\r\n" % (size + 500_000) + b"x" * size, then="leave")
    time.sleep(0.2)
    nothing_is_there(port, tmp_path)


def answer(link):
    """Read one answer; return its status and its headers."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = link.recv(65536)
        assert piece, "the connection has ended without an answer"
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    left = int(headers.get("content-length", "0")) - len(rest)
    while left > 0:
        left -= len(link.recv(left))
    return int(first.split()[1]), headers


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        (TOKEN, PATH + "n" * 1100, 400),
        ("none", PATH, 401),
        (TOKEN, PATH.replace("/c/", "/missing/"), 404),
        (TOKEN, "/object-store/v9/a/c/o", 412),
    ],
    ids=["name", "token", "container", "version"],
)
@pytest.mark.parametrize("size", [10, 300_000])
def test_who_is_refused_may_use_the_connection_again(port, token, path, status, size):
    """What was sent of a refused body is taken, so that the next request meets an open connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as link:
        for _ in range(3):
            link.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\nContent-Length: {size}\r\n\r\n".encode())
            time.sleep(0.05)
            link.sendall(b"x" * size)
            found, headers = answer(link)
            assert found == status
            assert headers.get("connection") != "close"


def test_who_is_refused_before_the_body_is_told_that_the_connection_ends(port):
    head = f"PUT {PATH}{'n' * 1100} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {TOKEN}\r\n"
    for more in ("Content-Length: 10\r\nExpect: 100-continue\r\n", "Content-Length: 2000000\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as link:
            link.sendall((head + more + "\r\n").encode())
            status, headers = answer(link)
            assert (status, headers.get("connection")) == (400, "close")


def test_who_sends_too_much(port, tmp_path):
    assert send(port, "Content-Length: 3000001\r\n", b"x") == 413
    assert send(port, f"Content-Length: {10**20}\r\n", b"x") in (400, 413)
    piece = b"%x\r\n" % 1_000_000 + b"x" * 1_000_000 + b"\r\n"
    assert send(port, "Transfer-Encoding: chunked\r\n", piece * 4 + b"0\r\n\r\n") == 413
    nothing_is_there(port, tmp_path)


@pytest.mark.parametrize(
    ("headers", "body", "statuses"),
    [
        ("", b"", (411,)),
        ("Content-Length: abc\r\n", b"", (400,)),
        ("Content-Length: -5\r\n", b"", (400,)),
        ("Content-Length: 5, 5\r\n", b"hello", (400, 201)),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", b"xx", (400,)),
        ("Transfer-Encoding: chunked\r\n", b"zz\r\nhello\r\n0\r\n\r\n", (400, 499)),
        ("Transfer-Encoding: chunked\r\n", b"5\r\nhello!!!\r\n0\r\n\r\n", (400, 499)),
        ("Transfer-Encoding: gzip\r\nContent-Length: 1\r\n", b"x", (400, 501, 411)),
        ("Content-Length: 1\r\nX-Object-Meta-A: " + "a" * 9000 + "\r\n", b"x", (400, 431)),
        ("Content-Length: 1\r\nX-Object-Meta-: a\r\n", b"x", (400,)),
        ("Content-Length: 5\r\nETag: " + "0" * 32 + "\r\n", b"hello", (422,)),
        ("Content-Length: 5\r\nX-Delete-At: yesterday\r\n", b"hello", (400,)),
        ("Content-Length: 5\r\nExpect: 200-ok\r\n", b"hello", (417, 400, 201)),
    ],
)
def test_who_is_not_understood(port, tmp_path, headers, body, statuses):
    found = send(port, headers, body)
    assert found in statuses
    if found != 201:
        nothing_is_there(port, tmp_path)


@pytest.mark.parametrize("path", ["/%ff%fe", "/a%00b", "/" + "n" * 1025, "/%zz"])
def test_names_that_are_none(port, tmp_path, path):
    found = send(port, "Content-Length: 1\r\n", b"x", path=PATH.removesuffix("/o") + path)
    assert found in ((412,) if "%f" in path or "%00" in path else (400, 201))
    if found != 201:
        nothing_is_there(port, tmp_path)
