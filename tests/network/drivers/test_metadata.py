"""The metadata listener over plain sockets."""

import socket
import threading
from collections.abc import Iterator, Mapping

import pytest

from pileus.network.driver import MetadataEndpoint
from pileus.network.drivers.linux.metadata import HEAD_BYTES, Answer, MetadataListener, MetadataSource

Asked = list[tuple[MetadataSource, str, str, Mapping[str, str]]]


@pytest.fixture
def asked() -> Asked:
    return []


@pytest.fixture
def address(asked: Asked) -> Iterator[tuple[str, int]]:
    def handler(source: MetadataSource, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        asked.append((source, method, path, headers))
        if path == "/broken":
            raise RuntimeError("broken")
        return 200, {"Content-Type": "text/plain"}, body or path.encode()

    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    where = listening.getsockname()
    listener = MetadataListener(handler)
    listener(MetadataEndpoint(network_id="blue"), listening)
    yield where
    listener.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(where, timeout=1)


def talk(address: tuple[str, int], *requests: bytes) -> bytes:
    with socket.create_connection(address, timeout=5) as client:
        client.sendall(b"".join(requests))
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while data := client.recv(65536):
            answer += data
    return answer


def test_a_request_reaches_the_handler_with_its_source(address: tuple[str, int], asked: Asked) -> None:
    answer = talk(address, b"GET /openstack HTTP/1.1\r\nHost: x\r\nX-Token: t\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n/openstack")
    assert asked == [(MetadataSource("blue", None, "127.0.0.1"), "GET", "/openstack", {"host": "x", "x-token": "t"})]


def test_a_body_reaches_the_handler(address: tuple[str, int]) -> None:
    answer = talk(address, b"POST /openstack/latest/password HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxyz")
    assert answer.endswith(b"\r\n\r\nxyz")


def test_a_connection_serves_several_requests(address: tuple[str, int]) -> None:
    answer = talk(
        address, b"GET /a HTTP/1.1\r\n\r\n", b"POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyz", b"HEAD /c HTTP/1.1\r\n\r\n"
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert b"/a" in answer
    assert b"xyz" in answer
    assert b"/c" not in answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET relative HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\nnocolon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET /broken HTTP/1.1\r\n\r\n", 500),
    ],
)
def test_bad_requests_are_answered(address: tuple[str, int], request_bytes: bytes, status: int) -> None:
    assert talk(address, request_bytes).startswith(b"HTTP/1.1 %d " % status)


def test_slow_guests_do_not_hold_up_others(address: tuple[str, int]) -> None:
    slow = [socket.create_connection(address) for _ in range(32)]
    for client in slow:
        client.sendall(b"GET /slow")
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(talk(address, b"GET /a HTTP/1.0\r\n\r\n"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(answers) == 8
    for client in slow:
        client.close()
