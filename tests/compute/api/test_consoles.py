"""Remote consoles: who gets one, what its token opens, and that bytes go both ways."""

import os
import socket
import threading
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.websockets import WebSocketDisconnect

ROOT = "/compute/v2.1/servers"
VNC = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
SERIAL = {"remote_console": {"protocol": "serial", "type": "serial"}}
GREETING = b"RFB 003.008\n"


@pytest.fixture
def server_id(cloud, tmp_path):
    """A server whose guest has a console that greets, and then says all back."""
    id = cloud.boot()
    place = f"/tmp/pc-{os.getpid()}-{id[:8]}"  # a unix socket's path is short
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen(4)
    guest = cloud.lab.hypervisor.guests[id]
    guest.vnc = guest.serial = place

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(GREETING)
                while (data := connection.recv(100)) not in (b"", b"bye"):
                    connection.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield id
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)
    os.unlink(place)


def ask(cloud, id, body=VNC):
    answer = cloud.demo.post(f"{ROOT}/{id}/remote-consoles", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["remote_console"]


def token_path(url):
    return "/" + parse_qs(urlsplit(url).query)["path"][0]


def test_a_console_talks_to_the_guest(cloud, server_id):
    console = ask(cloud, server_id)
    assert (console["protocol"], console["type"]) == ("vnc", "novnc")
    with cloud.lab.anonymous.websocket_connect(token_path(console["url"]), subprotocols=["binary"]) as opened:
        assert opened.accepted_subprotocol == "binary"
        assert opened.receive_bytes() == GREETING
        opened.send_bytes(b"hello")
        assert opened.receive_bytes() == b"hello"
        opened.send_text("bye")
        with pytest.raises(WebSocketDisconnect):
            opened.receive_bytes()


def test_a_serial_console_is_a_websocket_alone(cloud, server_id):
    url = urlsplit(ask(cloud, server_id, SERIAL)["url"])
    assert url.scheme == "ws"
    with cloud.lab.anonymous.websocket_connect(f"{url.path}?{url.query}") as opened:
        assert opened.receive_bytes() == GREETING


def test_the_page_of_novnc(cloud, server_id):
    page = cloud.lab.anonymous.get(ask(cloud, server_id)["url"])
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    assert "noVNC" in page.text
    for name in ("nothing.js", "../../etc/passwd", "%2e%2e/%2e%2e/%2e%2e/etc/passwd", ".hidden", "core//rfb.js"):
        assert cloud.lab.anonymous.get(f"/console/{name}").status_code == 404, name


@pytest.mark.parametrize("change", [lambda path: path + "x", lambda path: path.split("?")[0], lambda path: "/console/elsewhere"])
def test_no_token_no_console(cloud, server_id, change):
    path = token_path(ask(cloud, server_id)["url"])
    with pytest.raises(WebSocketDisconnect), cloud.lab.anonymous.websocket_connect(change(path)):
        pass


def test_a_token_has_its_time(cloud, server_id):
    path = token_path(ask(cloud, server_id)["url"])
    cloud.lab.clock.advance(cloud.lab.cloud.settings.console_token_seconds + 1)
    with pytest.raises(WebSocketDisconnect), cloud.lab.anonymous.websocket_connect(path):
        pass


def test_a_token_opens_nothing_of_a_server_that_is_gone_or_off(cloud, server_id):
    path = token_path(ask(cloud, server_id)["url"])
    cloud.act(server_id, "os-stop")
    cloud.lab.settle()
    with pytest.raises(WebSocketDisconnect), cloud.lab.anonymous.websocket_connect(path):
        pass
    cloud.delete(server_id)
    cloud.lab.settle()
    with pytest.raises(WebSocketDisconnect), cloud.lab.anonymous.websocket_connect(path):
        pass


def test_a_page_of_another_site_gets_nothing(cloud, server_id):
    path = token_path(ask(cloud, server_id)["url"])
    anonymous = cloud.lab.anonymous
    with pytest.raises(WebSocketDisconnect), anonymous.websocket_connect(path, headers={"Origin": "https://evil.example"}):
        pass
    with anonymous.websocket_connect(path, headers={"Origin": "http://testserver"}) as opened:
        assert opened.receive_bytes() == GREETING


@pytest.mark.parametrize(
    ("protocol", "kind"), [("spice", "spice-html5"), ("vnc", "xvpvnc"), ("vnc", "serial"), ("rdp", "rdp-html5")]
)
def test_consoles_that_are_not_served(cloud, server_id, protocol, kind):
    body = {"remote_console": {"protocol": protocol, "type": kind}}
    answer = cloud.demo.post(f"{ROOT}/{server_id}/remote-consoles", json=body)
    assert answer.status_code == 400
    assert kind in answer.json()["badRequest"]["message"]


def test_who_may_have_one(cloud, server_id):
    path = f"{ROOT}/{server_id}/remote-consoles"
    newest = {"X-OpenStack-Nova-API-Version": "latest"}
    assert cloud.lab.client("reader", newest).post(path, json=VNC).status_code == 403
    assert cloud.lab.client("other", newest).post(path, json=VNC).status_code == 404
    assert cloud.admin.post(path, json=VNC).status_code == 200


def test_the_older_way(cloud, server_id):
    old = cloud.lab.client("demo", {"X-OpenStack-Nova-API-Version": "2.1"})
    answer = cloud.act(server_id, "os-getVNCConsole", {"type": "novnc"}, client=old)
    assert answer.status_code == 200, answer.text
    assert answer.json()["console"]["type"] == "novnc"
    assert "token" in answer.json()["console"]["url"]


def test_services_may_ask_what_a_token_opens(cloud, server_id):
    token = token_path(ask(cloud, server_id)["url"]).partition("token=")[2]
    found = cloud.admin.get(f"/compute/v2.1/os-console-auth-tokens/{token}")
    assert found.status_code == 200, found.text
    assert found.json()["console"]["instance_uuid"] == server_id
    assert cloud.admin.get("/compute/v2.1/os-console-auth-tokens/nope").status_code == 404
    assert cloud.demo.get(f"/compute/v2.1/os-console-auth-tokens/{token}").status_code == 403
