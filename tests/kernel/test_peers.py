"""Files and streams between the hosts of a cloud: whole, for those who hold a certificate, and of open folders only."""

import asyncio
import http.client
import io
import os
import socket
import ssl
import threading

import pytest

from pileus import certificates
from pileus.certificates import Authority, Identity
from pileus.kernel import peers, sparse


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """Two members of one cloud, and a stranger of another one."""
    folder = tmp_path_factory.mktemp("tls")
    ours, others = Authority(folder / "ca"), Authority(folder / "ca2")
    found = {}
    for name, authority in (("one", ours), ("two", ours), ("stranger", others)):
        authority.ensure()
        found[name] = Identity(folder / name)
        authority.issue(found[name], name)
    return found


@pytest.fixture
def server(cloud, tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"/tmp/peers-{os.getpid()}")
    listener.listen(1)
    served = peers.PeerServer(
        cloud["one"], ("127.0.0.1", 0), {"bases": tmp_path / "bases"}, {"guest/vnc": f"/tmp/peers-{os.getpid()}"}.get
    )
    served.listener, served.folder = listener, tmp_path
    served.start()
    yield served
    served.close()
    listener.close()
    os.unlink(f"/tmp/peers-{os.getpid()}")


def origin(server):
    return f"https://127.0.0.1:{server.port}"


def test_a_file_goes_there_and_back(cloud, server, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3 * peers.CHUNK_BYTES + 17))
    peers.send(cloud["two"], origin(server), "bases", "image.qcow2", source)
    assert (tmp_path / "bases" / "image.qcow2").read_bytes() == source.read_bytes()
    peers.fetch(cloud["two"], origin(server), "bases", "image.qcow2", tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == source.read_bytes()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["copy"]


def test_a_file_with_holes_goes_over_without_them(cloud, server, tmp_path):
    source = tmp_path / "bases" / "disk"
    source.parent.mkdir()
    with open(source, "wb") as file:
        for offset in (0, 5 << 20, (9 << 20) + 3):
            file.seek(offset)
            file.write(os.urandom(70_000))
        file.truncate(64 << 20)
    peers.fetch(cloud["two"], origin(server), "bases", "disk", tmp_path / "copy", holes=True)
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert (tmp_path / "copy").stat().st_blocks * 512 < 1 << 20
    (tmp_path / "bases" / "empty").touch()
    peers.fetch(cloud["two"], origin(server), "bases", "empty", tmp_path / "none", holes=True)
    assert (tmp_path / "none").read_bytes() == b""


def test_a_stream_that_is_cut_or_changed_is_not_believed(tmp_path):
    (tmp_path / "source").write_bytes(os.urandom(100_000))
    stream = io.BytesIO()
    with open(tmp_path / "source", "rb") as file:
        sparse.send(file, stream)
    whole = stream.getvalue()
    for broken in (whole[:-1], whole[:50_000], whole[:40_000] + b"x" + whole[40_001:], b""):
        with open(tmp_path / "target", "wb") as file, pytest.raises(sparse.BrokenStream):
            sparse.receive(io.BytesIO(broken), file)


def test_who_takes_nothing_gives_only(cloud, tmp_path):
    server = peers.PeerServer(cloud["one"], ("127.0.0.1", 0), {"leaving": tmp_path}, takes=False)
    server.start()
    try:
        (tmp_path / "a").write_text("a")
        peers.fetch(cloud["two"], origin(server), "leaving", "a", tmp_path / "b")
        with pytest.raises(peers.PeerError):
            peers.send(cloud["two"], origin(server), "leaving", "c", tmp_path / "a")
        assert not (tmp_path / "c").exists()
    finally:
        server.close()


@pytest.mark.parametrize(
    ("folder", "name"),
    [("bases", "none"), ("fernet-keys", "0"), ("bases", ".."), ("bases", ".hidden"), ("bases", "../source"), ("..", "source")],
)
def test_what_is_not_open_is_not_there(cloud, server, tmp_path, folder, name):
    (tmp_path / "source").write_text("secret")
    (tmp_path / "bases").mkdir()
    with pytest.raises(peers.PeerError, match="404"):
        peers.fetch(cloud["two"], origin(server), folder, name, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    if name != "none":
        with pytest.raises(peers.PeerError):
            peers.send(cloud["two"], origin(server), folder, name, tmp_path / "source")


def test_strangers_get_nothing(cloud, server, tmp_path):
    with pytest.raises(peers.PeerError):
        peers.fetch(cloud["stranger"], origin(server), "bases", "x", tmp_path / "copy")
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=nobody, timeout=10)
    with pytest.raises(OSError):  # noqa: PT011  (which one depends on who notices first)
        connection.request("GET", "/files/bases/x")
        connection.getresponse()
    connection.close()


def test_half_an_upload_leaves_nothing(cloud, server, tmp_path):
    terms = cloud["two"].context(server=False)
    with socket.create_connection(("127.0.0.1", server.port)) as plain, terms.wrap_socket(plain) as secure:
        secure.sendall(b"PUT /files/bases/half HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
    peers.send(cloud["two"], origin(server), "bases", "whole", cloud["two"].directory / "cert.pem")
    for _ in range(100):
        if [path.name for path in (tmp_path / "bases").iterdir()] == ["whole"]:
            return
        threading.Event().wait(0.1)
    raise AssertionError(list((tmp_path / "bases").iterdir()))


def test_a_stream_is_joined(cloud, server):
    async def talk():
        reader, writer = await peers.connect(cloud["two"], f"{origin(server)}/streams/guest/vnc")
        guest, _ = await asyncio.to_thread(server.listener.accept)
        guest.sendall(b"RFB 003.008\n")
        assert await reader.readexactly(12) == b"RFB 003.008\n"
        writer.write(b"x" * 100_000)
        received = await asyncio.to_thread(guest.recv, 100_000, socket.MSG_WAITALL)
        assert received == b"x" * 100_000
        guest.close()
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(OSError, match="no"):
            await peers.connect(cloud["two"], f"{origin(server)}/streams/another/vnc")

    asyncio.run(talk())


def test_a_request_proves_that_its_sender_has_the_key(cloud):
    key = certificates.new_key()
    asked = certificates.request(key, "host2")
    assert certificates.requested_key(asked).public_numbers() == key.public_key().public_numbers()
    with pytest.raises(ValueError):  # noqa: PT011
        certificates.requested_key(b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n")
