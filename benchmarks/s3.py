"""`python benchmarks/s3.py`: S3 beside Swift over the same data: CPU of the server per operation, throughput, memory.

Prints a table; asserts nothing.  A cloud of its own is started on loopback and removed again.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import os
import shutil
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import run

AT_ONCE, SECONDS, BIG_MIB = 16, 5.0, 256
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
BODY = os.urandom(1024)
Made = Callable[[str, str, bytes], dict[str, str]]


@dataclass(frozen=True)
class Door:
    """One way in: where objects are, and what headers a request needs."""

    name: str
    host: str
    path: str
    headers: Made


def main() -> None:
    """Measure, and print the table."""
    work = Path(tempfile.mkdtemp(prefix="pileus-s3-"))
    try:
        with run._cloud(work) as pid:
            doors = prepare(work)
            figures = {door.name: asyncio.run(small(door, pid)) | large(door, pid) for door in doors}
    finally:
        shutil.rmtree(work)
    show(figures)


def call(method: str, url: str, body: Any = None, token: str = "") -> tuple[Any, Any]:
    """Call an API, and return what the body and the headers of the answer are."""
    raw = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {})}
    with urllib.request.urlopen(urllib.request.Request(url, raw, headers, method=method), timeout=60) as answer:
        found = answer.read()
        return (json.loads(found) if found[:1] in (b"{", b"[") else found), answer.headers


def prepare(work: Path) -> list[Door]:
    """Make a bucket and a key pair, and return the doors to it."""
    lines = (line.removeprefix("export ").partition("=") for line in run._pileus(work, "openrc").splitlines())
    rc = {name: value.strip("'") for name, _, value in lines}
    user = {"name": rc["OS_USERNAME"], "domain": {"name": rc["OS_USER_DOMAIN_NAME"]}, "password": rc["OS_PASSWORD"]}
    scope = {"project": {"name": rc["OS_PROJECT_NAME"], "domain": {"name": rc["OS_PROJECT_DOMAIN_NAME"]}}}
    auth_url = rc["OS_AUTH_URL"].removesuffix("/v3") + "/v3"
    asked = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    body, headers = call("POST", auth_url + "/auth/tokens", asked)
    token, found = headers["X-Subject-Token"], body["token"]
    swift = next(one["endpoints"][0]["url"] for one in found["catalog"] if one["type"] == "object-store")
    path = f"/users/{found['user']['id']}/credentials/OS-EC2"
    pair = call("POST", auth_url + path, {"tenant_id": found["project"]["id"]}, token)[0]["credential"]
    call("PUT", f"{swift}/bench", b"", token)
    host = run.LISTEN
    s3 = Door("S3", host, "/s3/bench", lambda method, path, data: signed(pair, host, method, path, data))
    return [Door("Swift", host, swift.partition(host)[2] + "/bench", lambda *_: {"X-Auth-Token": token}), s3]


def signed(pair: dict[str, str], host: str, method: str, path: str, data: bytes) -> dict[str, str]:
    """Return the headers of a request by signature of version 4, with a digest and a checksum as SDKs send them."""
    stamp, digest = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), hashlib.sha256(data).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    if method == "PUT":
        headers["x-amz-checksum-crc32"] = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name]}\n" for name in names)
    request = f"{method}\n{path}\n\n{lines}\n{';'.join(names)}\n{digest}"
    scope = f"{stamp[:8]}/RegionOne/s3/aws4_request"
    key = f"AWS4{pair['secret']}".encode()
    for text in scope.split("/"):
        key = hmac.new(key, text.encode(), hashlib.sha256).digest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    made = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    given = f"AWS4-HMAC-SHA256 Credential={pair['access']}/{scope},SignedHeaders={';'.join(names)},Signature={made}"
    return headers | {"Authorization": given}


def cpu_seconds(pid: int) -> float:
    """Return how much CPU a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def peak_mib(pid: int) -> int:
    """Return the most memory that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:"))


async def small(door: Door, pid: int) -> dict[str, float]:
    """Put and get objects of 1 KiB for a while."""
    found, count = {}, 0
    for method, data in (("PUT", BODY), ("GET", b"")):
        names: Iterator[int] = itertools.cycle(range(count)) if count else itertools.count()
        began, used = time.monotonic(), cpu_seconds(pid)
        done = await asyncio.gather(*(worker(door, method, data, names, began + SECONDS) for _ in range(AT_ONCE)))
        count = sum(done)
        seconds = time.monotonic() - began
        found[f"{method} 1 KiB, CPU ms"] = (cpu_seconds(pid) - used) * 1000 / count
        found[f"{method} 1 KiB, a second"] = count / seconds
    return found


async def worker(door: Door, method: str, data: bytes, names: Iterator[int], until: float) -> int:
    """Send requests on one connection, and return how many were answered well."""
    host, _, port = door.host.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    done = 0
    with contextlib.closing(writer):
        while time.monotonic() < until and (number := next(names, None)) is not None:
            path = f"{door.path}/{number:08d}"
            headers = {"host": door.host, **door.headers(method, path, data), "Content-Length": str(len(data))}
            head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next((int(line[16:]) for line in answer.split("\r\n") if line.startswith("content-length: ")), 0)
            await reader.readexactly(length)
            status = int(answer.split()[1])
            if status not in (200, 201):
                raise RuntimeError(answer)
            done += 1
    return done


def large(door: Door, pid: int) -> dict[str, float]:
    """Put and get one large object, and look at the memory."""
    data, found = os.urandom(1 << 20) * BIG_MIB, {}
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before = peak_mib(pid)
    for method, body in (("PUT", data), ("GET", b"")):
        path = f"{door.path}/big"
        asked = urllib.request.Request(f"http://{door.host}{path}", body or None, door.headers(method, path, body), method=method)
        asked.add_header("Content-Type", "application/octet-stream")
        began = time.monotonic()
        with urllib.request.urlopen(asked, timeout=300) as answer:
            while answer.read(1 << 20):
                pass
        found[f"{method} {BIG_MIB} MiB, MB/s"] = BIG_MIB * 1.048576 / (time.monotonic() - began)
    found["memory more at most, MiB"] = peak_mib(pid) - before
    return found


def show(figures: dict[str, dict[str, float]]) -> None:
    """Print the table."""
    names = list(figures)
    print("| figure | " + " | ".join(names) + " | S3 / Swift |\n|---|" + "---|" * (len(names) + 1))
    for figure in figures["S3"]:
        values = [figures[name][figure] for name in names]
        ratio = f"{values[-1] / values[0]:.2f}" if len(values) == 2 and values[0] else ""
        print(f"| {figure} | " + " | ".join(f"{value:.4g}" for value in values) + f" | {ratio} |")


if __name__ == "__main__":
    main()
