"""The flows of br-tun: between the tags of this host and the tunnels, as unicast to the host where a MAC is. Pure.

    0 from br-int to 2, from the tunnel (of a network on a host that has it) to br-int
    2 questions for addresses are answered on the spot (ARP) or sent to the one who has it (IPv6) | 20 out to the host of a MAC

What is not known goes nowhere; router discovery of IPv6 alone is told to every host that has the network.
"""

from ipaddress import ip_address

from pileus.network.driver import NetworkSpec, RemotePort
from pileus.network.drivers.linux.names import checked_ip, checked_mac
from pileus.network.drivers.linux.tunnels import ROUTERS_AND_NODES
from pileus.network.drivers.ovs.flows import VLAN_PRESENT, Flows, at

PATCH, TUNNEL = 1, 2  # numbers in br-tun


def skeleton() -> Flows:
    """What is there whatever the networks."""
    return {at(0, 10, f"in_port={PATCH}"): "resubmit(,2)", at(2, 0): "resubmit(,20)"}


def network_flows(network: NetworkSpec, tag: int) -> Flows:
    """Where frames of a network go; none for a network that is on this host only."""
    if network.segment is None or network.external or not network.admin_up:
        return {}
    here, flows = f"dl_vlan={tag}", {}
    hosts = sorted({checked_ip(remote.host) for remote in network.remotes})
    for host in hosts:
        entered = f"push_vlan:0x8100,set_field:{VLAN_PRESENT | tag}->vlan_vid,output:{PATCH}"
        flows[at(0, 20, f"in_port={TUNNEL}", f"tun_id={network.segment:#x}", f"tun_src={host}")] = entered
    for remote in network.remotes:
        flows |= _remote(remote, network.segment, here)
    flows[at(2, 95, here, "arp,arp_op=1")] = "drop"
    if any(":" in subnet.cidr for subnet in network.subnets) and hosts:
        everywhere = ",".join(f"set_field:{host}->tun_dst,output:{TUNNEL}" for host in hosts)
        for mac in ROUTERS_AND_NODES:
            flows[at(20, 100, here, f"dl_dst={mac}")] = f"pop_vlan,set_field:{network.segment:#x}->tun_id,{everywhere}"
    return flows


def remote_macs(network: NetworkSpec) -> list[str]:
    """The MACs of a network that are on other hosts."""
    return sorted({checked_mac(remote.mac) for remote in network.remotes})


def _remote(remote: RemotePort, segment: int, here: str) -> Flows:
    mac = checked_mac(remote.mac)
    way = f"set_field:{segment:#x}->tun_id,set_field:{checked_ip(remote.host)}->tun_dst,output:{TUNNEL}"
    flows = {at(20, 100, here, f"dl_dst={mac}"): f"pop_vlan,{way}"}
    for text in remote.ips:
        ip = ip_address(text)
        if ip.version == 6:
            match = at(2, 100, here, f"icmp6,icmp_type=135,nd_target={ip}")
            flows[match] = f"set_field:{mac}->eth_dst,resubmit(,20)"
        else:
            flows[at(2, 100, here, f"arp,arp_op=1,arp_tpa={ip}")] = (
                f"move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:{mac}->eth_src,set_field:2->arp_op,"
                f"move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],"
                f"set_field:{mac}->arp_sha,set_field:{ip}->arp_spa,IN_PORT"
            )
    return flows
