"""Three hosts as namespaces on this machine, with real guests, networks and volumes; what is seen of them and done to them.

The wire is that of `pileus.demo_hosts`.  Processes are seen by where they work, so also one that nobody knows.
"""

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pileus import guest
from pileus.demo_hosts import Site, lay_wire, take_up_wire
from tests.cluster.known import Scale
from tests.cluster.many import Many, cloud_of_many, until
from tests.cluster.stage import Stage
from tests.cluster.truth import Guest

SITE = Site("probe", "10.79.0", 8490, 3)
SCALE = Scale(
    servers_max=4, volumes_max=4, memory_mib=(128, 160), pauses_seconds=(0.0, 0.3, 1.0, 3.0), rest_seconds=900.0,
    outside="10.79.8.0/24",
)  # fmt: skip
QEMU, STORAGE = "qemu-system", "qemu-storage"
GONE = " (deleted)"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
UNTOLD = re.compile(r"\.log$|/tls|process\.json$|pileus\.toml$|/run/|bases/|/lock$")  # files that are not of something made
QUIET_SECONDS = 8.0
CGROUPS = Path("/sys/fs/cgroup")


class Namespaces:
    """The hosts: what there is on them, and what can be done to them."""

    def __init__(self, many: Many, site: Site) -> None:
        self._many, self._site = many, site
        self._before: Counter[str] = Counter()

    # ---- what is done to them

    def processes(self) -> list[tuple[str, int]]:
        """Return the servers that have a process, and its pid."""
        return [(Path(place.removesuffix(GONE)).name, pid) for pid, name, _, place in self._running() if name.startswith(QEMU)]

    def storage(self) -> list[int]:
        """Return the pids of what serves volumes."""
        return sorted(pid for pid, name, _, _ in self._running() if name.startswith(STORAGE))

    def wire(self, host: str, up: bool) -> None:
        """Cut a host off from everything, or join it again."""
        device = self._site.device(self._site.hosts[host])
        subprocess.run(["ip", "-n", self._site.wire, "link", "set", device, "up" if up else "down"], check=True)

    # ---- what is seen of them

    def guests(self) -> dict[str, dict[str, Guest]]:
        """As in the protocol; a guest is on as long as there is a process of it."""
        running: dict[tuple[str, str], int] = Counter()
        for _, name, host, place in self._running():
            if name.startswith(QEMU):
                running[host, Path(place.removesuffix(GONE)).name] += 1
        found: dict[str, dict[str, Guest]] = {host: {} for host in self._many.hosts}
        for host, here in found.items():
            folder = self._many.folder / host / "hypervisor" / "guests"
            here.update({each.name: Guest("off") for each in folder.iterdir()} if folder.exists() else {})
        for (host, id), count in running.items():
            found[host][id] = Guest("on" if count == 1 else f"on {count} times")
        return found

    def odd_ports(self, bound: dict[str, dict[str, str]]) -> Iterator[str]:
        """As in the protocol: a port's tap is there when its server runs."""
        guests = self.guests()
        for host, ports in bound.items():
            links = _lines("ip", "-n", self._site.cloud_of(host), "-o", "link")
            taps = {each.split(": ")[1].partition("@")[0] for each in links}
            taps = {each for each in taps if each.startswith("tap")}
            known = {"tap" + id[:11]: server_id for id, server_id in ports.items()}
            for tap in taps - set(known):
                yield f"{host} has {tap} too many"
            for tap, server_id in known.items():
                if tap not in taps and server_id in guests[host] and guests[host][server_id].power == "on":
                    yield f"{host} has no {tap}, and {server_id} runs there"

    def places(self) -> list[str]:
        """As in the protocol."""
        found = []
        for name in _namespaces():
            for host in self._many.hosts:
                kind, _, id = name.removeprefix(self._site.cloud_of(host) + "-").partition("-")
                if name.startswith(self._site.cloud_of(host) + "-") and kind == "rtr":
                    found.append(f"{kind} {id}")
        return found

    def volumes(self) -> dict[str, str]:
        """As in the protocol: those that have files."""
        found = {}
        for host in self._many.hosts:
            for file in (self._many.folder / host / "volumes" / "file").rglob("*"):
                if "run" not in file.parts and (id := UUID.search(file.name)):
                    found[id.group()] = host
        return found

    def leftovers(self) -> Iterator[str]:
        """As in the protocol: what is there and was not in the beginning."""
        yield from sorted(self._look() - self._before)

    def remember(self) -> None:
        """How it is now, once hosts have done what they were asked for, is how it is to be in the end."""
        until(lambda: not self.places(), "the end of the first networks")
        since = time.monotonic()
        while time.monotonic() < since + QUIET_SECONDS:
            if (now := self._look()) != self._before:
                self._before, since = now, time.monotonic()
            time.sleep(1.0)

    def _look(self) -> Counter[str]:
        found: Counter[str] = Counter()
        known = _namespaces()
        for host in self._many.hosts:
            cloud = self._site.cloud_of(host)
            own = [name for name in known if name in (host, cloud) or name.startswith(f"{cloud}-")]
            found.update(f"namespace {name}" for name in own)
            for name in own:
                found.update(f"{name}: {each}" for each in _links(name))
                found.update(f"{name}: nft {each}" for each in _rules(name))
                found.update(f"{name}: route {each}" for each in _lines("ip", "-n", name, "route"))
            found.update(f"{cloud}: cgroup {each}" for each in _cgroups(cloud))
            folder = self._many.folder / host
            files = (str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file() or UUID.search(each.name))
            found.update(f"{host}: file {each}" for each in files if not UNTOLD.search(f"/{each}"))
        found.update(f"{host}: process {name} at {place}" for _, name, host, place in self._running())
        return found

    def _running(self) -> Iterator[tuple[int, str, str, str]]:
        """Go over what works in a host's folder: its pid, name, host, and the folder."""
        hosts = {str(self._many.folder / host): host for host in self._many.hosts}
        for each in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                place = os.readlink(each / "cwd")
                host = next((host for start, host in hosts.items() if place.startswith(f"{start}/")), "")
                if host:
                    yield int(each.name), (each / "comm").read_text().strip(), host, place


