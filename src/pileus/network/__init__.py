"""The network service: networks, subnets, ports, routers, floating IPs, security groups, and the drivers that make them real."""
