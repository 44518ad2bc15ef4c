"""A cloud of several hosts on one machine: each host is a network namespace, and a bridge is the physical network.

    this namespace        the APIs, a worker; PostgreSQL and RabbitMQ         SUBNET.1
    NAME-wire             a switch: the physical network
    NAME-h1, NAME-h2 ...  a host each: an agent, guests, networks             SUBNET.11, .12 ...

For demonstrations and tests.  Needs root, and a checkout: tools/dbs starts the database server and the broker.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import click

WAIT_SECONDS = 240.0
JOIN_OFFSET = 1  # the port where hosts join is the next after that of the APIs


@dataclass(frozen=True)
class Site:
    """What a cluster takes of the machine; two beside each other need two.

    `name` is at most 9 characters (interfaces are called after it), `port` of the APIs, of which the next one is taken, too.
    """

    name: str
    subnet: str
    port: int
    count: int

    @property
    def wire(self) -> str:
        """The namespace of the physical network."""
        return f"{self.name}-wire"

    @property
    def control(self) -> str:
        """The address of the control plane."""
        return f"{self.subnet}.1"

    @property
    def listen(self) -> str:
        """Where the APIs are."""
        return f"{self.control}:{self.port}"

    @property
    def hosts(self) -> dict[str, str]:
        """The addresses of the hosts by their names, which are those of their namespaces."""
        return {f"{self.name}-h{number}": f"{self.subnet}.{10 + number}" for number in range(1, self.count + 1)}

    def cloud_of(self, host: str) -> str:
        """Return what a host's cloud objects on this machine are called: all hosts share its namespaces' names."""
        return host.replace("-", "")

    def device(self, address: str) -> str:
        """Return the interface that has an address in the physical network."""
        return f"{self.name}{address.rpartition('.')[2]}"


@dataclass
class Cluster:
    """The processes of the cloud, by name, and where they keep their state."""

    site: Site
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)  # of the control plane's processes
    host_settings: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, namespace: str = "", **environment: str) -> None:
        """Start a process of the cloud; what it prints is in NAME.log."""
        with open(self.folder / f"{name}.log", "wb") as out:
            self.processes[name] = subprocess.Popen(
                [*self._command(namespace), *arguments], env=self._environment(namespace, environment), stdout=out, stderr=out,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def run(self, *arguments: str, namespace: str = "", **environment: str) -> str:
        """Run a command of the cloud; returns what it prints.  :raises click.ClickException: when it fails."""
        command = [*self._command(namespace), *arguments]
        environment = self._environment(namespace, environment)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise click.ClickException(done.stderr.strip())
        return done.stdout

    def _command(self, namespace: str) -> list[str]:
        prefix = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
        return [*prefix, sys.executable, "-m", "pileus.cli", "--state-dir", str(self.folder / (namespace or "control"))]

    def _environment(self, namespace: str, more: dict[str, str]) -> dict[str, str]:
        return {**os.environ, **(self.host_settings if namespace else self.settings), **more}

    def lives(self) -> bool:
        """Tell that every process runs.  :raises click.ClickException: when one has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                said = (self.folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
                raise click.ClickException(f"{name} has ended: {said[-1] if said else 'it said nothing'}")
        return True

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        """End a process."""
        process = self.processes.pop(name)
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start_control(self) -> None:
        """Start the control plane, and wait until it serves."""
        self.start("worker", "worker")
        self.start("api", "api", "--listen", self.site.listen)
        until("the APIs", lambda: self.lives() and "serving" in (self.folder / "api.log").read_text())

    def join_hosts(self) -> None:
        """Have all hosts join, and wait until they are up."""
        for host, address in self.site.hosts.items():
            line = self.run("node", "token").split()
            alone = self._alone(host)
            self.run(*line[1:], "--address", address, namespace=host, **alone)
            self.start(host, "agent", namespace=host, **alone)
        until("the hosts", lambda: self.lives() and self.run("node", "list").count(" up ") == len(self.site.hosts))

    def _alone(self, host: str) -> dict[str, str]:
        return {"PILEUS_HOST_NAME": host, "PILEUS_NAME": self.site.cloud_of(host)}

    def kill_host(self, host: str) -> None:
        """End a host at once: its agent, its guests, its wire."""
        self.stop(host, signal.SIGKILL)
        _ip("-n", self.site.wire, "link", "delete", self.site.device(self.site.hosts[host]), check=False)
        state = str(self.folder / host)
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                said = (process / "cmdline").read_bytes()
                if state.encode() in said or f"{os.readlink(process / 'cwd')}/".startswith(f"{state}/"):  # of guests, the latter
                    os.kill(int(process.name), signal.SIGKILL)
        name = self.site.cloud_of(host)
        for namespace in sorted(os.listdir("/run/netns")):
            if namespace == name or namespace.startswith(f"{name}-"):
                _ip("netns", "delete", namespace, check=False)

    def purge(self) -> None:
        """End everything that the cluster made, and remove it."""
        for name in reversed(list(self.processes)):
            self.stop(name)
        for host in self.site.hosts:
            if (self.folder / host / "process.json").exists():
                with contextlib.suppress(click.ClickException):
                    self.run("down", "--purge", "--yes", namespace=host, **self._alone(host))
        take_up_wire(self.site)
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)

    def host_of_router(self, router_id: str = "") -> str:
        """Return the host whose machine has a router (no id: any router); "" when none has."""
        known = os.listdir("/run/netns")
        for host in self.site.hosts:
            start = f"{self.site.cloud_of(host)}-rtr-{router_id}"
            if any(name.startswith(start) for name in known):
                return host
        return ""


