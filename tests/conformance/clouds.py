"""The fresh clouds that tempest runs against: one process on one host, or a control plane and two hosts; gone afterwards."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import openstack

from pileus.demo_hosts import Cluster, Site, running

SLOT = int(os.environ.get("SLOT", "0"))  # runs beside each other need a slot each
NAME, PUBLIC = f"pileustest{SLOT}", f"172.24.{8 + SLOT}.0/24"
FILES = f"127.0.0.1:{8300 + SLOT}"  # what images are imported from
BACKENDS = "a=iscsi,b=file"  # the template makes types of storage_protocol iSCSI
BACKENDS_OF_SEVERAL = "a=file,b=file"  # which guests of other hosts reach
ROUTES_SECONDS = 0.5
# As the template's [identity] says.
COMPLIANCE = {
    "PILEUS_LOCKOUT_FAILURE_ATTEMPTS": "2", "PILEUS_LOCKOUT_SECONDS": "5", "PILEUS_PASSWORD_UNIQUE_LAST_COUNT": "2",
}  # fmt: skip


@dataclass(frozen=True)
class Running:
    """A cloud that runs: where its APIs are, and where it keeps its state."""

    listen: str
    state_dir: Path
    hosts: tuple[str, ...] = ()  # by name, when they are several

    @property
    def admin_password(self) -> str:
        """Of the user admin."""
        return str(json.loads((self.state_dir / "passwords.json").read_text())["admin"])

    def connect(self) -> openstack.connection.Connection:
        """Return a connection of the user admin."""
        auth = {
            "auth_url": f"http://{self.listen}/identity/v3", "username": "admin", "password": self.admin_password,
            "project_name": "admin", "user_domain_id": "default", "project_domain_id": "default",
        }  # fmt: skip
        return openstack.connect(load_yaml_config=False, load_envvars=False, auth=auth, region_name="RegionOne")


def started(work: Path, hosts: int) -> contextlib.AbstractContextManager[Running]:
    """Run a cloud of one host or of several; its logs are in `work` afterwards."""
    return _one(work) if hosts == 1 else _several(work, hosts)


def _settings(work: Path, listen: str, backends: str) -> dict[str, str]:
    return COMPLIANCE | {
        "PILEUS_LISTEN": listen,
        "PILEUS_PUBLIC_CIDR": PUBLIC,
        "PILEUS_CPU_ALLOCATION_RATIO": "16",
        "PILEUS_BCRYPT_ROUNDS": "6",  # thousands of log-ins
        "PILEUS_IMAGE_IMPORT_HOSTS": "127.0.0.1",
        "PILEUS_IMAGE_STORES": "file,other=file,remote=swift,web=http",  # in the order of the alphabet, as the suite expects
        "PILEUS_IMAGE_SHOW_LOCATIONS": "true",
        "PILEUS_OBJECT_SYNC_REALMS": str(_realms(work, listen)),
        "PILEUS_OBJECT_SYNC_HOSTS": listen.partition(":")[0],
        "PILEUS_OBJECT_SYNC_SECONDS": "2",
        "PILEUS_OBJECT_POLICIES": "silver",
        "PILEUS_VOLUME_BACKENDS": os.environ.get("PILEUS_VOLUME_BACKENDS", backends),
    }


def _realms(work: Path, listen: str) -> Path:
    """Write the file that lets containers be synced within this cloud, by the names in the template."""
    file = work / "container-sync-realms.conf"
    file.write_text(f"[realm1]\nkey = of the realm\ncluster_name1 = http://{listen}/object-store/v1/\n")
    return file


@contextlib.contextmanager
def _one(work: Path) -> Iterator[Running]:
    listen, state_dir = f"127.0.0.1:{8100 + SLOT}", work / "state"
    environment = {**os.environ, "PILEUS_NAME": NAME, **_settings(work, listen, BACKENDS)}

    def pileus(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "pileus.cli", "--state-dir", str(state_dir), *arguments], check=True, env=environment
        )

    pileus("up", "--detach")
    try:
        yield Running(listen, state_dir)
    finally:
        shutil.copy(state_dir / "pileus.log", work / "pileus.log")
        pileus("down", "--purge", "--yes")


@contextlib.contextmanager
def _several(work: Path, hosts: int) -> Iterator[Running]:
    site = Site(f"pt{SLOT}", f"10.78.{SLOT}", 8400 + 2 * SLOT, hosts)
    settings = _settings(work, site.listen, BACKENDS_OF_SEVERAL)
    of_hosts = {name: settings[f"PILEUS_{name}"] for name in ("PUBLIC_CIDR", "CPU_ALLOCATION_RATIO", "VOLUME_BACKENDS")}
    with running(site, settings, {f"PILEUS_{name}": value for name, value in of_hosts.items()}) as cluster:
        try:
            cluster.start_control()
            cluster.join_hosts()
            cloud = Running(site.listen, cluster.folder / "control", tuple(site.hosts))
            with _routes(cluster, cloud):
                yield cloud
        finally:
            for log in cluster.folder.glob("*.log"):
                shutil.copy(log, work / log.name)


@contextlib.contextmanager
def _routes(cluster: Cluster, cloud: Running) -> Iterator[None]:
    """Play the physical network's part: have what is sent to an external address go to the host whose router has it."""
    for host in cluster.site.hosts:
        _in(host, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    stop = threading.Event()
    thread = threading.Thread(target=_follow, args=(cluster, cloud.connect(), stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        subprocess.run(["ip", "route", "flush", "root", PUBLIC], check=False, capture_output=True)


def _follow(cluster: Cluster, cloud: openstack.connection.Connection, stop: threading.Event) -> None:
    laid: dict[str, str] = {}
    while not stop.wait(ROUTES_SECONDS):
        try:
            wanted = _homes(cluster, cloud)
        except openstack.exceptions.SDKException as error:  # such as a router that went in the midst
            print(f"routes: {error}", flush=True)
            continue
        for address in wanted.keys() | laid.keys():
            if wanted.get(address) != laid.get(address):
                _route(cluster.site, address, wanted.get(address))
        laid = wanted


def _homes(cluster: Cluster, cloud: openstack.connection.Connection) -> dict[str, str]:
    """Return the host of each external address that a router has."""
    of_router: dict[str, str] = {}
    addresses: list[tuple[str, str]] = []
    for router in cloud.network.routers():
        of_router[router.id] = cluster.host_of_router(router.id)
        fixed = (router.external_gateway_info or {}).get("external_fixed_ips", ())
        addresses += [(fixed_ip["ip_address"], router.id) for fixed_ip in fixed]
    addresses += [(ip.floating_ip_address, ip.router_id) for ip in cloud.network.ips() if ip.router_id]
    inside = ip_network(PUBLIC)
    return {
        address: home for address, router_id in addresses if ":" not in address and (home := of_router.get(router_id))
        and inside.overlaps(ip_network(address))
    }  # fmt: skip


def _route(site: Site, address: str, home: str | None) -> None:
    """Send packets for an address to a host, from this namespace and from the other hosts; no host: to none."""
    for place in ("", *site.hosts):
        if home and place != home:
            _in(place, "ip", "route", "replace", address, "via", site.hosts[home])
        else:
            _in(place, "ip", "route", "delete", address)
        if place:  # answers the routers on this host that ask who has an address elsewhere
            _in(place, "sysctl", "-q", "-w", f"net.ipv4.conf.{site.cloud_of(place)}-up.proxy_arp=1")


def _in(namespace: str, *command: str) -> None:
    prefix = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
    subprocess.run([*prefix, *command], check=False, capture_output=True, timeout=30)


def wait_for_image(cloud: openstack.connection.Connection, name: str, seconds: float) -> openstack.image.v2.image.Image:
    """Return the image that the first start makes.  :raises SystemExit: when it is not there after so long."""
    deadline = time.monotonic() + seconds
    while not (image := cloud.image.find_image(name)) or image.status != "active":
        if time.monotonic() > deadline:
            raise SystemExit("the guest image is not there")
        time.sleep(0.2)
    return image
