"""Random operations on a cloud of three hosts whose processes and engines die at random, and a checker that knows the truth.

    python -m tests.cluster.probe --operations 200 --seed 1        or --seconds 600
    python -m tests.cluster.probe --real                           as root: guests, networks and volumes are real

Two workers, an API, an agent a host, PostgreSQL and RabbitMQ, each a process that may be killed (kill -9) at any moment and is
started again.  Guests, networks and volumes are fakes that outlive their agents; or real ones on hosts that are namespaces: then
guests' processes are killed, too, and hosts are cut off from everything.

In the end everything must have come to rest in time: what was acknowledged has been brought about, or ended in ERROR with a
reason; every guest is on one host, the one that the API says; no address was given twice; placement and quotas count what is
there; and once everything is deleted nothing is left.

A seed makes the same sequence of faults; and the same operations, as far as what is asked for fits what became of the last.
"""

import argparse
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.cluster import checker, deeds, scene
from tests.cluster.asking import Api
from tests.cluster.faults import KILLS, Faults
from tests.cluster.known import World, is_at_rest
from tests.cluster.many import cloud_of_many, until
from tests.cluster.stage import Stage
from tests.cluster.truth import Fakes

AGREEMENT_SECONDS = 180.0  # of hosts with the database
OPERATIONS_BETWEEN_CHECKS = 50


class Probe:
    """One run."""

    def __init__(self, stage: Stage, seed: int, kills: float = KILLS) -> None:
        self.many, self.truth, self.scale, self._seed = stage.many, stage.truth, stage.scale, seed
        self._stage = stage
        self.api = Api(stage.many, self._revive)
        self.world = World(self.api, stage.scale)
        self.faults = Faults(stage, self.world, seed, kills)
        self.done = 0
        self._story = open(stage.many.folder / "story", "w", buffering=1)  # noqa: SIM115

    def _revive(self) -> None:
        self.faults.revive()

    def prepare(self) -> None:
        """Make what everything is made of; how the hosts are then is how they are to be in the end."""
        scene.prepare(self.world, len(self.many.hosts), *self._stage.image)
        if self._stage.real is not None:
            scene.warm_up(self.world)
            scene.clear(self.world)
            self._stage.real.remember()
            scene.lay_networks(self.world)

    def round(self) -> None:
        """Have something die now and then, and ask for something."""
        self.done += 1
        if fault := self.faults.round():
            self._tell(fault)
        self.world.random = random.Random(f"{self._seed} {self.done}")
        found = self.world.view()
        idle = {id: server["status"] for id, server in found.items() if is_at_rest(server) and id in self.world.servers}
        name, server = deeds.choose(self.world, idle)
        self.world.counts[f"asked: {name}"] += 1
        self._tell(f"{name} {server.number if server else ''}")
        pause_seconds = random.Random(f"pause {self._seed} {self.done}").choice(self.scale.pauses_seconds)
        if server is None:
            deeds.OF_NONE[name](self.world)
        else:
            deeds.OF_A_SERVER[name](self.world, server)
        time.sleep(pause_seconds)

    def _tell(self, text: str) -> None:
        self._story.write(f"{time.strftime('%H:%M:%S')} {self.done:4} {text}\n")

    def rest(self) -> None:
        """Have everything run again, and wait until nothing is under way."""
        self.faults.revive(everything=True)
        began = time.monotonic()

        def rests() -> bool:
            moving = [each for each in self.world.view().values() if not is_at_rest(each)]
            if time.monotonic() - began > self.scale.rest_seconds - 5:
                print("not at rest:", [(each["id"], each["status"], each["OS-EXT-STS:task_state"]) for each in moving])
            return not moving

        until(rests, "rest", self.scale.rest_seconds)
        self._count_seconds("seconds to rest, at most", began)

    def _count_seconds(self, what: str, began: float) -> None:
        self.world.counts[what] = max(self.world.counts[what], round(time.monotonic() - began))

    def confirm_all(self) -> None:
        """Leave no server between two hosts, so that the books must be exact."""
        for id, server in self.world.view().items():
            if server["status"] == "VERIFY_RESIZE":
                deeds.confirm(self.world, self.world.servers[id])
        self.rest()

    def check(self) -> None:
        """Find no differences; give the hosts a moment to agree."""
        began = time.monotonic()
        self._agree(lambda: checker.differences(self.world, self.truth))
        self._count_seconds("seconds to agreement, at most", began)
        self.world.counts["in ERROR"] = sum(each["status"] == "ERROR" for each in self.world.view().values())

    def _agree(self, look: Any) -> None:
        last = ""

        def agrees() -> bool:
            nonlocal last
            if (found := "; ".join(look())) != last:
                self._tell(f"differences: {found or 'none'}")
            last = found
            return not last

        try:
            until(agrees, "agreement", AGREEMENT_SECONDS)
        except AssertionError:
            raise AssertionError(last) from None

    def end(self) -> None:
        """Delete everything, and see that nothing is left."""
        scene.clear(self.world)
        self._agree(self.truth.leftovers)

    def close(self) -> None:
        """Let everything run again."""
        self._story.close()
        with contextlib.suppress(Exception):
            self.faults.revive(everything=True)