@contextlib.contextmanager
def running(site: Site, settings: Mapping[str, str] = {}, host_settings: Mapping[str, str] = {}) -> Iterator[Cluster]:
    """Yield a cluster with its engines and its wire, in which nothing of the cloud runs yet; everything is gone afterwards.

    :param settings: environment of the control plane's processes.
    :param host_settings: environment of the agents.
    :raises click.ClickException: when an engine does not start.
    """
    take_up_wire(site)
    lay_wire(site)
    with contextlib.ExitStack() as engines:
        cluster = Cluster(site, Path(mkdtemp(prefix="pileus-cluster-")), host_settings=dict(host_settings))
        engines.callback(cluster.purge)
        cluster.settings = {
            "PILEUS_DATABASE_URL": engines.enter_context(_engine(site, "postgresql", "PILEUS_TEST_DATABASE")),
            "PILEUS_BUS_URL": engines.enter_context(_engine(site, "rabbitmq", "PILEUS_TEST_BUS")),
            "PILEUS_JOIN_PORT": str(site.port + JOIN_OFFSET), "PILEUS_LISTEN": site.listen, "PILEUS_HOST_ADDRESS": site.control,
            "PILEUS_NAME": site.cloud_of(f"{site.name}-c"),
        } | dict(settings)  # fmt: skip
        yield cluster


def until(what: str, look: Callable[[], Any]) -> Any:
    """Wait until something is seen, and return it.  :raises click.ClickException: when it is not after WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise click.ClickException(f"{what}: nothing after {WAIT_SECONDS:.0f} s.")


@contextlib.contextmanager
def _engine(site: Site, kind: str, variable: str) -> Iterator[str]:
    """Run a database server or a broker; yields its URL."""
    tool = Path(__file__).parents[2] / "tools" / "dbs"
    process = subprocess.Popen(
        [str(tool), kind, "sh", "-c", f"echo ${variable}; exec cat"], env={**os.environ, "PILEUS_TEST_ADDRESS": site.control},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    try:
        url = process.stdout.readline().strip()
        if not url:
            raise click.ClickException(f"{kind} did not start: {tool} {kind} true says why.")
        yield url
    finally:
        process.stdin.close()  # which ends cat, and the tool ends the server
        process.wait(60)


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=not check)


def lay_wire(site: Site) -> None:
    """Join the hosts' namespaces, and this one, by a bridge."""
    _ip("netns", "add", site.wire)
    _ip("-n", site.wire, "link", "add", "switch", "type", "bridge")
    _ip("-n", site.wire, "link", "set", "switch", "up")
    for name, address in {"": site.control, **site.hosts}.items():
        place = ("-n", name) if name else ()
        if name:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        near = site.device(address)
        _ip(*place, "link", "add", near, "type", "veth", "peer", "name", near, "netns", site.wire)
        _ip("-n", site.wire, "link", "set", near, "master", "switch", "up")
        _ip(*place, "address", "add", f"{address}/24", "dev", near)
        _ip(*place, "link", "set", near, "up")


def take_up_wire(site: Site) -> None:
    """Remove the physical network and the hosts' namespaces."""
    for name in (*site.hosts, site.wire):
        _ip("netns", "delete", name, check=False)
    _ip("link", "delete", site.device(site.control), check=False)
