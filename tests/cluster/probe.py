"""Random operations on a cloud of three hosts whose processes and engines die at random, and a checker that knows the truth.

    python -m tests.cluster.probe --operations 200 --seed 1        or --seconds 600

Two workers, an API, an agent a host, PostgreSQL and RabbitMQ, each a process that may be killed (kill -9) at any moment and is
started again.  Guests and networks are fakes that outlive their agents.  In the end everything must have come to rest in time:
what was acknowledged has been brought about or ended in ERROR with a reason; every guest is on one host, the one that the API
says; no address was given twice; placement and quotas count what is there; and once everything is deleted nothing is left.
"""

import argparse
import contextlib
import json
import random
import signal
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.cluster import kept
from tests.cluster.many import Many, cloud_of_many, until

REST_SECONDS = 420.0  # the deadlines of servers' work and more
ANSWER_SECONDS = 300.0  # in which an API answers again after a kill
AGREEMENT_SECONDS = 180.0  # of hosts with the database
SERVERS_MAX = 8  # the quotas of a project have room for them
KILLS = 0.15  # how many a round
FREEZES = 0.04
BLIND = 0.15  # of the deeds: whatever becomes of them, at whatever server; the others fit
VCPUS = (1, 2)  # of the flavors
WORKERS = {"worker1", "worker2"}
GONE = "gone"
AT_REST = {"ACTIVE", "SHUTOFF", "VERIFY_RESIZE", "ERROR", "PAUSED"}
EVERYWHERE = ("create", "create", "create", "add_port", "remove_port", "unfloat")
FITTING = {
    "ACTIVE": ("stop", "reboot", "resize", "migrate", "pause", "attach", "detach", "float", "delete"),
    "SHUTOFF": ("start", "start", "resize", "delete"),
    "PAUSED": ("unpause", "unpause", "delete"),
    "VERIFY_RESIZE": ("confirm", "revert"),
    "ERROR": ("delete",),
}
DEEDS = (*EVERYWHERE, *dict.fromkeys(deed for deeds in FITTING.values() for deed in deeds))


@dataclass
class Known:
    """A server: how it may be in the end, and how it was before what was asked last."""

    id: str
    ends: set[str]
    before: set[str] = field(default_factory=set)