def run_on(stage: Stage, seed: int, operations: int, seconds: float = float("inf"), kills: float = KILLS) -> Counter[str]:
    """Run so many operations, or for so long; returns what was done.  :raises AssertionError: when a promise was not kept."""
    probe, stop = Probe(stage, seed, kills), time.monotonic() + seconds
    try:
        probe.prepare()
        while probe.done < operations and time.monotonic() < stop:
            probe.round()
            if probe.done % OPERATIONS_BETWEEN_CHECKS == 0:
                probe.rest()
                probe.check()
        probe.rest()
        probe.check()
        probe.confirm_all()
        probe.check()
        probe.end()
    except BaseException:
        print(json.dumps(dict(sorted(probe.world.counts.items())), indent=1), f"after {probe.done} operations")
        raise
    finally:
        probe.close()
    probe.world.counts["operations"] = probe.done
    probe.world.counts["seconds until an answer, at most"] = round(probe.api.longest_seconds)
    return probe.world.counts


@contextlib.contextmanager
def fakes(folder: Path, **settings: str) -> Iterator[Stage]:
    """Run a cloud whose hosts are fakes."""
    volumes = {"volume_backends": "file=fake"}
    with cloud_of_many(folder, host_settings=volumes, IMAGE_STORES=f"file=file:{folder}/images", **settings) as many:
        yield Stage(many, Fakes(many))


def run(folder: Path, seed: int, operations: int, kills: float = KILLS, **settings: str) -> Counter[str]:
    """Run so many operations on fakes; returns what was done.  :raises AssertionError: when a promise was not kept."""
    with fakes(folder, **settings) as stage:
        return run_on(stage, seed, operations, kills=kills)


def main() -> None:
    """Run, and print what was done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="guests, networks and volumes of three hosts in namespaces; as root")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--operations", type=int, default=0, help="200, or any number where --seconds is given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="a folder for what the processes say, which stays")
    chosen = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("ended by a signal"))
    operations = chosen.operations or (200 if chosen.seconds == float("inf") else sys.maxsize)
    with tempfile.TemporaryDirectory(prefix="pileus-probe-") as directory:
        folder = Path(chosen.keep or directory)
        folder.mkdir(parents=True, exist_ok=True)
        if chosen.real:
            from tests.cluster.real import real

            place: contextlib.AbstractContextManager[Stage] = real(folder)
        else:
            place = fakes(folder)
        with place as stage:
            done = run_on(stage, chosen.seed, operations, chosen.seconds)
        print(json.dumps(dict(sorted(done.items())), indent=1))


if __name__ == "__main__":
    main()
