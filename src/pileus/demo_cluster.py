"""`make demo-cluster`: a cloud of three hosts on this machine, from joining to the end of one of them.

    this namespace      PostgreSQL, RabbitMQ, the APIs, a worker          10.77.0.1
    demo-wire           a switch: the physical network
    demo-h1 .. demo-h3  a host each: an agent, guests, networks           10.77.0.11 .. 13

Boots a guest on each host, has them talk over VXLAN, kills the host that routes, and shows when the guests are reached again by
way of another.  Everything is removed at the end, also after a failure.  Needs root, and a checkout: tools/dbs starts the
database server and the broker.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import click
import openstack

WIRE, CONTROL, LISTEN, JOIN = "demo-wire", "10.77.0.1", "10.77.0.1:8790", "8791"
HOSTS = {f"demo-h{number}": f"10.77.0.{10 + number}" for number in (1, 2, 3)}
WAIT_SECONDS = 240.0
IMAGE, FLAVOR = "cirros-pileus", "m1.nano"


@dataclass
class Cluster:
    """The processes of the cloud, by name, and where they keep their state."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)  # of the control plane's processes
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, namespace: str = "", **environment: str) -> None:
        """Start a process of the cloud; what it prints is in NAME.log."""
        prefix = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
        command = [*prefix, sys.executable, "-m", "pileus.cli", "--state-dir", str(self.folder / (namespace or "control"))]
        with open(self.folder / f"{name}.log", "wb") as out:
            self.processes[name] = subprocess.Popen(
                [*command, *arguments], env=self._environment(namespace, environment), stdout=out, stderr=out,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def run(self, *arguments: str, namespace: str = "", **environment: str) -> str:
        """Run a command of the cloud; returns what it prints.  :raises click.ClickException: when it fails."""
        prefix = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
        command = [*prefix, sys.executable, "-m", "pileus.cli", "--state-dir", str(self.folder / (namespace or "control"))]
        done = subprocess.run(
            [*command, *arguments], env=self._environment(namespace, environment), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise click.ClickException(done.stderr.strip())
        return done.stdout

    def _environment(self, namespace: str, more: dict[str, str]) -> dict[str, str]:
        return {**os.environ, **({} if namespace else self.settings), **more}

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


@contextlib.contextmanager
def _step(text: str) -> Iterator[None]:
    started = time.monotonic()
    click.echo(f"{text} ... ", nl=False)
    yield
    click.echo(f"{time.monotonic() - started:.1f} s")


def _until(what: str, look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.2)
    raise click.ClickException(f"{what}: nothing after {WAIT_SECONDS:.0f} s.")


@contextlib.contextmanager
def _engine(kind: str, variable: str) -> Iterator[str]:
    """Run a database server or a broker; yields its URL."""
    tool = Path(__file__).parents[2] / "tools" / "dbs"
    process = subprocess.Popen(
        [str(tool), kind, "sh", "-c", f"echo ${variable}; exec cat"], env={**os.environ, "PILEUS_TEST_ADDRESS": CONTROL},
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


def _lay_wire() -> None:
    """Join the hosts' namespaces, and this one, by a bridge."""
    _ip("netns", "add", WIRE)
    _ip("-n", WIRE, "link", "add", "switch", "type", "bridge")
    _ip("-n", WIRE, "link", "set", "switch", "up")
    for name, address in {"": CONTROL, **HOSTS}.items():
        place = ("-n", name) if name else ()
        if name:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        near = f"demo{address.rpartition('.')[2]}"
        _ip(*place, "link", "add", near, "type", "veth", "peer", "name", near, "netns", WIRE)
        _ip("-n", WIRE, "link", "set", near, "master", "switch", "up")
        _ip(*place, "address", "add", f"{address}/24", "dev", near)
        _ip(*place, "link", "set", near, "up")


def _take_up_wire() -> None:
    for name in (*HOSTS, WIRE):
        _ip("netns", "delete", name, check=False)
    _ip("link", "delete", "demo1", check=False)


def _name(host: str) -> str:
    """Return what a host's cloud objects on this machine are called: all hosts share its namespaces' names."""
    return host.replace("-", "")


def _join(cluster: Cluster, host: str, address: str) -> None:
    line = cluster.run("node", "token").split()
    alone = {"PILEUS_HOST_NAME": host, "PILEUS_NAME": _name(host)}
    cluster.run(*line[1:], "--address", address, namespace=host, **alone)
    cluster.start(host, "agent", namespace=host, **alone)


def _connect(cluster: Cluster) -> Any:
    import json  # noqa: PLC0415

    password = json.loads((cluster.folder / "control" / "passwords.json").read_text())["demo"]
    auth = {
        "auth_url": f"http://{LISTEN}/identity/v3", "username": "demo", "password": password, "project_name": "demo",
        "user_domain_id": "default", "project_domain_id": "default",
    }  # fmt: skip
    return openstack.connect(load_yaml_config=False, load_envvars=False, auth=auth, region_name="RegionOne")


def _boot(cloud: Any, key: Path) -> list[Any]:
    """Boot a guest for each host; the scheduler spreads them."""
    image, flavor = cloud.image.find_image(IMAGE), cloud.compute.find_flavor(FLAVOR)
    network, group = cloud.network.find_network("private"), next(iter(cloud.network.security_groups(name="default")))
    for rule in ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, {"protocol": "icmp"}):
        cloud.network.create_security_group_rule(security_group_id=group.id, direction="ingress", ethertype="IPv4", **rule)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    cloud.compute.create_keypair(name="demo", public_key=Path(f"{key}.pub").read_text().strip())
    asked = [
        cloud.compute.create_server(
            name=f"guest{number}", image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}], key_name="demo"
        )
        for number in range(1, len(HOSTS) + 1)
    ]

    def active() -> list[Any] | None:
        found = [cloud.compute.get_server(server) for server in asked]
        for server in found:
            if server.status == "ERROR":
                raise click.ClickException(f"{server.name} failed: {(server.fault or {}).get('message')}")
        return found if all(server.status == "ACTIVE" for server in found) else None

    return list(_until("the guests to become active", active))


