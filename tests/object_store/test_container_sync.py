"""Container sync: what changes on one side comes to the other, for those who know the keys, to places the operator allows."""

import asyncio
import socket
import threading

import pytest

from pileus.object_store.placement import Placement
from pileus.object_store.realms import Realms, read_realms, signature
from pileus.object_store.storage.daemons.container_sync import ContainerSync
from pileus.object_store.storage.embedded import embedded_cluster, embedded_daemons
from pileus.object_store.storage.serve import serving
from tests.object_store.conftest import ACCOUNT, OTHER_ACCOUNT, make_shop

KEY, REALM_KEY = "user key", "realm key"


class Served:
    """An object store that answers on a port of its own, and its daemon."""

    def __init__(self, tmp_path, realms="") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        file = tmp_path / "realms.conf"
        file.write_text(f"[realm1]\nkey = {REALM_KEY}\ncluster_name1 = http://127.0.0.1:{self.port}/object-store/v1/\n")
        self.shop = make_shop(tmp_path, object_sync_realms=str(file), object_sync_hosts="127.0.0.1")
        self.shop.store._open = lambda now: Placement(embedded_cluster(str(tmp_path / "objects"), now))
        self.loop = asyncio.new_event_loop()
        self.stop = asyncio.Event()
        ready = threading.Event()

        async def serve():
            async with serving(self.shop.app, "127.0.0.1", self.port):
                ready.set()
                await self.stop.wait()

        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(serve(),))
        self.thread.start()
        assert ready.wait(20)
        store = self.shop.store
        carrier, ring = store.placement.cluster.carrier, store.placement.cluster.container_ring
        self.daemon = ContainerSync(carrier.files("d0"), store.placement, store.realms, ring, store.now)

    def sync(self):
        return asyncio.run(self.daemon.run_once())

    def close(self):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(20)
        self.loop.close()
        self.shop.app.close()
        self.shop.store.placement.cluster.carrier.close()


@pytest.fixture
def served(tmp_path):
    made = Served(tmp_path)
    yield made
    made.close()


def pair(served, by_url=False):
    """Two clients whose containers "here" and "there" sync to each other."""
    here, there = served.shop.client(), served.shop.client("other", OTHER_ACCOUNT)
    base = f"http://127.0.0.1:{served.port}/object-store/v1" if by_url else "//realm1/name1"
    assert here("PUT", "/here", X_Container_Sync_To=f"{base}/{OTHER_ACCOUNT}/there", X_Container_Sync_Key=KEY).status_code == 201
    assert there("PUT", "/there", X_Container_Sync_To=f"{base}/{ACCOUNT}/here", X_Container_Sync_Key=KEY).status_code == 201
    return here, there


@pytest.mark.parametrize("by_url", [False, True])
def test_changes_come_to_the_other_side(served, by_url):
    here, there = pair(served, by_url)
    big = b"0123456789" * 20_000
    here("PUT", "/here/a ü", b"hello", X_Object_Meta_Color="blau", Content_Type="text/x", Content_Encoding="x")
    here("PUT", "/here/big", big, X_Delete_At="4000000000")
    there("PUT", "/there/b", b"back")
    here("PUT", "/here/gone", b"x")
    served.sync()
    there("DELETE", "/there/gone")
    here("POST", "/here/b", X_Object_Meta_Said="posted")
    served.sync()
    listed = [client("GET", f"{box}?format=json").json() for client, box in ((here, "/here"), (there, "/there"))]
    assert listed[0] == listed[1]
    assert [row["name"] for row in listed[0]] == ["a ü", "b", "big"]
    found = there("GET", "/there/a ü")
    assert found.content == b"hello"
    assert (found.headers["content-type"], found.headers["x-object-meta-color"]) == ("text/x", "blau")
    assert found.headers["content-encoding"] == "x"
    assert there("GET", "/there/big").content == big
    assert there("HEAD", "/there/big").headers["x-delete-at"] == "4000000000"
    assert there("HEAD", "/there/b").headers["x-object-meta-said"] == "posted"
    assert here("GET", "/here/b").headers["x-timestamp"] == there("GET", "/there/b").headers["x-timestamp"]
    assert served.sync()["puts"] == 0


def test_large_objects_and_links_come_as_such(served):
    here, there = pair(served)
    segment = here("PUT", "/here/seg", b"12345").headers["etag"]
    manifest = f'[{{"path": "/here/seg", "etag": "{segment}"}}, {{"data": "Njc="}}]'.encode()
    made = here("PUT", "/here/slo?multipart-manifest=put", manifest)
    here("PUT", "/here/dlo", b"", X_Object_Manifest="here/se")
    here("PUT", "/here/link", b"", X_Symlink_Target="here/seg", X_Symlink_Target_Etag=segment)
    served.sync()
    there("PUT", "/here")
    there("COPY", "/there/seg", Destination="here/seg")
    slo = there("GET", "/there/slo")
    assert (slo.content, slo.headers["etag"], slo.headers["x-static-large-object"]) == (b"1234567", made.headers["etag"], "True")
    assert there("GET", "/there/dlo").content == b"12345"
    assert there("GET", "/there/link").content == b"12345"
    assert there("GET", "/there/link?symlink=get").headers["x-symlink-target"] == "here/seg"
    rows = [
        {row["name"]: row for row in client("GET", f"{box}?format=json").json()}
        for client, box in ((here, "/here"), (there, "/there"))
    ]
    assert rows[0]["slo"] == rows[1]["slo"]


