"""The backend servers, asked by those who do not know how."""

import asyncio
import hashlib
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pileus.kernel.clock import FakeClock
from pileus.object_store.backend import Node, ObjectName, ObjectPut, Unreachable, Written
from pileus.object_store.storage.daemons.auditor import ObjectAuditor
from pileus.object_store.storage.daemons.running import run_once
from pileus.object_store.storage.http_carrier import HttpCarrier
from pileus.object_store.storage.layout import Device
from pileus.object_store.storage.local import LocalCarrier
from pileus.object_store.storage.recon import Recon
from pileus.object_store.storage.wire import Address, encode_call, to_header
from pileus.object_store.timestamps import Timestamp

from .conftest import Store, _http


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Store]:
    made = _http(FakeClock(), tmp_path, asyncio.new_event_loop())
    made.setup()
    yield made
    for close in made.closers:
        close()


def ask(store: Store, path: str, body: bytes = b"", headers: str = "") -> tuple[int, bytes]:
    async def work() -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", store.node.port)
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        writer.write(head.encode() + body)
        raw = await reader.read()
        writer.close()
        return int(raw.split()[1]), raw.partition(b"\r\n\r\n")[2]

    found: tuple[int, bytes] = store.run(work())
    return found


def test_nonsense_is_refused(far: Store) -> None:
    assert ask(far, "/healthcheck") == (200, b"OK")
    assert ask(far, "/nothing")[0] == 404
    assert ask(far, "/objects/head")[0] == 400
    assert ask(far, "/objects/head", headers="x-backend-call: !!!\r\n")[0] == 400
    assert ask(far, "/containers/update", b"\xff")[0] == 400
    assert ask(far, "/objects/put", headers="x-backend-call: AAAA\r\n")[0] == 400


def test_figures_are_shown(far: Store) -> None:
    status, body = ask(far, "/recon")
    assert status == 200
    assert json.loads(body)["d0"]["free_bytes"] > 0


def test_figures_are_shown_by_subject(far: Store, tmp_path: Path) -> None:
    (tmp_path / "d0" / "quarantined" / "objects-1" / "x").mkdir(parents=True)
    device = LocalCarrier({"d0": Device(str(tmp_path / "d0"))}, far.clock.now)
    (tmp_path / "rings").mkdir()
    (tmp_path / "rings" / "object.ring.gz").write_bytes(b"ring")

    async def audit() -> None:
        await run_once(ObjectAuditor(device.devices["d0"], far.clock.now), far.clock.now)

    far.put("a", b"abc")
    far.run(audit())
    device.close()

    def read(subject: str) -> Any:
        status, body = ask(far, f"/recon/{subject}")
        assert status == 200, subject
        return json.loads(body)

    assert read("auditor/object")["object_auditor_stats_ALL"]["passes"] == 1
    assert read("quarantined") == {"accounts": 0, "containers": 0, "objects": 1, "policies": {"1": {"objects": 1}}}
    assert read("async")["async_pending"] == 0
    assert read("diskusage")[0]["mounted"] is True
    assert read("replication/object")["object_replication_last"] is None
    for subject in (
        "version", "time", "load", "mem", "replication", "replication/container", "replication/account", "devices",
        "reconstruction/object", "sharding", "updater/object", "updater/container", "expirer/object", "auditor/container",
        "auditor/account", "unmounted", "ringmd5",
    ):  # fmt: skip
        read(subject)
    assert ask(far, "/recon/nothing")[0] == 404
    recon = Recon(device.devices, str(tmp_path / "rings"), ("d0", "d1"))
    assert json.loads(recon.answer("recon/unmounted") or b"") == [{"device": "d1", "mounted": False}]
    digest = hashlib.md5(b"ring").hexdigest()
    assert json.loads(recon.answer("recon/ringmd5") or b"") == {f"{tmp_path}/rings/object.ring.gz": digest}


