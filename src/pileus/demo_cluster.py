"""`make demo-cluster`: a cloud of three hosts on this machine, from joining to the end of one of them.

Boots a guest on each host, has them talk over VXLAN, moves one that runs and one that is off, kills the host that routes, shows
when the guests are reached again by way of another, and makes those of the dead host anew.  Everything is removed at the end,
also after a failure.  Needs root, and a checkout; `demo_hosts` says what it makes.
"""

import contextlib
import itertools
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import openstack

from pileus.demo_hosts import Cluster, Site, running, until

SITE = Site("demo", "10.77.0", 8790, 3)
IMAGE, FLAVOR = "cirros-pileus", "m1.nano"


@contextlib.contextmanager
def _step(text: str) -> Iterator[None]:
    started = time.monotonic()
    click.echo(f"{text} ... ", nl=False)
    yield
    click.echo(f"{time.monotonic() - started:.1f} s")


def _connect(cluster: Cluster, name: str = "demo") -> Any:
    import json  # noqa: PLC0415

    password = json.loads((cluster.folder / "control" / "passwords.json").read_text())[name]
    auth = {
        "auth_url": f"http://{SITE.listen}/identity/v3", "username": name, "password": password, "project_name": name,
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
        for number in range(1, SITE.count + 1)
    ]

    def active() -> list[Any] | None:
        found = [cloud.compute.get_server(server) for server in asked]
        for server in found:
            if server.status == "ERROR":
                raise click.ClickException(f"{server.name} failed: {(server.fault or {}).get('message')}")
        return found if all(server.status == "ACTIVE" for server in found) else None

    return list(until("the guests to become active", active))


def _address(server: Any) -> str:
    return str(next(iter(server.addresses.values()))[0]["addr"])


def _home(cluster: Cluster, server_id: str) -> str:
    """Return the host that a guest runs on."""
    places = (host for host in SITE.hosts if (cluster.folder / host / "hypervisor" / "guests" / server_id).exists())
    return next(places, "")


def _ssh(cluster: Cluster, key: Path, address: str, command: str) -> str:
    """Run a command in a guest from the host that routes; "" when it is not reached."""
    host = cluster.host_of_router()
    if not host:
        return ""
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=3"]
    flags = [part for option in options for part in ("-o", option)]
    command_line = ["nsenter", f"--net=/run/netns/{host}", "ssh", "-q", *flags, "-i", str(key), f"cirros@{address}", command]
    try:
        return subprocess.run(command_line, capture_output=True, text=True, timeout=30, check=False).stdout
    except subprocess.TimeoutExpired:
        return ""


def _ping(cluster: Cluster, key: Path, address: str, server: Any) -> None:
    """Have the guest at a public address get an answer of another."""
    until("an answer", lambda: " 0% packet loss" in _ssh(cluster, key, address, f"ping -c 3 {_address(server)}"))


def _becomes(admin: Any, server: Any, status: str) -> Any:
    """Return the server once it has a status."""

    def look() -> Any:
        found = admin.compute.get_server(server.id)
        if found.status == "ERROR" != status:
            raise click.ClickException(f"{server.name} failed: {(found.fault or {}).get('message')}")
        return found if found.status == status else None

    return until(f"{server.name} to be {status}", look)


def _move(admin: Any, server: Any) -> None:
    """Have a server go to another host, and stay there."""
    admin.compute.migrate_server(server.id)
    _becomes(admin, server, "VERIFY_RESIZE")
    admin.compute.confirm_server_resize(server.id)
    _becomes(admin, server, "ACTIVE")


def _move_running(cluster: Cluster, admin: Any, server: Any, host: str, address: str) -> str:
    """Have a server go to a host while it runs and is pinged; says what became of the packets."""
    prefix = ["nsenter", f"--net=/run/netns/{cluster.host_of_router()}"]
    with subprocess.Popen([*prefix, "ping", "-D", "-i", "0.05", address], stdout=subprocess.PIPE, text=True) as pinging:
        time.sleep(1.0)
        admin.compute.live_migrate_server(server, host=host, block_migration="auto")
        _becomes(admin, server, "ACTIVE")
        if _home(cluster, server.id) != host:
            raise click.ClickException(f"{server.name} did not go to {host}.")
        time.sleep(2.0)
        pinging.send_signal(signal.SIGINT)
        said = pinging.communicate(timeout=30)[0]
    times = [float(found) for found in re.findall(r"^\[(\d+\.\d+)\].*icmp_seq", said, re.MULTILINE)]
    pause_ms = 1000 * max((after - before for before, after in itertools.pairwise(times)), default=0.0)
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", said)
    sent, received = (int(found) for found in counts.groups()) if counts else (0, 0)
    return f"of {sent} pings {sent - received} had no answer; the longest time between two answers was {pause_ms:.0f} ms"


