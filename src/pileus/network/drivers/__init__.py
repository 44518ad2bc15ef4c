"""Drivers that make the networking of one host: `fake` in memory, `linux` with bridges, namespaces, nftables and dnsmasq."""