def test_an_unknown_device_has_no_room(far: Store) -> None:
    node = Node(id=0, ip="127.0.0.1", port=far.node.port, device="other")
    carrier = HttpCarrier()
    name = ObjectName("a", "c", "o")
    assert far.run(carrier.objects(node).head(0, name)).status == 507
    assert far.run(carrier.objects(node).put(0, name, ObjectPut(timestamp=Timestamp(1)))).status == 507
    assert far.run(carrier.containers(node).head(0, "a", "c")).status == 507
    assert far.run(carrier.accounts(node).delete(0, "a", Timestamp(1))).status == 507
    assert far.run(far.run(carrier.objects(node).get(0, name)).close()) is None
    carrier.client.close()


@pytest.mark.parametrize("cut", ["in a frame", "before the footer"])
def test_an_upload_that_breaks_off_leaves_nothing(far: Store, tmp_path: Path, cut: str) -> None:
    partition, name = far.name("a")
    call = to_header(encode_call(Address("d0", 0, partition), (name, ObjectPut(timestamp=Timestamp(1)))))

    async def work() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", far.node.port)
        head = f"POST /objects/put HTTP/1.1\r\nhost: x\r\nx-backend-call: {call}\r\ntransfer-encoding: chunked\r\n\r\n"
        body = struct.pack(">I", 2_000_000) + b"x" * (1_000_000 if cut == "in a frame" else 2_000_000)
        writer.write(head.encode() + b"%x\r\n" % len(body) + body + b"\r\n")
        if cut == "before the footer":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.2)
        await writer.drain()
        writer.transport.abort()
        await asyncio.sleep(0.3)

    far.run(work())
    assert far.get("a") is None
    assert [path for path in (tmp_path / "d0").rglob("*") if path.is_file() and "objects" in str(path)] == []


def test_an_upload_is_answered_once_it_has_wholly_come(far: Store) -> None:
    """An answer ahead of the body's end would have the server close the connection, and the sender lose the answer."""
    partition, name = far.name("a")
    call = to_header(encode_call(Address("d0", 0, partition), (name, ObjectPut(timestamp=Timestamp(1)))))

    async def work() -> tuple[bytes, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", far.node.port)
        head = f"POST /objects/put HTTP/1.1\r\nhost: x\r\nx-backend-call: {call}\r\ntransfer-encoding: chunked\r\n\r\n"
        footer = msgspec.msgpack.encode({})
        body = struct.pack(">I", 3) + b"abc" + struct.pack(">I", 0) + struct.pack(">I", len(footer)) + footer
        writer.write(head.encode() + b"%x\r\n" % len(body) + body + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.3)
        writer.write(b"0\r\n\r\n")
        first = await reader.readuntil(b"\r\n\r\n")
        length = int(first.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        written = msgspec.msgpack.decode(await reader.readexactly(length), type=Written)
        assert written.status == 201
        writer.write(b"GET /healthcheck HTTP/1.1\r\nhost: x\r\n\r\n")
        second = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return first[:15], second[:15]

    assert far.run(asyncio.wait_for(work(), 30)) == (b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK")


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        node = Node(id=0, ip="127.0.0.1", port=taken.getsockname()[1], device="d0")
        with pytest.raises(Unreachable):
            asyncio.run(HttpCarrier().objects(node).head(0, ObjectName("a", "c", "o")))


def test_closing_twice_does_not_share_a_connection(far: Store) -> None:
    carrier, (partition, name) = HttpCarrier(), far.name("a")

    async def work() -> int:
        server = carrier.objects(far.node)
        writer = await server.put(partition, name, ObjectPut(timestamp=Timestamp(1)))
        assert not isinstance(writer, Written)
        await writer.write(b"hello")
        await writer.commit()
        reader = await server.get(partition, name)
        assert [piece async for piece in reader.chunks()] == [b"hello"]
        await reader.close()
        await reader.close()
        return sum(len(waiting) for waiting in carrier.client.idle.values())

    assert far.run(work()) == 1
    carrier.client.close()
