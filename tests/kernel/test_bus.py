"""What every bus must show: calls reach a host's driver, with values and errors whole; wake-ups wake; who is gone is gone."""

import threading
import time
from contextlib import ExitStack, closing, contextmanager

import pytest
from kombu.transport import virtual

from pileus.agent.contracts import CONTRACTS
from pileus.agent.serving import Serving
from pileus.compute.driver import DiskSpec, DriverError, GuestSpec
from pileus.compute.drivers.fake import FakeHypervisor
from pileus.kernel import answering, bus_rabbit, ids, wire
from pileus.kernel.bus import HostUnknown, LocalBus
from pileus.kernel.bus_rabbit import Caller, HostUnreachable, RabbitBus
from pileus.network.driver import GroupRule, GroupSpec, NetworkSpec, PortSpec, SubnetSpec
from pileus.network.drivers.fake import FakeNetworkHost
from pileus.volume.driver import BackendFull, Connector, VolumeSpec
from pileus.volume.drivers.fake import FakeBackend
from tests.brokers import is_there, rabbitmq

GUEST = GuestSpec(
    "0c9e1ad4-6a70-4b7e-a1c1-9f0c1d3f7a11", "first", 1, 64, (DiskSpec("root", "blank", 1),), config_drive={"meta": b"\x00\xff{}"}
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """kombu's broker in memory is looked at once a second; that is too long for tests, and so are a few other times."""
    monkeypatch.setattr(answering, "WORKING_SECONDS", 0.3)
    monkeypatch.setattr(virtual.Transport, "polling_interval", 0.01)


@pytest.fixture(scope="module")
def url_of():
    """Says where a broker of a kind is: kombu's own in memory, or a real RabbitMQ where it is installed."""
    with ExitStack() as stack:
        started = {"memory": f"memory://{ids.hex_id()}"}

        def found(kind):
            if kind not in started:
                if not is_there():
                    pytest.skip("rabbitmq-server is not installed")
                started[kind] = stack.enter_context(rabbitmq())
            return started[kind]

        yield found


class Cluster:
    """A bus and the drivers of the hosts that it reaches."""

    def __init__(self, bus, roles, agent=None, url=""):
        self.bus, self.roles, self.agent, self.url = bus, roles, agent, url


def _roles():
    return {
        "host1": {"hypervisor": FakeHypervisor(), "network": FakeNetworkHost()},
        "host1@fake": {"volume": FakeBackend(total_gib=10)},
    }


@contextmanager
def connected(url):
    """A control plane and one agent, with the broker between them."""
    with ExitStack() as stack:
        roles = _roles()
        agent = Serving(url, "host1", roles, {"version": "1"})
        stack.callback(agent.close)
        agent.start()
        bus = RabbitBus(url, CONTRACTS)
        stack.callback(bus.close)
        bus.start()
        wait_until(lambda: bus.hosts("hypervisor"))
        yield Cluster(bus, roles, agent, url)


@pytest.fixture(params=["local", "memory", "rabbitmq"])
def cluster(request, url_of):
    if request.param == "local":
        roles = _roles()
        yield Cluster(LocalBus(roles), roles)
    else:
        with connected(url_of(request.param)) as found:
            yield found


@pytest.fixture(params=["memory", "rabbitmq"])
def remote(request, url_of):
    with connected(url_of(request.param)) as found:
        yield found


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)
    return found


def test_who_is_there(cluster):
    assert cluster.bus.hosts("hypervisor") == ("host1",)
    assert cluster.bus.hosts("volume") == ("host1@fake",)
    for name, role in (("host2", "hypervisor"), ("host1", "volume")):
        with pytest.raises(HostUnknown):
            cluster.bus.host(name, role)


def test_a_guest_is_made_and_seen(cluster):
    host = cluster.bus.host("host1", "hypervisor")
    host.ensure(GUEST)
    host.ensure(GUEST)
    there = cluster.roles["host1"]["hypervisor"].guests[GUEST.id]
    assert there.spec == GUEST
    assert host.observe(GUEST.id).power == "on"
    assert host.observe_all() == {GUEST.id: host.observe(GUEST.id)}
    assert host.observe("another") is None
    assert host.resources().vcpus > 0
    host.destroy(GUEST.id)
    assert host.observe_all() == {}


def test_errors_are_those_of_the_contract(cluster):
    with pytest.raises(DriverError):
        cluster.bus.host("host1", "hypervisor").console_log("another")
    backend = cluster.bus.host("host1@fake", "volume")
    cluster.roles["host1@fake"]["volume"].room_bytes = 0
    id = "0c9e1ad4-6a70-4b7e-a1c1-9f0c1d3f7a12"
    backend.ensure(VolumeSpec(id, 1))
    with closing(backend.open(id, writable=True)) as content, pytest.raises(BackendFull):
        content.write(0, b"x" * 4096)