def _lines(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _links(namespace: str) -> list[str]:
    done = subprocess.run(["ip", "-n", namespace, "-j", "link"], capture_output=True, text=True, check=False, timeout=60)
    return [f"link {each['ifname']}" for each in json.loads(done.stdout or "[]")]


def _rules(namespace: str) -> list[str]:
    return _lines("nsenter", f"--net=/run/netns/{namespace}", "nft", "-s", "list", "ruleset")


def _namespaces() -> list[str]:
    return sorted(os.listdir("/run/netns"))


def _cgroups(cloud: str) -> list[str]:
    return [str(each.relative_to(CGROUPS)) for each in CGROUPS.glob(f"*/{cloud}/*") if each.is_dir()]


def _join(site: Site, many: Many, host: str) -> None:
    """Have a host join, and note how its agent is started in its namespace."""
    own = {
        "host_name": host, "host_address": site.hosts[host], "name": site.cloud_of(host), "public_cidr": SCALE.outside,
        "cpu_allocation_ratio": 16.0,
    }  # fmt: skip
    lines = {**many.knock(host), **own}
    (many.folder / host / "pileus.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items()))
    many.commands[host] = [*_inside(site, many, host), "agent"], {}


def _inside(site: Site, many: Many, host: str) -> list[str]:
    command = [sys.executable, "-m", "pileus.cli", "--state-dir", str(many.folder / host)]
    return ["nsenter", f"--net=/run/netns/{host}", *command]


def _purge(site: Site, many: Many) -> None:
    """Remove what the hosts made, whatever there is."""
    for host in many.hosts:
        process = many.processes.pop(host, None)
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(60)
        if (many.folder / host / "process.json").exists():
            command = [*_inside(site, many, host), "down", "--purge", "--yes"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
            if done.returncode:
                print(f"{host} was not purged: {done.stdout}{done.stderr}")


@contextlib.contextmanager
def _alone(site: Site) -> Iterator[None]:
    """Hold the names of a site on this machine.  :raises SystemExit: when another run has them."""
    with open(f"/run/pileus-{site.name}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("Another run is under way on this machine.") from None
        yield


@contextlib.contextmanager
def real(folder: Path, site: Site = SITE) -> Iterator[Stage]:
    """Run a cloud whose hosts are namespaces; all of them is gone afterwards."""
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory(prefix="pileus-guest-") as work:
        stack.enter_context(_alone(site))
        take_up_wire(site)
        image = Path(work) / "guest.qcow2"
        guest.build(image, Path(work), lambda _: None)
        stack.callback(take_up_wire, site)
        lay_wire(site)
        many = stack.enter_context(
            cloud_of_many(
                folder, hosts=tuple(site.hosts), address=site.control, join=lambda many, host: _join(site, many, host),
                IMAGE_STORES=f"file=file:{folder}/images", CPU_ALLOCATION_RATIO="16", BOOT_TIMEOUT_SECONDS="300",
                NAME=site.cloud_of(f"{site.name}-c"),
            )
        )  # fmt: skip
        stack.callback(_purge, site, many)
        hosts = Namespaces(many, site)
        yield Stage(many, hosts, SCALE, (image.read_bytes(), "qcow2"), hosts)