def test_the_other_side_away(served):
    here, there = pair(served)
    there("POST", "/there", X_Container_Sync_Key="another")
    here("PUT", "/here/o", b"x")
    assert served.sync()["failed"] == 1
    there("POST", "/there", X_Container_Sync_Key=KEY)
    served.shop.store.forget(OTHER_ACCOUNT, "there")
    assert served.sync()["puts"] == 1
    assert there("GET", "/there/o").content == b"x"


def test_a_container_in_shards_is_synced_too(served):
    names = [f"n{number:02d}" for number in range(40)]
    here, there = served.shop.client(), served.shop.client("other", OTHER_ACCOUNT)
    here("PUT", "/here")
    for name in names[:30]:
        here("PUT", f"/here/{name}", name.encode())
    store = served.shop.store

    def split(threshold=8, times=3):
        for _ in range(times):
            served.shop.clock.advance(60)
            for daemon, _ in embedded_daemons(store.placement.cluster, store.now, threshold):
                asyncio.run(daemon.run_once())

    split()
    assert served.sync() == {}, "it has no partner yet"
    base = f"http://127.0.0.1:{served.port}/object-store/v1"
    assert there("PUT", "/there", X_Container_Sync_Key=KEY).status_code == 201
    assert here("POST", "/here", X_Container_Sync_To=f"{base}/{OTHER_ACCOUNT}/there", X_Container_Sync_Key=KEY).status_code == 204
    assert served.sync()["puts"] == 30
    assert there("GET", "/there").text.split() == names[:30]
    assert served.sync()["puts"] == 0
    for name in names[30:]:
        here("PUT", f"/here/{name}", name.encode())
    here("DELETE", "/here/n05")
    here("PUT", "/here/n06", b"another")
    split(threshold=4)  # shards split in their turn, with news that are not sent yet
    served.sync()
    assert there("GET", "/there").text.split() == [name for name in names if name != "n05"]
    assert there("GET", "/there/n06").content == b"another"
    assert there("GET", "/there/n39").content == b"n39"
    assert served.sync()["puts"] == 0


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.2/v1/a/c", "http://localhost/v1/a/c", "ftp://127.0.0.1/v1/a/c", "http://127.0.0.1", "//realm1/other/a/c",
        "//realm2/name1/a/c", "//realm1/name1/a", "http://127.0.0.1@169.254.169.254/v1/a/c", "http://u:p@127.0.0.1/v1/a/c",
        "http://127.0.0.1/v1/a/c?x=y",
    ],
)  # fmt: skip
def test_places_that_the_operator_does_not_allow(served, target):
    assert served.shop.client()("PUT", "/here", X_Container_Sync_To=target).status_code == 400


def test_the_keys_are_the_owners(served):
    here, _ = pair(served)
    assert here("HEAD", "/here").headers["x-container-sync-key"] == KEY
    here("POST", "/here", X_Container_Read=".r:*,.rlistings")
    assert "x-container-sync-key" not in served.shop.client(None)("HEAD", "/here").headers
    here("POST", "/here", X_Container_Sync_To="", X_Container_Sync_Key="")
    assert "x-container-sync-to" not in here("HEAD", "/here").headers


def test_who_does_not_know_the_keys_is_not_let_in(served):
    pair(served)
    nobody = served.shop.client(None)
    path = f"/object-store/v1/{ACCOUNT}/here/o"
    good = {"X-Timestamp": "1700000000.00000"}

    def send(realm_key=REALM_KEY, user_key=KEY, method="PUT", realm="realm1", stamp="1700000000.00000"):
        sign = signature(method, path, "1700000000.00000", "n", realm_key, user_key)
        header = {"X-Container-Sync-Auth": f"{realm} n {sign}", "X-Timestamp": stamp}
        return nobody.request("PUT", path, content=b"x", headers=header).status_code

    assert [send("x"), send(user_key="x"), send(method="GET"), send(realm="r"), send(stamp="1700000001.00000")] == [401] * 5
    assert nobody.request("PUT", path, content=b"x", headers={"X-Container-Sync-Auth": "a b", **good}).status_code == 401
    assert nobody.request("PUT", path, content=b"x", headers={"X-Container-Sync-Key": "x", **good}).status_code == 401
    assert send() == 201


def test_without_realms_nothing_is_synced(tmp_path):
    shop = make_shop(tmp_path)
    swift = shop.client()
    assert swift("PUT", "/c", X_Container_Sync_To="//realm1/name1/a/c").status_code == 400
    assert "container_sync" not in swift.get("/info").json()
    swift("PUT", "/c", X_Container_Sync_Key=KEY)
    nobody = shop.client(None)
    assert nobody("PUT", "/c/o", b"x", X_Container_Sync_Key=KEY, X_Timestamp="1700000000.00000").status_code == 401
    shop.app.close()


def test_the_file_of_realms(tmp_path):
    file = tmp_path / "realms.conf"
    file.write_text("[US]\nkey = a\nkey2 = b\ncluster_East = https://east/v1\n[nokey]\ncluster_x = http://x\n")
    realms = read_realms(str(file), "h1, h2")
    assert realms.partner("//us/east/a/c").url == "https://east/v1/a/c"
    assert realms.hosts == {"h1", "h2"}
    assert realms.knows(f"us n {signature('PUT', '/p', '1', 'n', 'b', 'u')}", "PUT", "/p", "1", "u")
    with pytest.raises(ValueError, match="No realm key"):
        realms.partner("//nokey/x/a/c")
    file.write_text("no section")
    with pytest.raises(ValueError, match="no section"):
        read_realms(str(file), "")
    assert not Realms()
