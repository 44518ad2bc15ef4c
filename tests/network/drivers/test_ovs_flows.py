"""Flows out of specs, without a switch: numbers, blocks of ports, who may do what."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.network.driver import (
    AddressPair,
    Carrier,
    GroupRule,
    GroupSpec,
    NetworkDriverError,
    NetworkSpec,
    PortSpec,
    Qos,
    RemotePort,
    SubnetSpec,
)
from pileus.network.drivers.ovs import connections, flows, guarding, numbers, tunnelling
from pileus.network.drivers.ovs.flows import Member
from pileus.network.drivers.ovs.guarding import Place
from pileus.network.drivers.ovs.numbers import Numbers

PORT = PortSpec("p", "n", "FA:16:3E:00:00:11", "tap1", ("10.0.0.11", "fd00::11"), ("g",))
PLACE = Place(12, 7, groups=(3,))


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_blocks_of_ports_are_the_range(one: int, other: int) -> None:
    low, high = min(one, other), max(one, other)
    found = 0
    for block in guarding.port_blocks(low, high):
        value, _, mask = block.partition("/")
        size = 0x10000 - int(mask, 16) if mask else 1
        first = int(value, 0)
        assert first % size == 0
        assert first == low + found, "one after another, with nothing between"
        found += size
    assert found == high - low + 1


def test_a_guarded_port_sends_as_itself_only() -> None:
    found = guarding.port_flows(PORT, PLACE)
    allowed = "\n".join(match for match in found if match.startswith(("table=10,", "table=12,")))
    assert "dl_src=fa:16:3e:00:00:11,ip,nw_src=10.0.0.11" in allowed
    assert "arp_sha=fa:16:3e:00:00:11,arp_spa=10.0.0.11" in allowed
    assert "ipv6_src=fd00::11" in allowed
    assert "ipv6_src=fe80::f816:3eff:fe00:11" in allowed
    assert "nd_target=fd00::11" in allowed
    assert all("reg5=0xc" in match for match in allowed.splitlines())
    assert guarding.spoofing_skeleton()["table=10,priority=95,udp,tp_src=67,tp_dst=68"] == "drop"


def test_further_addresses_and_macs() -> None:
    pairs = (
        AddressPair("10.0.0.64/26"),
        AddressPair("10.0.0.5", "00:00:5e:00:01:01"),
        AddressPair("0.0.0.0/0", "02:00:00:00:00:01"),
    )
    port = replace(PORT, allowed_address_pairs=pairs)
    found = guarding.port_flows(port, PLACE)
    assert "table=10,priority=80,reg5=0xc,dl_src=fa:16:3e:00:00:11,ip,nw_src=10.0.0.64/26" in found
    assert "table=10,priority=80,reg5=0xc,dl_src=02:00:00:00:00:01,ip" in found
    shared = found["table=10,priority=80,reg5=0xc,dl_src=00:00:5e:00:01:01,ip,nw_src=10.0.0.5"]
    assert shared.startswith("learn("), "which port has it now is seen from who sends"
    assert guarding.member(port, 12).loose
    assert not guarding.member(PORT, 12).loose


def test_a_port_that_is_down_has_no_flows() -> None:
    assert guarding.port_flows(replace(PORT, admin_up=False), PLACE) == {}


def test_a_port_without_protection_is_asked_nothing() -> None:
    found = guarding.port_flows(replace(PORT, port_security=False), PLACE)
    assert {match.partition(",")[0] for match in found} == {"table=0"}
    assert "set_field:0x0->reg5" in next(iter(found.values()))


def test_what_a_trunk_carries_comes_and_goes_under_its_vlan() -> None:
    found = guarding.port_flows(replace(PORT, carrier=Carrier("tap9", 100)), replace(PLACE, carrier=9))
    assert found["table=0,priority=100,in_port=9,dl_vlan=100"].startswith("pop_vlan,set_field:0->in_port,")
    assert found["table=80,priority=100,reg9=0xc"] == "clone(push_vlan:0x8100,set_field:4196->vlan_vid,output:9)"


def test_rates_are_meters_and_multicasts_have_none() -> None:
    port = replace(PORT, qos=Qos(egress_kbps=1000, ingress_kbps=2000, ingress_burst_kbit=500))
    assert guarding.meters(port, 12) == {
        24: "kbps,burst,band=type=drop,rate=1000,burst_size=800",
        25: "kbps,burst,band=type=drop,rate=2000,burst_size=500",
    }
    found = guarding.port_flows(port, PLACE)
    assert found["table=0,priority=100,in_port=12,vlan_tci=0x0000/0x1fff"].startswith("meter:24,")
    assert found[f"table=80,priority=110,reg9=0xc,{flows.UNICAST}"] == "meter:25,output:12"


@pytest.mark.parametrize(
    ("rule", "matches"),
    [
        (GroupRule("r", "ingress"), {"ip"}),
        (GroupRule("r", "ingress", "IPv6", "any"), {"ipv6"}),
        (GroupRule("r", "ingress", "IPv4", "tcp", 80, 81), {"tcp,tp_dst=0x50/0xfffe"}),
        (GroupRule("r", "ingress", "IPv6", "udp", 7, 8), {"udp6,tp_dst=7", "udp6,tp_dst=8"}),
        (GroupRule("r", "ingress", "IPv4", "tcp", 1, 65535), {"tcp"}),
        (GroupRule("r", "ingress", "IPv4", "icmp", 8, 0), {"icmp,icmp_type=8,icmp_code=0"}),
        (GroupRule("r", "ingress", "IPv6", "icmp", 128), {"icmp6,icmp_type=128"}),
        (GroupRule("r", "ingress", "IPv4", "47"), {"ip,nw_proto=47"}),
        (GroupRule("r", "ingress", "IPv4", None, remote_cidr="10.0.0.0/8"), {"ip,nw_src=10.0.0.0/8"}),
        (GroupRule("r", "egress", "IPv6", None, remote_cidr="fd00::1/128"), {"ipv6,ipv6_dst=fd00::1"}),
        (GroupRule("r", "ingress", "IPv4", None, remote_cidr="0.0.0.0/0"), {"ip"}),
        (GroupRule("r", "ingress", remote_group_id="o"), {"ip,nw_src=10.0.0.1", "ip,nw_src=10.1.0.0/16"}),
        (GroupRule("r", "ingress", remote_group_id="unknown"), set()),
        (GroupRule("r", "ingress", remote_cidrs=()), set()),
        (GroupRule("r", "ingress", "IPv4", "dccp", 5, 5), set()),
    ],
)  # fmt: skip
def test_rules(rule: GroupRule, matches: set[str]) -> None:
    found = guarding.group_flows(GroupSpec("g", (rule,)), 3, {"o": ["10.0.0.1", "10.1.0.0/16", "fd00::1"]})
    table, bit = (71, "0x2/0x2") if rule.direction == "ingress" else (61, "0x1/0x1")
    assert found == {f"table={table},priority=10,reg3=0x3,{match}": f"set_field:{bit}->reg4" for match in matches}


def test_a_rule_that_cannot_be_made_says_so() -> None:
    assert "dccp" in guarding.impossible(GroupRule("r", "ingress", "IPv4", "dccp", 5, 5))
    assert not guarding.impossible(GroupRule("r", "ingress", "IPv4", "dccp"))
    with pytest.raises(NetworkDriverError):
        guarding.group_flows(GroupSpec("g", (GroupRule("r", "ingress", "IPv4", "nonsense"),)), 3, {})


def test_a_network_knows_its_members_and_floods_nothing_unknown_to_guarded_ones() -> None:
    guarded, leg, outside = (
        Member(12, "fa:16:3e:00:00:11", guarded=True),
        Member(11, "fa:16:3e:00:00:02"),
        Member(10, None, loose=True),
    )
    found = flows.network_flows(7, [guarded, leg, outside], ["fa:16:3e:00:00:99"], tunnelled=True)
    assert found["table=30,priority=110,reg6=0x7,dl_dst=fa:16:3e:00:00:11"] == flows.reach(guarded)
    assert found["table=30,priority=100,reg6=0x7,dl_dst=fa:16:3e:00:00:99"].startswith("set_field:0x0->reg7,set_field:0x1->reg9")
    assert found["table=33,priority=10,reg9=0,reg6=0x7"] == flows.reach(outside)
    assert found[f"table=30,priority=90,reg6=0x7,{flows.MULTICAST}"].count("resubmit(,40)") == 4
    moving = flows.network_flows(7, [guarded], ["fa:16:3e:00:00:11"], tunnelled=True, away=["fa:16:3e:00:00:11"])
    assert "table=30,priority=110,reg6=0x7,dl_dst=fa:16:3e:00:00:11" not in moving, "it is on its way, and elsewhere still"
    alone = flows.network_flows(7, [guarded], [], tunnelled=False)
    assert not any(match.startswith(("table=0,", "table=33,")) for match in alone)


def test_tunnels_answer_for_remotes_and_let_in_hosts_that_have_the_network() -> None:
    network = NetworkSpec(
        "n", segment=4242, subnets=(SubnetSpec("s", "fd00::/64", 6),),
        remotes=(RemotePort("fa:16:3e:00:00:99", ("10.0.0.9", "fd00::9"), "192.0.2.2"),),
    )  # fmt: skip
    found = tunnelling.network_flows(network, 7)
    answered = found["table=2,priority=100,dl_vlan=7,arp,arp_op=1,arp_tpa=10.0.0.9"]
    assert "set_field:fa:16:3e:00:00:99->arp_sha" in answered
    assert answered.endswith("IN_PORT")
    assert found["table=2,priority=95,dl_vlan=7,arp,arp_op=1"] == "drop"
    assert "nd_target=fd00::9" in "".join(found)
    assert found["table=20,priority=100,dl_vlan=7,dl_dst=fa:16:3e:00:00:99"].endswith("set_field:192.0.2.2->tun_dst,output:2")
    assert "table=0,priority=20,in_port=2,tun_id=0x1092,tun_src=192.0.2.2" in found
    assert tunnelling.network_flows(replace(network, segment=None), 7) == {}


def test_numbers_are_kept_and_come_again_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(numbers.RANGES, "tag", (1, 3))
    given_ = Numbers(tmp_path / "numbers")
    assert [given_.of("tag", name) for name in "abab"] == [1, 2, 1, 2]
    given_.free("tag", "a")
    again = Numbers(tmp_path / "numbers")
    assert [again.of("tag", name) for name in "bcd"] == [2, 3, 1]
    with pytest.raises(NetworkDriverError, match="all 3 numbers"):
        again.of("tag", "e")


def test_meters_are_read_as_they_are_written() -> None:
    listed = "OFPST_METER_CONFIG reply (OF1.5) (xid=0x2):\nmeter=24 kbps burst bands=\ntype=drop rate=1000 burst_size=800\n"
    assert connections.meters(listed) == {24: "kbps,burst,band=type=drop,rate=1000,burst_size=800"}
