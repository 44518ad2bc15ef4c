"""The network service: networks, subnets, ports, routers, floating IPs and security groups, and the drivers that make them real."""
