"""What every driver of a host's networking must show."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pileus.network.driver import GroupSpec, NetworkHost, NotOnHostError, PortSpec, fingerprint
from pileus.network.drivers.fake import FakeNetworkHost
from pileus.network.drivers.linux.uplink import UplinkSettings
from tests.network.drivers.conftest import GROUP, Cloud, make_cloud, new_id
from tests.network.drivers.guests import Stage, with_switch


@pytest.fixture(
    params=["fake", pytest.param("linux", marks=pytest.mark.host), pytest.param("ovs", marks=[pytest.mark.host, with_switch])]
)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NetworkHost]:
    if request.param == "fake":
        yield FakeNetworkHost()
        return
    stage = Stage(request.param)
    driver = stage.driver(tmp_path / "state", UplinkSettings(netns=stage.outside.name))
    try:
        yield driver
    finally:
        driver.purge()
        stage.clear()


@pytest.fixture
def wanted(tmp_path: Path) -> Cloud:
    return make_cloud(None, tmp_path)  # type: ignore[arg-type]


def make(host: NetworkHost, wanted: Cloud) -> None:
    host.ensure_network(wanted.public)
    host.ensure_network(wanted.blue)
    host.ensure_groups([GROUP])
    for port in wanted.ports:
        host.ensure_port(port)
    host.ensure_router(wanted.router)


def test_what_is_made_is_observed(host: NetworkHost, wanted: Cloud) -> None:
    make(host, wanted)
    seen = host.observe()
    assert seen.networks == {one.id: fingerprint(one) for one in (wanted.public, wanted.blue)}
    assert seen.ports == {one.id: fingerprint(one) for one in wanted.ports}
    assert seen.routers == {wanted.router.id: fingerprint(wanted.router)}
    assert seen.groups == {GROUP.id: fingerprint(GROUP)}
    assert not seen.damaged


def test_making_twice_is_making_once(host: NetworkHost, wanted: Cloud) -> None:
    make(host, wanted)
    before = host.observe()
    make(host, wanted)
    assert host.observe() == before


def test_a_change_is_observed(host: NetworkHost, wanted: Cloud) -> None:
    make(host, wanted)
    port = replace(wanted.ports[0], port_security=False, group_ids=())
    router = replace(wanted.router, floating_ips=(), enable_snat=False)
    blue = replace(wanted.blue, hosts=(), mtu=1400)
    group = replace(GROUP, rules=(), members=frozenset({"10.9.0.0/16", "fd00::1"}))
    host.ensure_network(blue)
    host.ensure_port(port)
    host.ensure_router(router)
    host.ensure_groups([group])
    seen = host.observe()
    assert seen.networks[blue.id] == fingerprint(blue)
    assert seen.ports[port.id] == fingerprint(port)
    assert seen.routers[router.id] == fingerprint(router)
    assert seen.groups[group.id] == fingerprint(group)


def test_a_port_needs_its_network(host: NetworkHost) -> None:
    with pytest.raises(NotOnHostError):
        host.ensure_port(PortSpec(new_id(), new_id(), "fa:16:3e:00:00:11", "tap0"))
    assert not host.observe().everything("port")


def test_a_router_needs_its_networks(host: NetworkHost, wanted: Cloud) -> None:
    host.ensure_network(wanted.public)
    with pytest.raises(NotOnHostError):
        host.ensure_router(wanted.router)


def test_destroyed_things_are_gone_and_may_be_destroyed_again(host: NetworkHost, wanted: Cloud) -> None:
    make(host, wanted)
    for _ in range(2):
        host.destroy_router(wanted.router.id)
        for port in wanted.ports:
            host.destroy_port(port.id)
        host.destroy_groups([GROUP.id])
        for network in (wanted.blue, wanted.public):
            host.destroy_network(network.id)
    seen = host.observe()
    assert not any(seen.everything(kind) for kind in ("network", "port", "router", "group"))


def test_a_group_in_use_may_go(host: NetworkHost, wanted: Cloud) -> None:
    make(host, wanted)
    host.destroy_groups([GROUP.id])
    seen = host.observe()
    assert not seen.groups
    assert set(seen.ports) == {port.id for port in wanted.ports}
    host.ensure_groups([GROUP])
    assert host.observe().groups == {GROUP.id: fingerprint(GROUP)}


def test_purge_leaves_nothing_and_all_can_be_made_again(host: NetworkHost, wanted: Cloud) -> None:
    make(host, wanted)
    host.purge()
    assert not any(host.observe().everything(kind) for kind in ("network", "port", "router", "group"))


def test_many_threads_at_once(host: NetworkHost, wanted: Cloud) -> None:
    host.ensure_network(wanted.blue)
    ports = [
        PortSpec(new_id(), wanted.blue.id, f"fa:16:3e:00:01:{n:02x}", f"tap{n}", (f"10.0.0.{n + 20}",), (GROUP.id,))
        for n in range(24)
    ]
    failures: list[BaseException] = []

    def work(mine: list[PortSpec]) -> None:
        try:
            for port in mine:
                host.ensure_port(port)
                host.ensure_groups([GroupSpec(GROUP.id, GROUP.rules, frozenset(port.fixed_ips))])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(ports[start::6],)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert host.observe().ports == {port.id: fingerprint(port) for port in ports}
