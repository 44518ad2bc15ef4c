"""What a probe knows of its cloud: what it asked for, what was acknowledged, and how it may be in the end."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.cluster.asking import Api

GONE = "gone"
AT_REST = {"ACTIVE", "SHUTOFF", "VERIFY_RESIZE", "ERROR", "PAUSED", "SHELVED_OFFLOADED"}
VOLUMES_AT_REST = {"available", "in-use", "error", "error_deleting"}


@dataclass(frozen=True)
class Scale:
    """How much there is of everything, and what guests are made of."""

    servers_max: int = 8  # the quotas of a project have room for them
    volumes_max: int = 6
    vcpus: tuple[int, int] = (1, 2)  # of the flavors
    memory_mib: tuple[int, int] = (64, 128)
    pauses_seconds: tuple[float, ...] = (0.0, 0.05, 0.3, 1.0)
    rest_seconds: float = 420.0  # the deadlines of servers' work and more
    outside: str = "203.0.113.0/24"


@dataclass
class Known:
    """A server: how it may be in the end, how it was before what was asked last, and the id of that request."""

    id: str
    number: int
    ends: set[str]
    before: set[str] = field(default_factory=set)
    request: str = ""


@dataclass
class World:
    """All that there is.  `unsure` are the numbers of servers that there may be."""

    api: Api
    scale: Scale
    random: Random = field(default_factory=Random)
    servers: dict[str, Known] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    # What was acknowledged: made, or deleted.
    there: dict[str, dict[str, bool]] = field(
        default_factory=lambda: {"ports": {}, "floatingips": {}, "volumes": {}, "snapshots": {}, "routers": {}}
    )
    plugged: dict[str, tuple[str, bool]] = field(default_factory=dict)  # volumes: a server, and whether it is to have them
    counts: Counter[str] = field(default_factory=Counter)
    numbers: int = 0
    image: str = ""
    flavors: list[str] = field(default_factory=list)
    outer: str = ""
    network: str = ""
    subnet: str = ""
    router: str = ""

    def number(self) -> int:
        """Return the number of something new, which is its name."""
        self.numbers += 1
        return self.numbers

    def project(self) -> str:
        """Return the project of whoever asks."""
        return str(self.api.get("/identity/v3/auth/projects")["projects"][0]["id"])

    def view(self) -> dict[str, Any]:
        """Return all servers; those that nobody knew whether they would be there are known from now on."""
        found = {each["id"]: each for each in self.api.every("/compute/v2.1/servers/detail", "servers")}
        for id, server in found.items():
            if server["name"] in self.unsure:
                self.unsure.discard(server["name"])
                self.servers[id] = Known(id, int(server["name"].rpartition("-")[2]), {"ACTIVE"})
        return found

    def ask(self, method: str, path: str, version: str = "", **body: Any) -> httpx.Response | None:
        """Ask for a change, once, and count what is said to it."""
        answer = self.api.ask(method, path, version, **body)
        if answer is None:
            self.counts["nobody knows"] += 1
        else:
            self.counts["acknowledged" if answer.status_code < 300 else f"refused {answer.status_code}"] += 1
        return answer

    def note(self, server: Known, answer: httpx.Response | None, *ends: str) -> None:
        """Note what was asked of a server, and how it may be in the end."""
        if answer is None:
            server.ends |= set(ends)
        elif answer.status_code < 300:
            server.before, server.ends = server.ends, set(ends)
            server.request = answer.headers["X-Openstack-Request-Id"]
        elif answer.status_code == 404 and GONE in server.ends:
            server.ends = {GONE}

    def make(self, noun: str, path: str, one: str, **body: Any) -> None:
        """Ask for something new that is known by its id."""
        answer = self.ask("POST", path, **{one: body})
        if answer is not None and answer.status_code < 300:
            self.there[noun][answer.json()[one]["id"]] = True

    def remove(self, noun: str, path: str, id: str) -> None:
        """Ask for the end of something."""
        answer = self.ask("DELETE", f"{path}/{id}")
        if answer is None:
            self.there[noun].pop(id, None)
        elif answer.status_code < 300:
            self.there[noun][id] = False

    def ports(self, server_id: str) -> list[str]:
        """Return the ports of a server."""
        return [port["id"] for port in self.api.every(f"/network/v2.0/ports?device_id={server_id}", "ports")]


def is_at_rest(server: dict[str, Any]) -> bool:
    """Tell whether nothing is under way."""
    return server["status"] in AT_REST and not server["OS-EXT-STS:task_state"]