def _address(server: Any) -> str:
    return str(next(iter(server.addresses.values()))[0]["addr"])


def _home(cluster: Cluster, server_id: str) -> str:
    """Return the host that a guest runs on."""
    places = (host for host in HOSTS if (cluster.folder / host / "hypervisor" / "guests" / server_id).exists())
    return next(places, "")


def _router_host() -> str:
    """Return the host whose machine has the router."""
    names = os.listdir("/run/netns")
    return next((host for host in HOSTS if any(name.startswith(f"{_name(host)}-rtr-") for name in names)), "")


def _ssh(key: Path, address: str, command: str) -> str:
    """Run a command in a guest from the host that routes; "" when it is not reached."""
    host = _router_host()
    if not host:
        return ""
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=3"]
    flags = [part for option in options for part in ("-o", option)]
    command_line = ["nsenter", f"--net=/run/netns/{host}", "ssh", "-q", *flags, "-i", str(key), f"cirros@{address}", command]
    try:
        return subprocess.run(command_line, capture_output=True, text=True, timeout=30, check=False).stdout
    except subprocess.TimeoutExpired:
        return ""


def _kill_host(cluster: Cluster, host: str) -> None:
    """End a host at once: its agent, its guests, its wire."""
    cluster.stop(host, signal.SIGKILL)
    _ip("-n", WIRE, "link", "delete", f"demo{HOSTS[host].rpartition('.')[2]}", check=False)
    state = str(cluster.folder / host)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if state.encode() in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
    for name in sorted(os.listdir("/run/netns")):
        if name == _name(host) or name.startswith(f"{_name(host)}-"):
            _ip("netns", "delete", name, check=False)


