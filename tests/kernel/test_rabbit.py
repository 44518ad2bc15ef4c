"""What only a real RabbitMQ shows: queues that outlive it, TLS, and work that outlives its death, silence and mistakes."""

import ipaddress
import os
import random
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from pileus.agent.contracts import CONTRACTS
from pileus.agent.serving import Serving
from pileus.certificates import Authority, Identity, new_key
from pileus.compute.drivers.fake import FakeHypervisor
from pileus.kernel import answering, bus_rabbit, rabbit
from pileus.kernel.bus import HostUnknown
from pileus.kernel.bus_rabbit import HostUnreachable, RabbitBus
from pileus.main import build_cloud, build_worker
from tests.brokers import cut_off, engine, is_there
from tests.compute.servers_lab import prepare

pytestmark = pytest.mark.skipif(not is_there(), reason="rabbitmq-server is not installed")
SECONDS = 240.0
PARTITION_SECONDS = float(os.environ.get("PARTITION", "20"))  # longer than heartbeats take to be missed


def until(condition):
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.05)
    return found


def serve(url: str) -> tuple[RabbitBus, Serving, FakeHypervisor]:
    hypervisor = FakeHypervisor()
    agent = Serving(url, "host1", {"host1": {"hypervisor": hypervisor}}, {"version": "1"})
    agent.start()
    bus = RabbitBus(url, CONTRACTS)
    bus.start()
    until(lambda: bus.hosts("hypervisor"))
    return bus, agent, hypervisor


def answers(bus: RabbitBus) -> bool:
    try:
        return bool(bus.hosts("hypervisor")) and bus.host("host1", "hypervisor").resources().vcpus > 0
    except (HostUnreachable, HostUnknown):
        return False


def wakes(bus: RabbitBus, url: str) -> None:
    """Hold that another process wakes this one."""
    waiting = threading.Thread(target=bus.wait, args=(SECONDS,), daemon=True)
    waiting.start()
    other = RabbitBus(url, CONTRACTS)
    other.start()
    with closing(other):
        until(lambda: [other.wake(), waiting.join(0.1), not waiting.is_alive()][-1])


def test_a_broker_that_dies_and_comes_back():
    with engine("rabbitmq") as broker:
        bus, agent, _ = serve(broker.url)
        with closing(bus), closing(agent):
            host = bus.host("host1", "hypervisor")
            assert until(lambda: answers(bus))
            broker.kill()
            began = time.monotonic()
            with pytest.raises(HostUnreachable):
                host.resources()
            assert time.monotonic() - began < bus_rabbit.SILENCE_SECONDS + 10
            broker.start()
            until(lambda: answers(bus))
            wakes(bus, broker.url)


@pytest.mark.host
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_broker_that_is_not_heard_for_a_while():
    with engine("rabbitmq") as broker:
        bus, agent, _ = serve(broker.url)
        with closing(bus), closing(agent):
            until(lambda: answers(bus))
            with cut_off(urlsplit(broker.url).port):
                ends = time.monotonic() + PARTITION_SECONDS
                while time.monotonic() < ends:
                    began = time.monotonic()
                    bus.wake()
                    assert not answers(bus)
                    assert time.monotonic() - began < SECONDS / 4
                    time.sleep(1)
            began = time.monotonic()
            until(lambda: answers(bus))
            assert time.monotonic() - began < SECONDS / 4
            wakes(bus, broker.url)


def test_messages_that_are_lost_and_that_come_twice(lab, monkeypatch):
    monkeypatch.setattr(bus_rabbit, "SILENCE_SECONDS", 1.5)
    monkeypatch.setattr(answering, "WORKING_SECONDS", 0.3)
    roles = {"hypervisor": lab.hypervisor, "network": lab.network_host}
    with engine("rabbitmq") as broker, ExitStack() as stack:
        agent = Serving(broker.url, "host1", {"host1": roles, "host1@fake": {"volume": lab.volumes}}, {"version": "1"})
        agent.start()
        stack.enter_context(closing(agent))
        bus = RabbitBus(broker.url, CONTRACTS)
        bus.start()
        stack.enter_context(closing(bus))
        until(lambda: answers(bus))
        lab.cloud = build_cloud(lab.cloud.settings, lab.cloud.db, lab.clock, bus)
        lab.worker = build_worker(lab.cloud, 1)
        cloud = prepare(lab)
        fate = Fate(monkeypatch)
        servers = [cloud.post(name=f"s{number}").json()["server"]["id"] for number in range(4)]
        until(lambda: [lab.settle(5), all(cloud.show(id)["status"] == "ACTIVE" for id in servers)][-1])
        assert sorted(lab.hypervisor.guests) == sorted(servers)
        assert {guest.power for guest in lab.hypervisor.guests.values()} == {"on"}
        assert all(cloud.demo.delete(f"/compute/v2.1/servers/{id}").status_code == 204 for id in servers)
        until(lambda: [lab.settle(5), not cloud.left_over()][-1])
        assert min(fate.lost, fate.repeated) > 3, "this was a trial"


class Fate:
    """From now on loses some calls and answers, and repeats others."""

    def __init__(self, monkeypatch) -> None:
        self.lost = self.repeated = 0
        self._chance = random.Random(3)
        publish = rabbit.Publisher.publish

        def unreliably(publisher, exchange, key, message, expires_seconds=None):
            for _ in range(self._times() if message.correlation_id else 1):
                publish(publisher, exchange, key, message, expires_seconds)

        monkeypatch.setattr(rabbit.Publisher, "publish", unreliably)

    def _times(self) -> int:
        times = self._chance.choices((0, 1, 2), (1, 6, 3))[0]
        self.lost += times == 0
        self.repeated += times == 2
        return times


def test_calls_lie_in_quorum_queues():
    with engine("rabbitmq") as broker:
        bus, agent, _ = serve(broker.url)
        with closing(bus), closing(agent), closing(rabbit.connection(broker.url)) as connection:
            channel = connection.channel()
            for name in ("compute", "compute.host1"):
                queue = rabbit.shared_queue(name)(channel)
                assert queue.queue_declare(passive=True).queue == name
                assert queue.queue_arguments["x-queue-type"] == "quorum"
                with pytest.raises(Exception, match="inequivalent"):  # it is of another type than this
                    connection.channel().queue_declare(
                        name, durable=True, auto_delete=False, arguments={"x-queue-type": "classic"}
                    )


@pytest.fixture
def tls(tmp_path) -> Path:
    """Certificates of a broker on this machine."""
    authority, identity, key = Authority(tmp_path / "ca"), Identity(tmp_path / "broker"), new_key()
    authority.ensure()
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    identity.keep(key, authority.sign(key.public_key(), "broker", names=names), authority.pem)
    return identity.directory


def test_tls(tls, tmp_path):
    with engine("rabbitmq", tls=tls) as broker:
        assert broker.url.startswith("amqps://")
        bus, agent, _ = serve(f"{broker.url}?cafile={tls / 'ca.pem'}")
        with closing(bus), closing(agent):
            assert until(lambda: answers(bus))
        publisher = rabbit.Publisher(broker.url)  # whose authority nobody here knows
        with closing(publisher), pytest.raises(rabbit.BusDown, match="certificate"):
            publisher.publish(rabbit.TOPIC, "compute", rabbit.Message(b""))
