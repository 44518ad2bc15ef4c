"""The flows of br-int that know networks and what is in them. Pure.

    0 from where: number in reg0 (guarded: in reg5, too), tag in reg6 | 5 marks | 10, 12 spoofing (`guarding`)
    30 to where: number in reg9 (guarded: in reg7, too) | 31 learned of ports that may send as anybody | 33 nobody is known
    40 what needs no state, and the loop guard | 50, 55 the state of the connection | 60, 61, 65 may it leave its port
    70, 71, 75 may it enter the other | 76 remember the connection | 80 out

A multicast goes through tables 40 to 80 once for each port of its network; a frame for a MAC that nobody has goes to those ports
only that may have MACs of which the cloud does not know.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

Flows = dict[str, str]
"""Actions by match (with table and priority), in the words of ovs-ofctl."""

PATCH = 1  # the number of the way to br-tun
LEARNED = 31
LEARNED_SECONDS, LEARNED_MOST = 300, 4096
MULTICAST = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00"
UNICAST = "dl_dst=00:00:00:00:00:00/01:00:00:00:00:00"
ZONE = "zone=NXM_NX_REG6[0..15]"
VLAN_PRESENT = 0x1000


@dataclass(frozen=True)
class Member:
    """An interface in a network, by its number. `loose`: it may have MACs of which the cloud does not know."""

    number: int
    mac: str | None
    guarded: bool = False
    loose: bool = False


def at(table: int, priority: int, *match: str) -> str:
    """A match."""
    return ",".join([f"table={table}", f"priority={priority}", *match])


def skeleton() -> Flows:
    """What is there whatever the networks."""
    flows = {
        at(5, 0): "resubmit(,10)",
        at(10, 200, "reg5=0"): "resubmit(,30)",
        at(30, 0): f"set_field:0->reg7,set_field:0->reg9,resubmit(,{LEARNED}),resubmit(,33)",
        at(33, 5, "reg9=0"): "drop",
        at(33, 0): "resubmit(,40)",
        at(60, 10, "reg5=0"): "resubmit(,70)",
        at(70, 10, "reg7=0"): "resubmit(,76)",
        at(80, 10, "reg9=0"): "drop",
        at(80, 0): "output:NXM_NX_REG9[0..15]",
    }
    return flows | _stateless() | _state()


def _stateless() -> Flows:
    out, into = "reg7=0", "reg5=0"
    free = ["arp", "icmp6,icmp_type=135", "icmp6,icmp_type=136"]
    free += [f"udp,{out},tp_src=68,tp_dst=67", f"udp,{into},tp_src=67,tp_dst=68"]
    free += [f"udp6,{out},tp_src=546,tp_dst=547", f"udp6,{into},tp_src=547,tp_dst=546"]
    free += [f"icmp6,{out},icmp_type={kind}" for kind in (131, 132, 133, 143)]
    free += [f"icmp6,{into},icmp_type={kind}" for kind in (130, 134)]
    tracked = f"set_field:0->reg4,ct(table=50,{ZONE})"
    return {
        at(40, 110, "reg5=0,reg7=0"): "resubmit(,80)",
        **{at(40, 100, match): "resubmit(,80)" for match in free},
        at(40, 50, "ip"): tracked,
        at(40, 50, "ipv6"): tracked,
    }


def _state() -> Flows:
    flows = {
        at(50, 100, "ct_state=+trk+inv"): "drop",
        at(50, 75, "icmp6,icmp_type=128,ct_state=+trk+est"): "resubmit(,60)",  # the rules are asked each time: see `connections`
        at(65, 30, "reg4=0x1/0x1,icmp6,icmp_type=128"): "resubmit(,70)",
        at(50, 70, "ct_state=+trk+est"): "resubmit(,55)",
        at(50, 70, "ct_state=+trk+rel"): "resubmit(,55)",
        at(50, 60, "ct_state=+trk+new"): "resubmit(,60)",
        at(55, 0): "resubmit(,80)",
        at(65, 20, "reg4=0x1/0x1,ct_state=+trk+est"): "resubmit(,55)",
        at(65, 20, "reg4=0x1/0x1,ct_state=+trk+rel"): "resubmit(,55)",
        at(65, 10, "reg4=0x1/0x1"): "resubmit(,70)",
        at(75, 10, "reg4=0x2/0x2"): "resubmit(,76)",
        at(76, 0): "resubmit(,80)",
    }
    for kind in ("ip", "ipv6"):
        flows[at(76, 20, kind, "ct_state=+trk+rel")] = "resubmit(,80)"
        flows[at(76, 10, kind, "ct_state=+trk+new")] = f"ct(commit,{ZONE}),resubmit(,80)"
    return flows


def network_flows(
    tag: int, members: Iterable[Member], remote_macs: Iterable[str] = (), tunnelled: bool = False, away: Collection[str] = ()
) -> Flows:
    """Where frames of a network go. `remote_macs` are on other hosts, of which the network has any if it is `tunnelled`.

    :param away: those of them that a member has, too: of guests on their way to this host, or on their way from it.
    """
    every = sorted(members, key=lambda member: member.number)
    here = f"reg6={tag:#x}"
    flows = {at(30, 100, here, f"dl_dst={mac}"): reach(Member(PATCH, None)) for mac in remote_macs}
    present = [member for member in every if member.mac and member.mac not in away]
    flows |= {at(30, 110, here, f"dl_dst={member.mac}"): reach(member) for member in present}
    ways = [reach(member) for member in every]
    if tunnelled:
        ways.append(reach(Member(PATCH, None)))
        tagged = f"push_vlan:0x8100,set_field:{VLAN_PRESENT | tag}->vlan_vid,output:{PATCH}"
        flows[at(80, 100, f"reg9={PATCH:#x}", here)] = f"clone({tagged})"
        entered = f"pop_vlan,{origin(PATCH, tag, guarded=False)},resubmit(,30)"
        flows[at(0, 100, f"in_port={PATCH}", f"dl_vlan={tag}")] = entered
    flows[at(30, 90, here, MULTICAST)] = ",".join(ways) or "drop"
    if loose := [reach(member) for member in every if member.loose]:
        flows[at(33, 10, "reg9=0", here)] = ",".join(loose)
    return flows


def reach(member: Member) -> str:
    """Have the frame judged as one for a member."""
    return f"set_field:{member.number if member.guarded else 0:#x}->reg7,set_field:{member.number:#x}->reg9,resubmit(,40)"


def origin(number: int, tag: int, guarded: bool) -> str:
    """Know the frame as one of a number."""
    return f"set_field:{number:#x}->reg0,set_field:{number if guarded else 0:#x}->reg5,set_field:{tag:#x}->reg6"


def learn(number: int, guarded: bool) -> str:
    """Remember for a while that the sender of a frame is at a number."""
    return (
        f"learn(table={LEARNED},idle_timeout={LEARNED_SECONDS},priority=10,cookie={number:#x},limit={LEARNED_MOST},"
        f"NXM_NX_REG6[],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],"
        f"load:{number if guarded else 0:#x}->NXM_NX_REG7[0..15],load:{number:#x}->NXM_NX_REG9[0..15])"
    )


def leg_flows(number: int, tag: int, mac: str | None) -> Flows:
    """What comes out of a leg of DHCP or a router, or of the outside (no MAC: anybody is there)."""
    words = [origin(number, tag, guarded=False)]
    words += [] if mac else [learn(number, guarded=False)]
    return {at(0, 100, f"in_port={number}", "vlan_tci=0x0000/0x1fff"): ",".join([*words, "resubmit(,30)"])}
