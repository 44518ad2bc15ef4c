"""Bodies that are made while they are sent, files that are let go of, ids and front routes of a service."""

import pytest
from starlette.testclient import TestClient

from pileus.kernel import faults
from pileus.kernel.bus import LocalBus
from pileus.kernel.clock import FakeClock
from pileus.kernel.context import Cloud, Context
from pileus.kernel.db import Database
from pileus.kernel.errors import Unauthenticated
from pileus.kernel.events import Events
from pileus.kernel.http import Answer, FileAnswer, Route, Service, StreamAnswer
from pileus.kernel.policy import Enforcer
from pileus.kernel.server import Api
from tests.conftest import make_settings

CLOSED: list[str] = []


async def numbers():
    try:
        for number in range(5):
            yield b"%d," % number
    finally:
        CLOSED.append("numbers")


async def stream(call):
    return StreamAnswer(numbers(), 10 if "sized" in call.query else None, 206, {"X-More": "1"}, "text/plain")


async def whoever(call):
    return Answer({"user": call.identify(call.headers["x-other-token"]).user_id})


def identify(cloud, token, call):
    if token != "good":
        raise Unauthenticated("no")
    return Context(cloud, user_id="ann")


@pytest.fixture
def client(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")

    async def file(call):
        async def close():
            CLOSED.append("file")

        return FileAnswer(str(tmp_path / "file"), 10, 2, 5, close=close)

    routes = (
        Route("GET", "/stream", stream, stream=True, public=True),
        Route("GET", "/who", whoever, stream=True, public=True),
        Route("GET", "/file", file, stream=True, public=True),
        Route("GET", "/bug", lambda call: next(iter(())), public=True),
    )
    front = (Route("GET", "/info", lambda call: {"front": True}, public=True),)
    service = Service("shop", "Shop", routes, faults.nova, id_header="x-trans-id", make_id=lambda cloud: "tx1", front=front)
    settings = make_settings(tmp_path, database_url=f"sqlite:///{tmp_path}/d.db")
    cloud = Cloud(settings, Database(settings.database), FakeClock(), LocalBus({}), Enforcer((), {}), Events(), {})
    CLOSED.clear()
    api = Api(cloud, [service], identify)
    yield TestClient(api, raise_server_exceptions=False)
    api.close()


def test_a_stream_is_sent_as_it_is_made(client):
    answer = client.get("/shop/stream")
    assert (answer.status_code, answer.text, answer.headers["x-more"]) == (206, "0,1,2,3,4,", "1")
    assert "content-length" not in answer.headers
    assert client.get("/shop/stream?sized").headers["content-length"] == "10"
    assert CLOSED == ["numbers", "numbers"]


def test_head_of_a_stream_has_no_body(client):
    answer = client.head("/shop/stream?sized")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (206, b"", "10")


def test_a_file_is_let_go_of_when_it_was_sent(client):
    assert client.get("/shop/file").content == b"23456"
    assert CLOSED == ["file"]


def test_a_public_route_can_ask_who_holds_a_token(client):
    assert client.get("/shop/who", headers={"X-Other-Token": "good"}).json() == {"user": "ann"}
    assert client.get("/shop/who", headers={"X-Other-Token": "bad"}).status_code == 401


def test_a_service_makes_its_own_ids_and_has_routes_in_front(client):
    answer = client.get("/shop/file")
    assert answer.headers["x-trans-id"] == answer.headers["x-openstack-request-id"] == "tx1"
    assert client.get("/info").json() == {"front": True}


def test_a_handler_that_runs_out_of_something_is_a_bug_and_is_answered(client):
    assert client.get("/shop/bug").status_code == 500
