"""The attributes of things of which little was said, as use cases take them."""

from typing import Any


def plain_port(network_id: str) -> dict[str, Any]:
    """Return the attributes of a port of which nothing was said."""
    return {
        "network_id": network_id, "name": "", "description": "", "admin_state_up": True, "device_id": "", "device_owner": "",
        "allowed_address_pairs": None, "extra_dhcp_opts": None, "dns_name": "", "binding:host_id": None,
        "binding:vnic_type": "normal", "binding:profile": None, "qos_policy_id": None, "dns_domain": "",
        "propagate_uplink_status": True,
    }  # fmt: skip


def plain_network(name: str) -> dict[str, Any]:
    """Return the attributes of a network of which only the name was said."""
    return {
        "name": name, "description": "", "admin_state_up": True, "shared": False, "router:external": False, "is_default": False,
        "mtu": 0, "port_security_enabled": True, "dns_domain": "", "availability_zone_hints": [], "qos_policy_id": None,
    }  # fmt: skip


def plain_subnet(name: str, network_id: str, cidr: str) -> dict[str, Any]:
    """Return the attributes of an IPv4 subnet of which only the range was said."""
    return {
        "name": name, "description": "", "network_id": network_id, "ip_version": 4, "cidr": cidr, "enable_dhcp": True,
        "ipv6_ra_mode": None, "ipv6_address_mode": None, "dns_nameservers": None, "host_routes": None, "service_types": [],
    }  # fmt: skip


def plain_router(name: str, gateway: dict[str, Any] | None) -> dict[str, Any]:
    """Return the attributes of a router with a gateway."""
    return {
        "name": name, "description": "", "admin_state_up": True, "external_gateway_info": gateway, "availability_zone_hints": [],
        "distributed": None, "ha": None, "flavor_id": None,
    }  # fmt: skip
