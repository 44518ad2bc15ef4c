"""`make demo`: one job from end to end, as a user would do it with the official SDK.

Starts the cloud where none runs, boots a server with a key and a floating IP, logs in to it by SSH, and prints when each
thing happened.  May be run again: the server of the last run makes way.  The cloud keeps running.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import openstack
import yaml

from pileus.cli.group import settings_of
from pileus.kernel.settings import Settings

SERVER, KEY = "demo-server", "demo-key"
IMAGE, FLAVOR, NETWORK, PUBLIC = "cirros-pileus", "m1.nano", "private", "public"
COMMAND = "uname -a; ip addr; cat /proc/uptime"
WAIT_SECONDS = 180.0
POLL_SECONDS = 0.05


@dataclass
class Timeline:
    """What happened when, in seconds since the request."""

    began: float = 0.0
    marks: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str, at: float | None = None) -> None:
        """Note that something has happened; the first time counts."""
        self.marks.setdefault(name, (time.time() if at is None else at) - self.began)

    def show(self) -> None:
        """Print all marks in order."""
        click.secho("\nTimeline, seconds since the request", bold=True)
        for name, seconds in sorted(self.marks.items(), key=lambda pair: pair[1]):
            click.echo(f"  {seconds:7.2f}  {name}")


def _until(what: str, look: Callable[[], Any]) -> Any:
    """Look until there is something to see.

    :raises click.ClickException: when there is nothing in WAIT_SECONDS.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(POLL_SECONDS)
    raise click.ClickException(f"{what}: nothing after {WAIT_SECONDS:.0f} s. `pileus status` and the log say more.")


@contextlib.contextmanager
def _step(text: str) -> Iterator[None]:
    started = time.monotonic()
    click.echo(f"{text} ... ", nl=False)
    yield
    click.echo(f"{time.monotonic() - started:.1f} s")


def _connect(state_dir: str | None) -> Any:
    arguments = ["--state-dir", state_dir] if state_dir else []
    said = subprocess.run(
        [sys.executable, "-m", "pileus.cli", *arguments, "clouds-yaml"], check=True, capture_output=True, text=True
    ).stdout
    clouds = yaml.safe_load(said)["clouds"]
    entry = next(entry for name, entry in clouds.items() if name.endswith("-demo"))
    return openstack.connect(auth=entry["auth"], region_name=entry["region_name"], app_name="pileus-demo")


def _key(cloud: Any, directory: Path) -> Path:
    """Have a key pair whose private half lies in a file."""
    file = directory / "demo-key"
    found = cloud.compute.find_keypair(KEY)
    if found is None or not file.exists():
        file.unlink(missing_ok=True)
        Path(f"{file}.pub").unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", KEY, "-f", str(file)], check=True)
        if found is not None:
            cloud.compute.delete_keypair(KEY)
        cloud.compute.create_keypair(name=KEY, public_key=Path(f"{file}.pub").read_text().strip())
    return file


def _open_ssh(cloud: Any) -> None:
    """Let SSH and ping in by the project's default security group."""
    group = next(iter(cloud.network.security_groups(name="default", project_id=cloud.current_project_id)))
    for rule in ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, {"protocol": "icmp"}):
        with contextlib.suppress(openstack.exceptions.ConflictException):
            cloud.network.create_security_group_rule(security_group_id=group.id, direction="ingress", ethertype="IPv4", **rule)


def _make_way(cloud: Any) -> None:
    """Remove the server of the last run and its address."""
    for server in cloud.compute.servers(name=f"^{SERVER}$"):
        for port in cloud.network.ports(device_id=server.id):
            for address in cloud.network.ips(port_id=port.id):
                cloud.network.delete_ip(address)
        cloud.compute.delete_server(server)
        cloud.compute.wait_for_delete(server, interval=0.2, wait=60)