def _purge(cluster: Cluster) -> None:
    """End everything that the demo made, and remove it."""
    for name in reversed(list(cluster.processes)):
        cluster.stop(name)
    for host in HOSTS:
        if (cluster.folder / host / "process.json").exists():
            with contextlib.suppress(click.ClickException):
                cluster.run("down", "--purge", "--yes", namespace=host, PILEUS_HOST_NAME=host, PILEUS_NAME=_name(host))
    _take_up_wire()
    subprocess.run(["rm", "-rf", str(cluster.folder)], check=True)


def _show(cluster: Cluster) -> None:
    with _step("Starting the control plane: an API process and a worker"):
        cluster.start("worker", "worker")
        cluster.start("api", "api", "--listen", LISTEN)
        _until("the APIs", lambda: cluster.lives() and "serving" in (cluster.folder / "api.log").read_text())
    with _step("Joining three hosts"):
        for host, address in HOSTS.items():
            _join(cluster, host, address)
        _until("the hosts", lambda: cluster.run("node", "list").count(" up ") == len(HOSTS))
    click.echo(cluster.run("node", "list"))
    cloud, key = _connect(cluster), cluster.folder / "key"
    with _step("Waiting for the guest image"):
        _until("the guest image", lambda: (found := cloud.image.find_image(IMAGE)) and found.status == "active")
    with _step("Booting three guests"):
        servers = _boot(cloud, key)
    homes = {server.name: _home(cluster, server.id) for server in servers}
    click.echo("".join(f"  {name} is on {host}\n" for name, host in homes.items()), nl=False)
    gone = _until("the router", _router_host)
    talker = next(server for server in servers if homes[server.name] != gone)
    public = cloud.network.find_network("public")
    port = next(iter(cloud.network.ports(device_id=talker.id)))
    floating = str(cloud.network.create_ip(floating_network_id=public.id, port_id=port.id).floating_ip_address)
    with _step(f"Logging in to {talker.name} at {floating}, through the router on {gone}"):
        _until("SSH", lambda: talker.name in _ssh(key, floating, "hostname"))
    for server in servers:
        command = f"ping -c 3 {_address(server)}"
        with _step(f"Pinging {server.name} from {talker.name}, over VXLAN") if server is not talker else contextlib.nullcontext():
            _until("an answer", lambda command=command: " 0% packet loss" in _ssh(key, floating, command))  # type: ignore[misc]
    with _step(f"Killing {gone}, which routes; logging in to {talker.name} again by way of another host"):
        _kill_host(cluster, gone)
        _until("another router", lambda: _router_host() not in ("", gone))
        _until("SSH", lambda: talker.name in _ssh(key, floating, "hostname"))
    click.echo(cluster.run("node", "list"))


@click.command()
def demo() -> None:
    """Show a cloud of three hosts."""
    if os.geteuid() != 0:
        raise click.ClickException("Namespaces and guests need root.")
    _take_up_wire()
    _lay_wire()
    with contextlib.ExitStack() as engines:
        cluster = Cluster(Path(mkdtemp(prefix="pileus-cluster-")))
        engines.callback(_purge, cluster)
        with _step("Starting PostgreSQL and RabbitMQ"):
            cluster.settings = {
                "PILEUS_DATABASE_URL": engines.enter_context(_engine("postgresql", "PILEUS_TEST_DATABASE")),
                "PILEUS_BUS_URL": engines.enter_context(_engine("rabbitmq", "PILEUS_TEST_BUS")), "PILEUS_JOIN_PORT": JOIN,
                "PILEUS_LISTEN": LISTEN, "PILEUS_HOST_ADDRESS": CONTROL, "PILEUS_NAME": "democlust",
            }  # fmt: skip
        _show(cluster)
        click.echo("Removing everything")


if __name__ == "__main__":
    demo(prog_name="make demo-cluster")
