"""A small cloud for the packet tests: networks blue and public, a router between them, two guests, an outside."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pileus.network.driver import (
    DhcpHost,
    DhcpSpec,
    FloatingIp,
    GroupRule,
    GroupSpec,
    NetworkSpec,
    PortSpec,
    RouterGateway,
    RouterInterface,
    RouterSpec,
    SubnetSpec,
)
from pileus.network.drivers.linux.assembly import AssembledHost
from pileus.network.drivers.linux.uplink import UplinkSettings
from tests.network.drivers.guests import Guest, Stage, with_switch


def new_id() -> str:
    return str(uuid.uuid4())


GROUP = GroupSpec(
    new_id(),
    (GroupRule(new_id(), "egress"), GroupRule(new_id(), "egress", "IPv6")),
    frozenset({"10.0.0.11", "10.0.0.12"}),
)
ICMP = GroupRule(new_id(), "ingress", "IPv4", "icmp")
TCP_80 = GroupRule(new_id(), "ingress", "IPv4", "tcp", 80, 80, remote_cidr="0.0.0.0/0")
FROM_MEMBERS = GroupRule(new_id(), "ingress", remote_group_id=GROUP.id)


@dataclass
class Cloud:
    """What the driver is told, and the driver."""

    stage: Stage
    state_dir: Path
    public: NetworkSpec
    blue: NetworkSpec
    router: RouterSpec
    ports: list[PortSpec]
    group: GroupSpec = GROUP
    hosts: list[AssembledHost] = field(default_factory=list)

    @property
    def host(self) -> AssembledHost:
        return self.hosts[-1]

    def another_host(self) -> AssembledHost:
        """A driver as a new process would have it."""
        self.hosts.append(self.stage.driver(self.state_dir, UplinkSettings(netns=self.stage.outside.name, forward=True)))
        return self.host

    def ensure(self) -> None:
        """What a reconciler does."""
        self.host.ensure_network(self.public)
        self.host.ensure_network(self.blue)
        self.host.ensure_groups([self.group])
        for port in self.ports:
            self.host.ensure_port(port)
        self.host.ensure_router(self.router)

    def allow(self, *rules: GroupRule) -> None:
        """Let the group have these rules besides egress."""
        self.group = replace(self.group, rules=(*GROUP.rules, *rules))
        self.host.ensure_groups([self.group])

    def change_port(self, index: int, **changes: object) -> PortSpec:
        self.ports[index] = replace(self.ports[index], **changes)  # type: ignore[arg-type]
        self.host.ensure_port(self.ports[index])
        return self.ports[index]

    def guests(self) -> tuple[Guest, Guest]:
        """Both guests, configured by hand."""
        one, two = (self.stage.guest(port) for port in self.ports)
        one.configure("10.0.0.11/24", "10.0.0.1")
        two.configure("10.0.0.12/24", "10.0.0.1")
        return one, two


def make_cloud(stage: Stage, state_dir: Path) -> Cloud:
    public = NetworkSpec(new_id(), external=True, physical_network="public")
    blue_id = new_id()
    ports = [
        PortSpec(new_id(), blue_id, f"fa:16:3e:00:00:{number}", f"tap{new_id()[:8]}", (f"10.0.0.{number}",), (GROUP.id,))
        for number in (11, 12)
    ]
    blue = NetworkSpec(
        blue_id,
        segment=101,
        mtu=1450,
        subnets=(SubnetSpec(new_id(), "10.0.0.0/24", 4, "10.0.0.1"),),
        dhcp=DhcpSpec("fa:16:3e:00:00:02", ("10.0.0.2",)),
        hosts=tuple(DhcpHost(port.id, port.mac, port.fixed_ips, f"guest-{port.mac[-2:]}") for port in ports),
    )
    router = RouterSpec(
        new_id(),
        (RouterInterface(new_id(), blue.id, "fa:16:3e:00:00:01", ("10.0.0.1/24",)),),
        RouterGateway(new_id(), public.id, "fa:16:3e:00:01:01", ("172.24.4.10/24",), ("172.24.4.1",)),
        floating_ips=(FloatingIp("172.24.4.20", "10.0.0.11"),),
    )
    return Cloud(stage, state_dir, public, blue, router, ports)


shared = pytest.mark.parametrize("kind", ["linux"])
"""For tests of what all drivers have from the same code: DHCP, routers and what is in them."""


@pytest.fixture(params=["linux", pytest.param("ovs", marks=with_switch)])
def kind(request: pytest.FixtureRequest) -> str:
    """The driver that makes it."""
    return str(request.param)


@pytest.fixture
def bare_cloud(kind: str, tmp_path: Path) -> Iterator[Cloud]:
    """Nothing made yet; everything is removed at the end."""
    stage = Stage(kind)
    cloud = make_cloud(stage, tmp_path / "state")
    try:
        cloud.another_host()
        yield cloud
    finally:
        try:
            stage.driver(cloud.state_dir, UplinkSettings(netns=stage.outside.name)).purge()
            for host in cloud.hosts:
                host.close()
        finally:
            stage.clear()


@pytest.fixture
def cloud(bare_cloud: Cloud) -> Cloud:
    """All made."""
    bare_cloud.ensure()
    return bare_cloud
