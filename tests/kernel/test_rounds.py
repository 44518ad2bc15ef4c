"""Passes over many hosts: so many at a time, all of them in the end, and first those of which least is known."""

import threading

import pytest

from pileus.kernel import rounds
from pileus.kernel.bus import LocalBus
from pileus.kernel.rounds import Rounds

SECONDS = 30.0


class Town(LocalBus):
    """Hosts with a role, whose agents come and go."""

    def __init__(self, count):
        super().__init__({f"host{number:02}": {"hypervisor": object()} for number in range(count)})
        self.sessions = {}

    def session(self, host):
        return self.sessions.get(host, "")


def test_a_pass_looks_at_so_many_hosts_and_gets_round_all():
    town, turns = Town(10), Rounds(4)
    passes = [turns.turn(town, "hypervisor") for _ in range(5)]
    assert [len(each) for each in passes] == [4] * 5
    first = [name for each in passes for name in each][:10]
    assert sorted(first) == list(town.hosts("hypervisor"))
    assert passes[2][2:] == passes[0][:2], "then it begins again with those of the longest ago"


def test_a_small_cloud_is_looked_at_whole_in_each_pass():
    town, turns = Town(3), Rounds(4)
    assert [sorted(turns.turn(town, "hypervisor")) for _ in range(3)] == [list(town.hosts("hypervisor"))] * 3


def test_a_host_that_came_or_was_away_is_looked_at_first():
    town, turns = Town(10), Rounds(4)
    for _ in range(3):
        turns.turn(town, "hypervisor")
    town.sessions["host07"] = "a new agent"
    town._hosts["host99"] = {"hypervisor": object()}
    assert set(turns.turn(town, "hypervisor")) > {"host07", "host99"}
    away = town._hosts.pop("host03")
    turns.turn(town, "hypervisor")
    town._hosts["host03"] = away
    assert "host03" in turns.turn(town, "hypervisor")


def test_a_host_that_failed_is_looked_at_again_and_keeps_nobody_from_their_turn():
    town, turns = Town(10), Rounds(4)
    seen = set()
    for _ in range(5):
        chosen = turns.turn(town, "hypervisor")
        seen.update(chosen)
        for name in ("host00", "host01", "host02"):
            turns.again(name)
    assert set(turns.turn(town, "hypervisor")) & {"host00", "host01", "host02"}
    assert seen == set(town.hosts("hypervisor"))


def test_a_host_that_hangs_does_not_hold_up_the_others():
    others, freed = threading.Event(), []

    def look(name):
        if name == "slow":
            freed.append(others.wait(SECONDS))
        elif name == "last":
            others.set()

    rounds.each(["slow", "one", "two", "last"], look)
    assert freed == [True]


def test_all_are_looked_at_before_a_failure_is_told():
    seen = []

    def look(name):
        if name == "bad":
            raise ValueError(name)
        seen.append(name)

    with pytest.raises(ValueError, match="bad"):
        rounds.each(["bad", "one", "two"], look)
    assert sorted(seen) == ["one", "two"]