def _evacuate(admin: Any, host: str, servers: list[Any]) -> None:
    """Have the servers of a host that is gone made anew."""
    service = next(iter(admin.compute.services(host=host, binary="nova-compute")))
    admin.compute.put(f"/os-services/{service.id}", json={"forced_down": True}, microversion="2.53").raise_for_status()
    for server in servers:
        url = f"/servers/{server.id}/action"
        admin.compute.post(url, json={"evacuate": {}}, microversion="2.94").raise_for_status()
    for server in servers:
        _becomes(admin, server, "ACTIVE")


def _show(cluster: Cluster) -> None:
    with _step("Starting the control plane: an API process and a worker"):
        cluster.start_control()
    with _step("Joining three hosts"):
        cluster.join_hosts()
    click.echo(cluster.run("node", "list"))
    cloud, admin, key = _connect(cluster), _connect(cluster, "admin"), cluster.folder / "key"
    with _step("Waiting for the guest image, and for the hosts to say what they have"):
        until("the hosts", lambda: len(list(admin.compute.hypervisors())) == SITE.count)
        until("the guest image", lambda: (found := cloud.image.find_image(IMAGE)) and found.status == "active")
    with _step("Booting three guests"):
        servers = _boot(cloud, key)
    homes = {server.name: _home(cluster, server.id) for server in servers}
    click.echo("".join(f"  {name} is on {host}\n" for name, host in homes.items()), nl=False)
    gone = until("the router", cluster.host_of_router)
    talker = next(server for server in servers if homes[server.name] != gone)
    public = cloud.network.find_network("public")
    port = next(iter(cloud.network.ports(device_id=talker.id)))
    floating = str(cloud.network.create_ip(floating_network_id=public.id, port_id=port.id).floating_ip_address)
    with _step(f"Logging in to {talker.name} at {floating}, through the router on {gone}"):
        until("SSH", lambda: talker.name in _ssh(cluster, key, floating, "hostname"))
    for server in servers:
        with _step(f"Pinging {server.name} from {talker.name}, over VXLAN") if server is not talker else contextlib.nullcontext():
            _ping(cluster, key, floating, server)
    target = next(host for host in SITE.hosts if host not in (gone, homes[talker.name]))
    with _step(f"Moving {talker.name}, which runs and is pinged, from {homes[talker.name]} to {target}"):
        said = _move_running(cluster, admin, talker, target, floating)
    click.echo(f"  it is on {_home(cluster, talker.id)}; {said}")
    mover = next(server for server in servers if server is not talker and homes[server.name] != gone)
    with _step(f"Moving {mover.name}, off, from {homes[mover.name]} to another host"):
        _move(admin, mover)
    homes[mover.name] = _home(cluster, mover.id)
    with _step(f"Pinging {mover.name} on {homes[mover.name]} from {talker.name}"):
        _ping(cluster, key, floating, mover)
    with _step(f"Killing {gone}, which routes; logging in to {talker.name} again by way of another host"):
        cluster.kill_host(gone)
        until("another router", lambda: cluster.host_of_router() not in ("", gone))
        until("SSH", lambda: talker.name in _ssh(cluster, key, floating, "hostname"))
    lost = [server for server in servers if homes[server.name] == gone]
    with _step(f"Making {', '.join(server.name for server in lost)} of {gone} anew on other hosts"):
        _evacuate(admin, gone, lost)
    for server in lost:
        with _step(f"Pinging {server.name} from {talker.name}"):
            _ping(cluster, key, floating, server)
    click.echo(cluster.run("node", "list"))


@click.command()
def demo() -> None:
    """Show a cloud of three hosts."""
    if os.geteuid() != 0:
        raise click.ClickException("Namespaces and guests need root.")
    with contextlib.ExitStack() as stack:
        with _step("Starting PostgreSQL and RabbitMQ"):
            cluster = stack.enter_context(running(SITE))
        _show(cluster)
        click.echo("Removing everything")


if __name__ == "__main__":
    demo(prog_name="make demo-cluster")
