"""A host joins by a token: once, in time, to the cloud that made it; and one that was removed counts no longer."""

import ssl
import threading

import pytest

from pileus.certificates import Authority, Identity, serial
from pileus.kernel.clock import FakeClock
from pileus.kernel.db import Database
from pileus.kernel.errors import BadRequest, NotFound
from pileus.kernel.peers import PeerError, PeerServer, fetch
from pileus.nodes import joining, service
from pileus.nodes.tables import metadata, node_tokens, nodes
from tests import engines


class Cloud:
    """The control plane of a cloud, as far as joining goes."""

    def __init__(self, folder, name="cloud"):
        self.clock, self.authority = FakeClock(), Authority(folder / f"{name}-ca")
        self.state_dir = folder / name
        self.db = Database(engines.url_for(self.state_dir) or f"sqlite:///{folder}/{name}.db")
        with self.db.begin() as tx:
            metadata.create_all(tx, tables=[nodes, node_tokens])
        self.authority.ensure()
        self.identity = Identity(folder / f"{name}-tls")
        self.authority.issue(self.identity, "control")
        door = joining.Door(self.db, self.clock, self.authority, {"bus_url": "amqp://mq//"})
        self.server = joining.open_door(door, self.identity, ("127.0.0.1", 0))
        self.server.start()

    def close(self):
        self.server.close()
        self.db.dispose()
        engines.drop(self.state_dir)

    @property
    def url(self):
        return f"https://127.0.0.1:{self.server.port}"

    def token(self, seconds=60.0):
        return service.issue_token(self.db, self.clock, self.authority, seconds)


@pytest.fixture
def cloud(tmp_path):
    found = Cloud(tmp_path)
    yield found
    found.close()


def test_a_host_joins(cloud, tmp_path):
    assert joining.knock(cloud.url, cloud.token(), "host2", tmp_path / "host2") == {"bus_url": "amqp://mq//"}
    [node] = service.list_nodes(cloud.db)
    assert (node.name, node.address, node.is_removed) == ("host2", "127.0.0.1", False)
    identity = Identity(tmp_path / "host2" / "tls")
    assert (identity.directory / "key.pem").stat().st_mode & 0o777 == 0o600
    assert identity.context(server=True).verify_mode == ssl.CERT_REQUIRED


def test_a_token_is_good_once(cloud, tmp_path):
    token, outcomes = cloud.token(), []

    def try_it(name):
        try:
            joining.knock(cloud.url, token, name, tmp_path / name)
            outcomes.append("joined")
        except joining.JoinError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=try_it, args=(f"host{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("joined") == 1
    assert sum("not valid" in outcome for outcome in outcomes) == 3
    assert len(service.list_nodes(cloud.db)) == 1


def test_a_token_is_good_for_a_while(cloud, tmp_path):
    token = cloud.token(60.0)
    cloud.clock.advance(61)
    with pytest.raises(joining.JoinError, match="too old"):
        joining.knock(cloud.url, token, "host2", tmp_path / "host2")
    assert not (tmp_path / "host2").exists()


def test_a_token_of_another_cloud_is_not_told(cloud, tmp_path):
    other = Cloud(tmp_path, "other")
    token = cloud.token()
    with pytest.raises(joining.JoinError, match="is not the cloud"):
        joining.knock(other.url, token, "host2", tmp_path / "host2")
    other.close()
    joining.knock(cloud.url, token, "host2", tmp_path / "host2")


@pytest.mark.parametrize(
    ("url", "token"), [("http://127.0.0.1:1", "a." + "0" * 64), ("https://127.0.0.1:1", "a"), ("nothing", "a." + "0" * 64)]
)
def test_what_is_no_token(tmp_path, url, token):
    with pytest.raises(joining.JoinError, match="just as"):
        joining.knock(url, token, "host2", tmp_path)


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, "a/b"])
def test_what_is_no_name(cloud, name):
    with pytest.raises(BadRequest):
        service.join(cloud.db, cloud.clock, cloud.authority, "secret", name, "127.0.0.1", b"")


def test_a_host_that_was_removed_counts_no_longer(cloud, tmp_path):
    joining.knock(cloud.url, cloud.token(), "host2", tmp_path / "host2")
    identity = Identity(tmp_path / "host2" / "tls")
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases" / "x").write_text("x")
    counts = lambda number: service.counts(cloud.db, number)  # noqa: E731
    server = PeerServer(cloud.identity, ("127.0.0.1", 0), {"bases": tmp_path / "bases"}, counts=counts)
    server.start()
    try:
        fetch(identity, f"https://127.0.0.1:{server.port}", "bases", "x", tmp_path / "copy")
        service.remove(cloud.db, cloud.clock, "host2")
        assert not service.counts(cloud.db, serial((identity.directory / "cert.pem").read_bytes()))
        with pytest.raises(PeerError):
            fetch(identity, f"https://127.0.0.1:{server.port}", "bases", "x", tmp_path / "again")
    finally:
        server.close()
    with pytest.raises(NotFound):
        service.remove(cloud.db, cloud.clock, "host2")
    old = serial((identity.directory / "cert.pem").read_bytes())
    joining.knock(cloud.url, cloud.token(), "host2", tmp_path / "host2")
    assert [node.is_removed for node in service.list_nodes(cloud.db)] == [False]
    assert not service.counts(cloud.db, old)
    assert service.counts(cloud.db, serial((identity.directory / "cert.pem").read_bytes()))
