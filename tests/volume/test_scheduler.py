"""Where volumes go: pure choices."""

import pytest

from pileus.volume.driver import Capacity
from pileus.volume.scheduler import Pool, Request, capabilities, explain_specs, matches, pick


def pool(name="a", total=100.0, free=100.0, provisioned=0.0, ratio=2.0, disabled=False, zone="nova", **has):
    return Pool(f"h@{name}#{name}", zone, Capacity(total, free, provisioned, **has), provisioned, ratio, disabled)


def test_the_pool_with_the_most_room_is_chosen_and_the_first_of_equals():
    assert pick([pool("a", provisioned=50), pool("b")], Request(1)).host == "h@b#b"
    assert pick([pool("b"), pool("a")], Request(1)).host == "h@a#a"


@pytest.mark.parametrize(
    ("there", "room"),
    [
        (pool(total=100, ratio=2, provisioned=150), 50),
        (pool(total=100, free=10, ratio=2), 20),
        (pool(total=100, free=30, thin=False), 30),
        (pool(total=100, free=100, thin=False, provisioned=80), 20),
    ],
)
def test_room_is_what_may_be_promised(there, room):
    assert there.room_gib == room
    assert pick([there], Request(room)).host
    assert "room for" in pick([there], Request(room + 1)).why


@pytest.mark.parametrize(
    ("there", "request_", "why"),
    [
        (pool(disabled=True), Request(1), "disabled"),
        (pool(zone="x"), Request(1, zones=["nova"]), "zone x"),
        (pool(), Request(1, only=frozenset({"h@b#b"})), "has to be"),
        (pool(), Request(1, avoid=frozenset({"h@a#a"})), "must not be"),
        (pool(), Request(1, refused={"h@a#a": "on fire"}), "on fire"),
        (pool(), Request(1, specs={"volume_backend_name": "b"}), "volume_backend_name is a, not b"),
    ],
)
def test_why_not(there, request_, why):
    choice = pick([there], request_)
    assert choice.host is None
    assert why in choice.why


def test_there_are_none():
    assert "no back ends" in pick([], Request(1)).why


@pytest.mark.parametrize(
    ("specs", "fits"),
    [
        ({}, True),
        ({"volume_backend_name": "a"}, True),
        ({"capabilities:volume_backend_name": "a"}, True),
        ({"capabilities:volume_backend_name": "b"}, False),
        ({"multiattach": "<is> True"}, True),
        ({"multiattach": "<is> False"}, False),
        ({"thin_provisioning_support": "True"}, True),
        ({"RESKEY:availability_zones": "x"}, True),
        ({"replication_enabled": "<is> True"}, False),
        ({"free_capacity_gb": ">= 10"}, True),
        ({"free_capacity_gb": "> 1000"}, False),
        ({"free_capacity_gb": "> many"}, False),
        ({"storage_protocol": "<or> iSCSI <or> nbd"}, True),
        ({"storage_protocol": "<or> iSCSI"}, False),
        ({"vendor_name": "<in> Pil"}, True),
        ({"vendor_name": "s== Pileus"}, True),
        ({"vendor_name": "s!= Pileus"}, False),
        ({"colour": "red"}, False),
        ({"multiattach": ""}, False),
    ],
)
def test_extra_specs(specs, fits):
    assert (explain_specs(capabilities(pool()), specs) == "") == fits


@pytest.mark.parametrize("wanted", ["<is>", "<in>", "<or>", "=", "s==", "<all-in> a b", "<all-in>"])
def test_operators_without_their_words_match_nothing_by_chance(wanted):
    assert matches("x", wanted) in (wanted == "<all-in>", False)