def _boot(cloud: Any, timeline: Timeline) -> tuple[Any, str]:
    """Ask for the server and its floating IP; returns it, active, and the address."""
    image, flavor = cloud.image.find_image(IMAGE), cloud.compute.find_flavor(FLAVOR)
    network, public = cloud.network.find_network(NETWORK), cloud.network.find_network(PUBLIC)
    timeline.began = time.time()
    server = cloud.compute.create_server(
        name=SERVER, image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}], key_name=KEY
    )
    timeline.mark("API accepted")
    port = _until("the server's port", lambda: next(iter(cloud.network.ports(device_id=server.id)), None))
    address = cloud.network.create_ip(floating_network_id=public.id, port_id=port.id)
    timeline.mark("floating IP asked for")

    def active() -> Any:
        found = cloud.compute.get_server(server)
        if found.status == "ERROR":
            raise click.ClickException(f"The server failed: {(found.fault or {}).get('message')}")
        return found if found.status == "ACTIVE" else None

    server = _until("the server to become active", active)
    timeline.mark("ACTIVE")
    return server, str(address.floating_ip_address)


def _cloud_marks(log: Path, server: Any, timeline: Timeline) -> None:
    """Add what the cloud's own log says of the server's way."""
    named = {"place -> boot": "scheduled", "its ports are ready": "wired", "boot -> done": "booted"}
    for line in log.read_text(errors="replace").splitlines():
        if server.id not in line:
            continue
        said = json.loads(line)
        for words, name in named.items():
            if words in said["event"]:
                timeline.mark(name, datetime.fromisoformat(said["timestamp"]).timestamp())


def _guest_marks(cloud: Any, server: Any, timeline: Timeline) -> None:
    said = str((cloud.compute.get_server_console_output(server, length=60) or {}).get("output", ""))
    for word, name in (("GUEST: dhcp", "DHCP answered"), ("GUEST: metadata", "metadata read"), ("GUEST: sshd", "SSH server up")):
        if word in said:
            timeline.mark(name)


def _ssh(address: str, key: Path, command: str, seconds: int = 3) -> subprocess.CompletedProcess[str]:
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", f"ConnectTimeout={seconds}"]
    flags = [part for option in options for part in ("-o", option)]
    return subprocess.run(
        ["ssh", "-q", *flags, "-i", str(key), f"cirros@{address}", command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _log_in(cloud: Any, server: Any, address: str, key: Path, timeline: Timeline) -> str:
    def answer() -> str | None:
        _guest_marks(cloud, server, timeline)
        done = _ssh(address, key, COMMAND)
        return done.stdout if done.returncode == 0 else None

    said = str(_until(f"SSH at {address}", answer))
    timeline.mark("SSH answered")
    return said


@click.command()
@click.option("--state-dir", type=click.Path(), help="Where the cloud keeps everything that lasts.")
@click.pass_context
def demo(ctx: click.Context, state_dir: str | None) -> None:
    """Boot a server and log in to it."""
    ctx.obj = {"config": None, "state_dir": state_dir}
    settings = settings_of(ctx)
    with _step("Starting the cloud"):
        subprocess.run([sys.executable, "-m", "pileus.cli", "--state-dir", settings.state_dir, "up", "--detach"], check=True)
    cloud = _connect(settings.state_dir)
    with _step("Waiting for the guest image (built at the first start)"):
        _until("the guest image", lambda: (found := cloud.image.find_image(IMAGE)) and found.status == "active")
    _make_way(cloud)
    key = _key(cloud, Path(settings.state_dir))
    _open_ssh(cloud)
    timeline = Timeline()
    with _step("Booting a server and logging in"):
        server, address = _boot(cloud, timeline)
        said = _log_in(cloud, server, address, key, timeline)
    _cloud_marks(Path(settings.state_dir) / "pileus.log", server, timeline)
    click.secho(f"\ncirros@{address}$ {COMMAND}", bold=True)
    click.echo(said)
    timeline.show()
    click.secho("\nThe cloud keeps running. Next:", bold=True)
    click.echo(f"  ssh -i {key} cirros@{address}              (password: gocubsgo)")
    pileus = ".venv/bin/pileus" + ("" if settings.state_dir == Settings.state_dir else f" --state-dir {settings.state_dir}")
    click.echo(f'  eval "$({pileus} openrc demo)"      then .venv/bin/openstack server list, or any other client')
    click.echo(f"  {pileus} status; {pileus} doctor      what runs, and what this machine can do")
    click.echo(f"  {pileus} down      stop the cloud, guests run on; down --purge leaves no trace")


if __name__ == "__main__":
    demo(prog_name="make demo")
