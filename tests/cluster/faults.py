"""What dies, stands still or is cut off, and when: a sequence that a seed alone makes."""

import os
import random
import signal
import time
from collections.abc import Sequence
from typing import Any

from tests.cluster.known import World
from tests.cluster.stage import Stage

KILLS = 0.15  # how many a round
FREEZES = 0.04
WORKERS = {"worker1", "worker2"}
ENGINES = ("database", "broker")
DEAD_SECONDS = (0.0, 0.5, 2.0)
AGENT_DEAD_SECONDS = (0.0, 0.5, 2.0, 9.0)
FROZEN_SECONDS = (3.0, 9.0, 20.0)
APART_SECONDS = (5.0, 20.0, 55.0)


class Faults:
    """Those of one run.  Each round draws as much, so that a seed makes the same sequence whatever the cloud does."""

    def __init__(self, stage: Stage, world: World, seed: int, kills: float) -> None:
        self._many, self._world, self._kills, self._real = stage.many, world, kills, stage.real
        self._random = random.Random(f"faults {seed}")
        self._deck: list[str] = []
        self._due = 0.0
        self.down: dict[str, float] = {}  # what is dead, until when
        self.frozen: dict[str, float] = {}
        self.apart: dict[str, float] = {}

    def round(self) -> str:
        """Have something die now and then; returns what.

        :raises AssertionError: when something ended by itself.
        """
        self.revive()
        draw, other, long, which = (self._random.random() for _ in range(4))
        self._due += self._kills * (0.5 + self._random.random())
        if self._due >= 1:
            self._due -= 1
            return self._kill(self._next(), long, which)
        if other < FREEZES:
            mortal = [name for name in self._many.commands if name != "api1"]
            return self._freeze(_pick(mortal, draw), _pick(FROZEN_SECONDS, long))
        return ""

    def _next(self) -> str:
        """Whoever was not yet killed as often as the others."""
        if not self._deck:
            self._deck = [*self._many.commands, "workers", *ENGINES]
            self._deck += ["guest", "guest", "storage", "wire"] if self._real else []
            self._random.shuffle(self._deck)
        return self._deck.pop()

    def _kill(self, victim: str, long: float, which: float) -> str:
        if victim in ("guest", "storage"):
            return self._kill_process(victim, which)
        if victim == "wire":
            return self._part(_pick(self._many.hosts, which), _pick(APART_SECONDS, long))
        names = sorted(WORKERS) if victim == "workers" else [victim]
        seconds = _pick(AGENT_DEAD_SECONDS if victim in self._many.hosts else DEAD_SECONDS, long)
        for name in names:
            if name in self.down:
                continue
            if name in ENGINES:
                getattr(self._many, name).kill()
            else:
                self._many.kill(name)
            self.down[name] = time.monotonic() + seconds
        self._world.counts[f"killed {self._kind(victim)}"] += 1
        return f"kill {victim} for {seconds:g} s"

    def _kind(self, name: str) -> str:
        return "host" if name in self._many.hosts else name.rstrip("0123456789")

    def _kill_process(self, victim: str, which: float) -> str:
        """Kill a guest's process, or one that serves a volume."""
        assert self._real
        servers = self._world.servers
        known = [(id, pid) for id, pid in self._real.processes() if id in servers] if victim == "guest" else []
        known.sort(key=lambda each: servers[each[0]].number)
        found = known if victim == "guest" else [("", pid) for pid in self._real.storage()]
        if not found:
            return f"no {victim} to kill"
        server_id, pid = _pick(found, which)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return f"the {victim} had just ended"
        if server_id:
            servers[server_id].ends.add("SHUTOFF")
        self._world.counts[f"killed {victim}"] += 1
        return f"kill {victim} {servers[server_id].number if server_id else pid}"

    def _part(self, host: str, seconds: float) -> str:
        assert self._real
        if host not in self.apart:
            self._real.wire(host, up=False)
            self._world.counts["cut off host"] += 1
            self.apart[host] = time.monotonic() + seconds
        return f"cut {host} off for {seconds:g} s"

    def _freeze(self, name: str, seconds: float) -> str:
        """Have a process stand still, as one does that is cut off from everything."""
        if name not in self.down and name not in self.frozen:
            self._world.counts[f"froze {self._kind(name)}"] += 1
            self._many.processes[name].send_signal(signal.SIGSTOP)
            self.frozen[name] = time.monotonic() + seconds
        return f"freeze {name} for {seconds:g} s"

    def revive(self, everything: bool = False) -> None:
        """Start what is dead, and let go on what stands still.  :raises AssertionError: when something ended by itself."""
        for name, process in self._many.processes.items():
            assert process.poll() is None, f"{name} has ended by itself:\n{self._many.log(name)[-3000:]}"
        for name, until_when in list(self.frozen.items()):
            if everything or time.monotonic() >= until_when or name in self.down:
                del self.frozen[name]
                if name not in self.down:
                    self._many.processes[name].send_signal(signal.SIGCONT)
        for host, until_when in list(self.apart.items()):
            if self._real and (everything or time.monotonic() >= until_when):
                self._real.wire(host, up=True)
                del self.apart[host]
        for name, until_when in sorted(self.down.items(), key=lambda each: each[0] not in ENGINES):
            if everything or time.monotonic() >= until_when:
                if name in ENGINES:
                    getattr(self._many, name).start()
                elif name.startswith(("api", "worker")) and set(ENGINES) & set(self.down):
                    continue  # it would find nothing to start with
                else:
                    self._many.start(name)
                del self.down[name]


def _pick(things: Sequence[Any], draw: float) -> Any:
    return things[int(draw * len(things))]
