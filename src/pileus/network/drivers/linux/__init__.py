"""The Linux driver: bridges and taps in one namespace, DHCP and routers in namespaces of their own, nftables and dnsmasq.

Drawing of one host, where PREFIX is the name of the cloud::

    the machine's namespace            namespace PREFIX                      namespace PREFIX-dhcp-<network>
      PREFIX-up 172.24.4.1/24 ===veth=== v-x0 --+                              d-<network>: dnsmasq, 169.254.169.254
      table PREFIX: masquerade                 br-<public>                        || veth
                                                |                             namespace PREFIX-rtr-<router>
                                             v-r<port> ===veth===               g-<port>: SNAT, floating IPs
                                             v-r<port> ===veth===               r-<port>: 10.0.0.1
                                                |
                                             br-<network> -- v-d<network> (to DHCP), tap... (guests)

All state that outlives the process is in the kernel; the state directory remembers which spec it was made from.
"""
