"""Host names that are aliases of storage hosts: asked of a real name server, here a small one on loopback."""

import asyncio
import socket
import threading

import dns.message
import dns.rrset
import pytest

from pileus.kernel.settings import Settings
from pileus.object_store.api.cnames import with_cnames

ALIASES = {
    "files.shop.test.": "c.auth-abc.example.com.",
    "www.shop.test.": "files.shop.test.",
    "round.shop.test.": "round.shop.test.",
    "elsewhere.shop.test.": "example.org.",
}


class NameServer:
    """Answers questions for ALIASES, and counts them."""

    def __init__(self):
        self.socket, self.asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), []
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                self.answer(*self.socket.recvfrom(4096))
            except OSError:
                return

    def answer(self, data, sender):
        question = dns.message.from_wire(data)
        name = question.question[0].name.to_text()
        self.asked.append(name)
        answer = dns.message.make_response(question)
        if name in ALIASES:
            answer.answer.append(dns.rrset.from_text(name, 300, "IN", "CNAME", ALIASES[name]))
        self.socket.sendto(answer.to_wire(), sender)


@pytest.fixture
def names():
    server = NameServer()
    yield server
    server.socket.close()


def seen(names, *hosts, **more):
    """Return what the application sees as the hosts of requests."""
    found = []

    async def app(scope, receive, send):
        found.append(dict(scope["headers"])[b"host"].decode())

    given = {"object_storage_domains": "example.com", "object_cname_lookup": True, "object_cname_resolver": names.address}
    aliased = with_cnames(app, Settings(**{**given, "listen": "127.0.0.1:8000", "public_host": "cloud.shop.test", **more}))

    async def ask():
        for host in hosts:
            await aliased({"type": "http", "headers": [(b"host", host.encode()), (b"x", b"y")]}, None, None)

    asyncio.run(ask())
    return found


def test_an_alias_is_served_as_what_it_stands_for(names):
    assert seen(names, "files.shop.test", "Files.Shop.test:8080") == ["c.auth-abc.example.com", "c.auth-abc.example.com:8080"]
    assert names.asked == ["files.shop.test."], "the second answer was kept"


def test_an_alias_of_an_alias(names):
    assert seen(names, "www.shop.test") == ["c.auth-abc.example.com"]


@pytest.mark.parametrize("host", ["round.shop.test", "elsewhere.shop.test", "none.shop.test", "a..b.shop.test", "x" * 300 + ".y"])
def test_what_is_no_alias_goes_through_as_it_came(names, host):
    assert seen(names, host) == [host]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "[::1]:8000", "localhost", "cloud.shop.test", "c.auth-abc.example.com", "example.com", ""]
)
def test_what_needs_no_question(names, host):
    assert seen(names, host) == [host]
    assert names.asked == []


def test_a_name_server_that_is_away(names, monkeypatch):
    monkeypatch.setattr("pileus.object_store.api.cnames.SECONDS", 0.3)
    names.socket.close()
    assert seen(names, "files.shop.test") == ["files.shop.test"]
