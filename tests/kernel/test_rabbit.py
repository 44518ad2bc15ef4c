"""What only a real RabbitMQ shows: queues that outlive it, TLS, and calls that outlive its death."""

import ipaddress
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509

from pileus.agent.contracts import CONTRACTS
from pileus.agent.serving import Serving
from pileus.certificates import Authority, Identity, new_key
from pileus.compute.drivers.fake import FakeHypervisor
from pileus.kernel import bus_rabbit, rabbit
from pileus.kernel.bus import HostUnknown
from pileus.kernel.bus_rabbit import HostUnreachable, RabbitBus
from tests.brokers import engine, is_there

pytestmark = pytest.mark.skipif(not is_there(), reason="rabbitmq-server is not installed")
SECONDS = 240.0


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
            waiting = threading.Thread(target=bus.wait, args=(SECONDS,), daemon=True)
            waiting.start()
            other = RabbitBus(broker.url, CONTRACTS)
            other.start()
            with closing(other):
                until(lambda: [other.wake(), waiting.join(0.1), not waiting.is_alive()][-1])


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
