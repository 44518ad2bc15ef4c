"""The fake host misbehaves when told to."""

import time

import pytest

from pileus.network.driver import NetworkDriverError, NetworkSpec
from pileus.network.drivers.fake import FakeNetworkHost


def test_it_fails_as_often_as_told() -> None:
    host, network = FakeNetworkHost(), NetworkSpec("n1")
    host.fail("ensure_network", "n1", "no space", times=2)
    for _ in range(2):
        with pytest.raises(NetworkDriverError, match="no space"):
            host.ensure_network(network)
    host.ensure_network(network)
    assert host.networks == {"n1": network}


def test_it_takes_as_long_as_told() -> None:
    host = FakeNetworkHost()
    host.delay("ensure_network", 0.05)
    start = time.monotonic()
    host.ensure_network(NetworkSpec("n1"))
    assert time.monotonic() - start >= 0.05


def test_damage_is_observed_and_repaired() -> None:
    host, network = FakeNetworkHost(), NetworkSpec("n1")
    host.ensure_network(network)
    host.damage("network", "n1")
    assert host.observe().damaged == {("network", "n1")}
    assert not host.observe().networks
    host.ensure_network(network)
    assert set(host.observe().networks) == {"n1"}