class Api:
    """The cloud as its users see it.  An answer that did not come is None."""

    def __init__(self, many: Many, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._many, self._client, self._token, self._meanwhile = many, httpx.Client(timeout=60), "", meanwhile
        self.longest_seconds = 0.0  # until the API could be connected to

    def ask(self, method: str, path: str, **body: Any) -> httpx.Response | None:
        """Ask once, as soon as somebody listens; None: nobody knows what became of it."""
        began = time.monotonic()
        try:
            return self._ask(method, path, body)
        finally:
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> httpx.Response | None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                if not self._token:
                    self._token = self._many.token()
                headers = {"X-Auth-Token": self._token}
                answer = self._client.request(method, self._many.url + path, json=body or None, headers=headers)
            except httpx.ConnectError:  # nothing was asked yet
                assert time.monotonic() < deadline, f"nobody listened for {ANSWER_SECONDS:g} s"
                self._meanwhile()
                time.sleep(0.1)
            except (httpx.HTTPError, OSError):
                return None
            else:
                return None if answer.status_code >= 500 else answer

    def get(self, path: str) -> Any:
        """Ask until there is an answer."""

        def found() -> httpx.Response | None:
            self._meanwhile()
            answer = self.ask("GET", path)
            return answer if answer is not None and answer.status_code == 200 else None

        return until(found, path, ANSWER_SECONDS).json()

    def insist(self, method: str, path: str, **body: Any) -> Any:
        """Do something, for sure."""

        def answered() -> httpx.Response | None:
            self._meanwhile()
            return self.ask(method, path, **body)

        answer = until(lambda: (found := answered()) is not None and (found,), f"{method} {path}", ANSWER_SECONDS)[0]
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None


class Probe:
    """One run."""

    def __init__(self, many: Many, seed: int, kills: float = KILLS) -> None:
        self.many, self.random, self.kills = many, random.Random(seed), kills
        self.api = Api(many, self.revive)
        self.servers: dict[str, Known] = {}
        self.unsure: set[str] = set()  # names of servers that there may be
        self.there: dict[str, dict[str, bool]] = {"ports": {}, "floatingips": {}}  # what was acknowledged: made, or deleted
        self.deck: list[str] = []
        self.due = 0.0  # kills
        self.counts: Counter[str] = Counter()
        self.down: dict[str, float] = {}  # what is dead, until when
        self.frozen: dict[str, float] = {}

    # ---- what there is in the beginning

    def prepare(self) -> None:
        """An image, flavors, a network with a way out."""
        api = self.api
        until(lambda: len(self._up()) >= len(self.many.hosts), "the hosts")
        image = api.insist("POST", "/image/v2/images", name="probe", disk_format="raw", container_format="bare")
        done = httpx.put(
            f"{self.many.url}/image/v2/images/{image['id']}/file", content=bytes(4096),
            headers={"X-Auth-Token": api._token, "Content-Type": "application/octet-stream"}, timeout=60,
        )  # fmt: skip
        assert done.status_code == 204, done.text
        self.image = image["id"]
        self.flavors = [
            api.insist("POST", "/compute/v2.1/flavors", flavor={"name": name, "vcpus": vcpus, "ram": 64 * vcpus, "disk": 1})[
                "flavor"
            ]["id"]
            for name, vcpus in zip(("probe1", "probe2"), VCPUS, strict=True)
        ]
        net = "/network/v2.0"
        outer = api.insist("POST", f"{net}/networks", network={"name": "outer", "router:external": True})["network"]["id"]
        api.insist("POST", f"{net}/subnets", subnet={"network_id": outer, "cidr": "203.0.113.0/24", "ip_version": 4})
        self.outer = outer
        self.network = api.insist("POST", f"{net}/networks", network={"name": "inner"})["network"]["id"]
        subnet = api.insist("POST", f"{net}/subnets", subnet={"network_id": self.network, "cidr": "10.0.0.0/24", "ip_version": 4})
        router = {"name": "probe", "external_gateway_info": {"network_id": outer}}
        self.router = api.insist("POST", f"{net}/routers", router=router)["router"]["id"]
        self.subnet = subnet["subnet"]["id"]
        api.insist("PUT", f"{net}/routers/{self.router}/add_router_interface", subnet_id=self.subnet)

    def _up(self) -> list[str]:
        found = self.api.get("/compute/v2.1/os-hypervisors/detail")["hypervisors"]
        return [each["hypervisor_hostname"] for each in found if each["state"] == "up"]

    # ---- rounds

    def round(self) -> None:
        """Start what has been dead long enough, kill something now and then, and ask for something."""
        self.revive()
        self.due += self.kills * self.random.uniform(0.5, 1.5)
        if self.due >= 1:
            self.due -= 1
            self.kill(self._victim())
        elif self.random.random() < FREEZES:
            self.freeze(self.random.choice([name for name in self.many.commands if name != "api1"]))
        deed, server = self._choose()
        self.counts[f"asked: {deed}"] += 1
        getattr(self, deed)(*((server,) if deed not in EVERYWHERE else ()))
        time.sleep(self.random.choice((0.0, 0.05, 0.3, 1.0)))

    def _victim(self) -> str:
        """Whoever was not yet killed as often as the others."""
        if not self.deck:
            self.deck = [*self.many.commands, "workers", "database", "broker"]
            self.random.shuffle(self.deck)
        alive = [name for name in self.deck if name not in self.down and not (name == "workers" and WORKERS & set(self.down))]
        victim = (alive or self.deck)[0]
        self.deck.remove(victim)
        return victim

    def _choose(self) -> tuple[str, Known | None]:
        """Return something to do, and at which server: most of the time something that makes sense."""
        found = self._view()
        idle = sorted(id for id, server in found.items() if _is_at_rest(server) and id in self.servers)
        left = sorted(id for id, known in self.servers.items() if known.ends != {GONE})
        if left and self.random.random() < BLIND:
            return self.random.choice(DEEDS), self.servers[self.random.choice(left)]
        if not idle or self.random.random() < 0.3:
            return self.random.choice(EVERYWHERE), None
        id = self.random.choice(idle)
        return self.random.choice(FITTING[found[id]["status"]]), self.servers[id]

    def _view(self) -> dict[str, Any]:
        """Return all servers; those that nobody knew whether they would be there are known from now on."""
        found = {each["id"]: each for each in self.api.get("/compute/v2.1/servers/detail")["servers"]}
        for id, server in found.items():
            if server["name"] in self.unsure:
                self.unsure.discard(server["name"])
                self.servers[id] = Known(id, {"ACTIVE"})
        return found

    def kill(self, victim: str) -> None:
        """Kill -9."""
        names = sorted(WORKERS) if victim == "workers" else [victim]
        if any(name in self.down for name in names):
            return
        self.counts[f"killed {victim.rstrip('123')}"] += 1
        seconds = self.random.choice((0.0, 0.5, 2.0, 9.0) if victim.startswith("host") else (0.0, 0.5, 2.0))
        for name in names:
            if name in ("database", "broker"):
                getattr(self.many, name).kill()
            else:
                self.many.kill(name)
            self.down[name] = time.monotonic() + seconds

    def freeze(self, name: str) -> None:
        """Have a process stand still, as one does that is cut off from everything."""
        if name not in self.down and name not in self.frozen:
            self.counts[f"froze {name.rstrip('123')}"] += 1
            self.many.processes[name].send_signal(signal.SIGSTOP)
            self.frozen[name] = time.monotonic() + self.random.choice((3.0, 9.0, 20.0))

    def revive(self, everything: bool = False) -> None:
        """Start what is dead, and let go on what stands still.  :raises AssertionError: when something ended by itself."""
        for name, process in self.many.processes.items():
            assert process.poll() is None, f"{name} has ended by itself:\n{self.many.log(name)[-3000:]}"
        for name, until_when in list(self.frozen.items()):
            if everything or time.monotonic() >= until_when or name in self.down:
                del self.frozen[name]
                if name not in self.down:
                    self.many.processes[name].send_signal(signal.SIGCONT)
        for name, until_when in sorted(self.down.items(), key=lambda each: each[0] not in ("database", "broker")):
            if everything or time.monotonic() >= until_when:
                if name in ("database", "broker"):
                    getattr(self.many, name).start()
                elif name.startswith(("api", "worker")) and {"database", "broker"} & set(self.down):
                    continue  # it would find nothing to start with
                else:
                    self.many.start(name)
                del self.down[name]

    def create(self) -> None:
        """A server; one less where there are many."""
        left = [server for server in self.servers.values() if server.ends != {GONE}]
        if len(left) >= SERVERS_MAX:
            self.delete(self.random.choice(left))
            return
        name = uuid.uuid4().hex
        body = {"name": name, "imageRef": self.image, "flavorRef": self.random.choice(self.flavors)}
        answer = self._ask("POST", "/compute/v2.1/servers", server={**body, "networks": [{"uuid": self.network}]})
        if answer is None:
            self.unsure.add(name)
        elif answer.status_code == 202:
            id = answer.json()["server"]["id"]
            self.servers[id] = Known(id, {"ACTIVE"})

    def delete(self, server: Known) -> None:
        ports = self._ports(server.id)
        answer = self._ask("DELETE", f"/compute/v2.1/servers/{server.id}")
        for port in ports:
            self.there["ports"].pop(port, None)
        self._note(server, answer, GONE)

    def stop(self, server: Known) -> None:
        self._act(server, "os-stop", None, "SHUTOFF")

    def start(self, server: Known) -> None:
        self._act(server, "os-start", None, "ACTIVE")

    def pause(self, server: Known) -> None:
        self._act(server, "pause", None, "PAUSED")

    def unpause(self, server: Known) -> None:
        self._act(server, "unpause", None, "ACTIVE")

    def reboot(self, server: Known) -> None:
        self._act(server, "reboot", {"type": self.random.choice(("SOFT", "HARD"))}, "ACTIVE")

    def resize(self, server: Known) -> None:
        found = self._view().get(server.id)
        others = [id for id in self.flavors if found is None or found["flavor"]["id"] != id]
        self._act(server, "resize", {"flavorRef": self.random.choice(others)}, "VERIFY_RESIZE")

    def migrate(self, server: Known) -> None:
        self._act(server, "migrate", None, "VERIFY_RESIZE")

    def confirm(self, server: Known) -> None:
        self._act(server, "confirmResize", None, "ACTIVE", "SHUTOFF")

    def revert(self, server: Known) -> None:
        self._act(server, "revertResize", None, "ACTIVE", "SHUTOFF")

    def _act(self, server: Known, action: str, facts: Any, *ends: str) -> None:
        self._note(server, self._ask("POST", f"/compute/v2.1/servers/{server.id}/action", **{action: facts}), *ends)

    def attach(self, server: Known) -> None:
        body = {"net_id": self.network}
        self._ask("POST", f"/compute/v2.1/servers/{server.id}/os-interface", interfaceAttachment=body)

    def detach(self, server: Known) -> None:
        if ports := self._ports(server.id):
            id = self.random.choice(ports)
            self._ask("DELETE", f"/compute/v2.1/servers/{server.id}/os-interface/{id}")

    def add_port(self) -> None:
        answer = self._ask("POST", "/network/v2.0/ports", port={"network_id": self.network, "name": "probe"})
        if answer is not None and answer.status_code == 201:
            self.there["ports"][answer.json()["port"]["id"]] = True

    def remove_port(self) -> None:
        if ports := self._list("/network/v2.0/ports?name=probe", "ports"):
            self._remove("ports", self.random.choice(ports)["id"])
        else:
            self.add_port()

    def float(self, server: Known) -> None:
        if ports := self._ports(server.id):
            body = {"floating_network_id": self.outer, "port_id": self.random.choice(ports)}
            answer = self._ask("POST", "/network/v2.0/floatingips", floatingip=body)
            if answer is not None and answer.status_code == 201:
                self.there["floatingips"][answer.json()["floatingip"]["id"]] = True

    def unfloat(self) -> None:
        if found := self._list("/network/v2.0/floatingips", "floatingips"):
            self._remove("floatingips", self.random.choice(found)["id"])
        else:
            self.add_port()

    def _remove(self, noun: str, id: str) -> None:
        answer = self._ask("DELETE", f"/network/v2.0/{noun}/{id}")
        if answer is None:
            self.there[noun].pop(id, None)
        elif answer.status_code == 204:
            self.there[noun][id] = False

    def _ports(self, server_id: str) -> list[str]:
        return [port["id"] for port in self._list(f"/network/v2.0/ports?device_id={server_id}", "ports")]

    def _list(self, path: str, noun: str) -> list[Any]:
        return list(self.api.get(path)[noun])

    def _ask(self, method: str, path: str, **body: Any) -> httpx.Response | None:
        """Ask for a change, once, and count what is said to it."""
        answer = self.api.ask(method, path, **body)
        if answer is None:
            self.counts["nobody knows"] += 1
        else:
            self.counts["acknowledged" if answer.status_code < 300 else f"refused {answer.status_code}"] += 1
        return answer

    def _note(self, server: Known, answer: httpx.Response | None, *ends: str) -> None:
        if answer is None:
            server.ends |= set(ends)
        elif answer.status_code < 300:
            server.before, server.ends = server.ends, set(ends)
        elif answer.status_code == 404 and GONE in server.ends:
            server.ends = {GONE}

    # ---- the end

    def rest(self) -> None:
        """Have everything run again, and wait until nothing is under way."""
        self.revive(everything=True)
        began = time.monotonic()

        def is_at_rest() -> bool:
            moving = [each for each in self._view().values() if not _is_at_rest(each)]
            if time.monotonic() - began > REST_SECONDS - 5:
                print("not at rest:", [(each["id"], each["status"], each["OS-EXT-STS:task_state"]) for each in moving])
            return not moving

        until(is_at_rest, "rest", REST_SECONDS)
        seconds = time.monotonic() - began
        self.counts["seconds to rest, at most"] = max(self.counts["seconds to rest, at most"], round(seconds))

    def confirm_all(self) -> None:
        """Leave no server between two hosts, so that the books must be exact."""
        for id, server in self._view().items():
            if server["status"] == "VERIFY_RESIZE":
                self._act(self.servers[id], "confirmResize", None, "ACTIVE", "SHUTOFF")
        self.rest()

    def check(self) -> None:
        """Compare what the APIs say with what was asked and with what is on the hosts; give the hosts a moment to agree."""
        last, began = "", time.monotonic()

        def agrees() -> bool:
            nonlocal last
            last = "; ".join(self.differences())
            return not last

        try:
            until(agrees, "agreement", AGREEMENT_SECONDS)
        except AssertionError:
            raise AssertionError(last) from None
        seconds = round(time.monotonic() - began)
        self.counts["seconds to agreement, at most"] = max(self.counts["seconds to agreement, at most"], seconds)
        self.counts["in ERROR"] = sum(each["status"] == "ERROR" for each in self._view().values())

    def differences(self) -> Iterator[str]:
        """Say what is not as it must be."""
        found = self._view()
        yield from self._unkept_promises(found)
        yield from self._guests(found)
        yield from self._addresses()
        yield from self._books(found)
        yield from self._ports_on_hosts()
        for noun, there in self.there.items():
            ids = {each["id"] for each in self._list(f"/network/v2.0/{noun}", noun)}
            yield from (
                f"{noun}: {id} was {'made' if is_there else 'deleted'}"
                for id, is_there in there.items()
                if (id in ids) != is_there
            )

    def _unkept_promises(self, found: dict[str, Any]) -> Iterator[str]:
        for server in self.servers.values():
            status = found[server.id]["status"] if server.id in found else GONE
            if status == "ERROR":
                if not found[server.id].get("fault", {}).get("message"):
                    yield f"{server.id} is in ERROR and nobody says why"
            elif status not in server.ends and not (status in server.before and self._failed(server.id)):
                yield f"{server.id} is {status} and not {server.ends}"

    def _failed(self, server_id: str) -> bool:
        """Tell whether the API says that what was asked last failed."""
        actions = self.api.get(f"/compute/v2.1/servers/{server_id}/os-instance-actions")["instanceActions"]
        return bool(actions) and actions[0]["message"] == "Error"

    def _guests(self, found: dict[str, Any]) -> Iterator[str]:
        on_hosts: dict[str, list[tuple[str, Any]]] = {}
        for host in self.many.hosts:
            for guest_id, guest in kept.read(self.many.folder / host / "guests.kept").get("guests", {}).items():
                on_hosts.setdefault(guest_id, []).append((host, guest))
        for guest_id, places in on_hosts.items():
            hosts = [host for host, _ in places]
            server = found.get(guest_id)
            if server is None:
                yield f"guest {guest_id} on {hosts} is nobody's"
            else:
                yield from _misplaced(server, dict(places))
        for id, server in found.items():
            if server["status"] in ("ACTIVE", "PAUSED", "VERIFY_RESIZE") and id not in on_hosts:
                yield f"server {id} is {server['status']} and has no guest"

    def _addresses(self) -> Iterator[str]:
        ports = self.api.get("/network/v2.0/ports")["ports"]
        given = Counter((each["subnet_id"], each["ip_address"]) for port in ports for each in port["fixed_ips"])
        yield from (f"{address} is given {count} times" for address, count in given.items() if count > 1)

    def _books(self, found: dict[str, Any]) -> Iterator[str]:
        detail = {each["id"]: each for each in self.api.get("/compute/v2.1/flavors/detail?is_public=None")["flavors"]}
        vcpus = {id: detail[server["flavor"]["id"]]["vcpus"] for id, server in found.items()}
        used = self.api.get("/compute/v2.1/limits")["limits"]["absolute"]
        back = [id for id, server in found.items() if server["status"] == "VERIFY_RESIZE"]  # room to go back to is theirs, too
        least, most = sum(vcpus.values()), sum(vcpus.values()) + sum(max(VCPUS) - vcpus[id] for id in back)
        if used["totalInstancesUsed"] != len(found) or not least <= used["totalCoresUsed"] <= most:
            yield f"the quota counts {used['totalInstancesUsed']} servers, {used['totalCoresUsed']} cores: {vcpus}"
        for provider in self.api.get("/placement/resource_providers")["resource_providers"]:
            counted = self.api.get(f"/placement/resource_providers/{provider['uuid']}/usages")["usages"].get("VCPU", 0)
            here = [id for id, server in found.items() if server["OS-EXT-SRV-ATTR:host"] == provider["name"]]
            true = sum(vcpus[id] for id in here)
            if counted < true or (counted > true and not back):
                yield f"placement counts {counted} VCPU on {provider['name']}, there are {true}"

    def _ports_on_hosts(self) -> Iterator[str]:
        bound: dict[str, set[str]] = {host: set() for host in self.many.hosts}
        for port in self.api.get("/network/v2.0/ports")["ports"]:
            if port["binding:host_id"] in bound and port["device_owner"].startswith("compute:"):
                bound[port["binding:host_id"]].add(port["id"])
        for host, wanted in bound.items():
            there = set(kept.read(self.many.folder / host / "network.kept").get("ports", {}))
            if there != wanted:
                yield f"{host} has ports {sorted(there - wanted)} too many, {sorted(wanted - there)} too few"
        routers = [r for host in self.many.hosts for r in kept.read(self.many.folder / host / "network.kept").get("routers", {})]
        if len(routers) != len(set(routers)):
            yield f"a router is on two hosts: {routers}"

    def end(self) -> None:
        """Delete everything, and see that nothing is left."""
        api = self.api
        for server in api.get("/compute/v2.1/servers")["servers"]:
            api.ask("DELETE", f"/compute/v2.1/servers/{server['id']}")
        until(lambda: not api.get("/compute/v2.1/servers")["servers"], "no servers", REST_SECONDS)
        for floating in api.get("/network/v2.0/floatingips")["floatingips"]:
            api.insist("DELETE", f"/network/v2.0/floatingips/{floating['id']}")
        for port in api.get("/network/v2.0/ports?name=probe")["ports"]:
            api.insist("DELETE", f"/network/v2.0/ports/{port['id']}")
        self.servers.clear()
        left = [port for port in api.get("/network/v2.0/ports")["ports"] if not port["device_owner"].startswith("network:")]
        assert not left, f"ports are left: {left}"
        api.insist("PUT", f"/network/v2.0/routers/{self.router}/remove_router_interface", subnet_id=self.subnet)
        api.insist("DELETE", f"/network/v2.0/routers/{self.router}")
        for network in (self.network, self.outer):
            api.insist("DELETE", f"/network/v2.0/networks/{network}")
        until(lambda: not list(self._leftovers()), "nothing left", AGREEMENT_SECONDS) if list(self._leftovers()) else None

    def _leftovers(self) -> Iterator[str]:
        for host in self.many.hosts:
            yield from kept.read(self.many.folder / host / "guests.kept").get("guests", {})
            for things in kept.read(self.many.folder / host / "network.kept").values():
                yield from things
            bases = self.many.folder / host / "bases"
            yield from (path.name for path in bases.iterdir() if path.is_file()) if bases.exists() else ()


def _misplaced(server: dict[str, Any], places: dict[str, Any]) -> Iterator[str]:
    """Say what is wrong with where a server's guest is; until a move is confirmed it is, shut off, also where it came from."""
    id, status, at = server["id"], server["status"], server["OS-EXT-SRV-ATTR:host"]
    power = {host: guest.power for host, guest in places.items()}
    others = [each for host, each in power.items() if host != at]
    if at not in power or (others and (status != "VERIFY_RESIZE" or others != ["off"])):
        yield f"guest {id} is on {power}, the API says {at} ({status})"
    elif status in ("ACTIVE", "SHUTOFF") and (power[at] == "on") != (status == "ACTIVE"):
        yield f"guest {id} is {power[at]}, the API says {status}"


def _is_at_rest(server: dict[str, Any]) -> bool:
    return server["status"] in AT_REST and not server["OS-EXT-STS:task_state"]


def run(
    folder: Path, seed: int, operations: int, seconds: float = float("inf"), kills: float = KILLS, **settings: str
) -> Counter[str]:
    """Run so many operations, or for so long; returns what was done.  :raises AssertionError: when a promise was not kept."""
    with cloud_of_many(folder, IMAGE_STORES=f"file=file:{folder}/images", **settings) as many:
        probe, stop = Probe(many, seed, kills), time.monotonic() + seconds
        try:
            probe.prepare()
            done = 0
            while done < operations and time.monotonic() < stop:
                probe.round()
                done += 1
                if done % 50 == 0:
                    probe.rest()
                    probe.check()
            probe.rest()
            probe.check()
            probe.confirm_all()
            probe.check()
            probe.end()
            probe.counts["operations"] = done
            probe.counts["seconds until an answer, at most"] = round(probe.api.longest_seconds)
        except BaseException:
            print(json.dumps(probe.counts, indent=1))
            raise
        finally:
            with contextlib.suppress(Exception):
                probe.revive(everything=True)
        return probe.counts


def main() -> None:
    """Run, and print what was done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--operations", type=int, default=0, help="200, or any number where --seconds is given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="a folder for what the processes say, which stays")
    chosen = parser.parse_args()
    operations = chosen.operations or (200 if chosen.seconds == float("inf") else 10**9)
    with tempfile.TemporaryDirectory(prefix="pileus-probe-") as directory:
        folder = Path(chosen.keep or directory)
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(dict(sorted(run(folder, chosen.seed, operations, chosen.seconds).items())), indent=1))


if __name__ == "__main__":
    main()