def test_networks_and_groups(cluster):
    host = cluster.bus.host("host1", "network")
    network = NetworkSpec("n1", subnets=(SubnetSpec("s1", "10.0.0.0/24"),))
    group = GroupSpec("g1", (GroupRule("r1", "ingress", protocol="tcp", port_min=22, port_max=22),), frozenset({"10.0.0.5"}))
    host.ensure_network(network)
    host.ensure_groups(iter([group]))
    host.ensure_port(PortSpec("p1", "n1", "fa:16:3e:00:00:01", "tap1", ("10.0.0.5",), ("g1",)))
    direct = cluster.roles["host1"]["network"]
    assert host.observe() == direct.observe()


def test_the_content_of_a_volume(cluster):
    backend = cluster.bus.host("host1@fake", "volume")
    id = "0c9e1ad4-6a70-4b7e-a1c1-9f0c1d3f7a13"
    backend.ensure(VolumeSpec(id, 1))
    content = backend.open(id, writable=True)
    assert content.size_bytes == 1024**3
    content.write(4096, b"kept")
    content.flush()
    assert content.read(4094, 8) == b"\0\0kept\0\0"
    assert all(isinstance(length, int) for _, length, _ in content.extents())
    content.close()
    assert backend.connect(id, Connector("a1", "host1"))["driver_volume_type"]
    assert hasattr(backend, "adopt_volume") == hasattr(cluster.roles["host1@fake"]["volume"], "adopt_volume")
    assert not hasattr(backend, "dance")


def test_a_guest_that_changes_by_itself_is_news(cluster):
    heard = []
    host = cluster.bus.host("host1", "hypervisor")
    host.listen(heard.append)
    host.ensure(GUEST)
    cluster.roles["host1"]["hypervisor"].shut_down(GUEST.id)
    wait_until(lambda: GUEST.id in heard)


def test_a_wake_up_ends_a_wait(cluster):
    waiting = threading.Thread(target=cluster.bus.wait, args=(60,), daemon=True)
    waiting.start()
    cluster.bus.wake()
    waiting.join(20)
    assert not waiting.is_alive()


def test_a_wake_up_reaches_other_processes(remote):
    other = RabbitBus(remote.url, CONTRACTS)
    other.start()
    try:
        waiting = threading.Thread(target=remote.bus.wait, args=(60,), daemon=True)
        waiting.start()
        wait_until(lambda: [other.wake(), waiting.join(0.1), not waiting.is_alive()][-1])
    finally:
        other.close()


def test_a_call_may_take_long(remote, monkeypatch):
    monkeypatch.setattr(bus_rabbit, "SILENCE_SECONDS", 1.5)
    hypervisor = remote.roles["host1"]["hypervisor"]
    before = hypervisor.resources

    def slowly():
        time.sleep(3)
        return before()

    monkeypatch.setattr(hypervisor, "resources", slowly)
    assert remote.bus.host("host1", "hypervisor").resources().vcpus > 0


def test_an_answer_finds_its_queue_however_late_that_is_made(remote):
    caller, answers = Caller(remote.url), []
    call = wire.Call("hypervisor", "host1", "resources", {})
    calling = threading.Thread(target=lambda: answers.append(caller.call("compute.host1", call)), daemon=True)
    calling.start()
    time.sleep(1)  # long enough for an answer to come before there is anywhere to put it
    caller.start()
    try:
        calling.join(30)
        resources = wire.decode_answer(CONTRACTS["hypervisor"], CONTRACTS["hypervisor"].method("resources", False), answers[0])
        assert resources.vcpus == remote.roles["host1"]["hypervisor"].resources().vcpus
    finally:
        caller.close()


def test_an_agent_that_is_gone(remote, monkeypatch):
    monkeypatch.setattr(bus_rabbit, "SILENCE_SECONDS", 1.0)
    host = remote.bus.host("host1", "hypervisor")
    remote.agent.close()
    with pytest.raises(HostUnreachable) as caught:
        host.resources()
    assert "host1" in str(caught.value)
    monkeypatch.setattr(bus_rabbit, "PRESENT_SECONDS", 0.5)
    wait_until(lambda: not remote.bus.hosts("hypervisor"))
    with pytest.raises(HostUnknown):
        remote.bus.host("host1", "hypervisor")


def test_own_hosts_need_no_broker():
    roles = _roles()
    bus = RabbitBus("amqp://guest:guest@127.0.0.1:1//", CONTRACTS, roles)
    assert bus.hosts("network") == ("host1",)
    bus.host("host1", "hypervisor").ensure(GUEST)
    bus.wake()
    bus.wait(60)
