"""The Open vSwitch driver: one switch in the host namespace instead of a bridge for each network.

Drawing of one host, where PREFIX is the name of the cloud (DHCP and routers are those of the Linux driver)::

    the machine's namespace        namespace PREFIX (ovsdb-server and ovs-vswitchd run here)
      PREFIX-up ======veth======== v-x0 --+
                                          |        v-d<network> === namespace PREFIX-dhcp-<network>
                                   br-int +------- v-r<port>    === namespace PREFIX-rtr-<router>
                                          |        tap... (guests)
                                          | patch-tun / patch-int
                                   br-tun +------- tunnel (VXLAN or GRE, to any host)
      PREFIX-phy =====veth======== v-phy - br-phy (address and MAC of the machine's own interface)
      eth0: nftables hand packets of tunnels over to PREFIX-phy, and back

Which frames go where is in the flows, computed from the specs by pure functions (`flows`, `guarding`, `tunnelling`). Networks
have a VLAN tag that is this host's own, ports a number; both are remembered in the state directory.
"""
