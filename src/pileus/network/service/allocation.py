"""How a port comes by its MAC and its addresses, and how its rows are written.

An address is chosen among those that are free; that nobody else gets it is held by the table, and who loses the race chooses
again in a new transaction (`access.transact`).
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud
from pileus.kernel.errors import BadRequest
from pileus.network import addressing
from pileus.network.errors import bad_attribute, conflict, invalid
from pileus.network.store import ports as store
from pileus.network.store import rows
from pileus.network.store.records import Fixed, Network, Port, Subnet
from pileus.network.store.routers import GATEWAY, INTERFACE
from pileus.network.tables import ports

FIXED_IPS_MAX = 20


def by_itself(subnet: Subnet) -> bool:
    """Tell whether hosts in a subnet make their address themselves."""
    return addressing.by_itself(subnet.ipv6_ra_mode, subnet.ipv6_address_mode)


def free_address(tx: Connection, subnet: Subnet, taken: Sequence[str] = (), *, first: bool = False) -> str | None:
    """Choose a free address out of a subnet's pools, or None when all are taken.

    Small pools are looked at whole; of large ones a few at random, and only when all of those are taken, the whole.

    :param first: choose the first one that is free.
    """
    pools = [(int(addressing.address(pool[0])), int(addressing.address(pool[1]))) for pool in subnet.allocation_pools]
    version = subnet.ip_version
    if addressing.size(pools) > addressing.SMALL and not first:
        some = [addressing.show(number, version) for number in addressing.sample(pools, 12)]
        used = store.used_addresses(tx, subnet.id, some) | set(taken)
        if found := next((ip for ip in some if ip not in used), None):
            return found
    every = {int(addressing.address(ip)) for ip in store.used_addresses(tx, subnet.id) | set(taken)}
    number = addressing.free(pools, every, 1 if first else 10)
    return None if number is None else addressing.show(number, version)


def choose(tx: Connection, network: Network, subnets: Sequence[Subnet], mac: str, owner: str = "") -> list[Fixed]:
    """Choose a port's addresses where none were asked for: one of each IP version, and those that it makes itself.

    :raises Conflict: when no address is free.
    """
    made = [Fixed(s.id, addressing.eui64(addressing.network(s.cidr), mac)) for s in subnets if by_itself(s)]
    if owner in (GATEWAY, INTERFACE):
        made = []
    chosen: list[Fixed] = []
    for version in (4, 6):
        given = [s for s in subnets if s.ip_version == version and (not by_itself(s) or owner in (GATEWAY, INTERFACE))]
        given = [s for s in given if owner in s.service_types] or [s for s in given if not s.service_types]
        for subnet in given:
            if ip := free_address(tx, subnet):
                chosen.append(Fixed(subnet.id, ip))
                break
        if given and not any(f.subnet_id == s.id for f in chosen for s in given):
            raise exhausted(network.id)
    return chosen + made


def exhausted(network_id: str) -> Exception:
    """No address is left."""
    return conflict("IpAddressGenerationFailure", f"No more IP addresses available on network {network_id}.")


def resolve(
    tx: Connection, network: Network, subnets: Sequence[Subnet], wanted: Sequence[dict[str, str]], mac: str,
    owner: str = "", kept: Sequence[Fixed] = (),
) -> list[Fixed]:  # fmt: skip
    """Turn the fixed IPs asked for (each with `subnet_id`, `ip_address` or both) into addresses.

    :param kept: the addresses that the port has already.
    :raises BadRequest: when an address is not of the network.
    :raises Conflict: when it is taken, or none is free.
    """
    if len(wanted) > FIXED_IPS_MAX:
        raise invalid("Exceeded maximum amount of fixed ips per port.")
    chosen: list[Fixed] = []
    held = {(f.subnet_id, f.ip_address) for f in kept}
    for want in wanted:
        subnet = _subnet_for(network, subnets, want)
        ip = want.get("ip_address")
        if ip is not None:
            ip = _check_wanted(tx, network, subnet, str(addressing.address(ip)), mac, owner, held)
        elif by_itself(subnet) and owner not in (GATEWAY, INTERFACE):
            ip = addressing.eui64(addressing.network(subnet.cidr), mac)
        else:
            before = next((f.ip_address for f in kept if f.subnet_id == subnet.id and f not in chosen), None)
            ip = before or free_address(tx, subnet, [f.ip_address for f in chosen])
        if ip is None:
            raise exhausted(network.id)
        fixed = Fixed(subnet.id, ip)
        if fixed in chosen:
            raise bad_attribute("fixed_ips", f"Duplicate IP address '{ip}'")
        chosen.append(fixed)
    return chosen


def _subnet_for(network: Network, subnets: Sequence[Subnet], want: dict[str, str]) -> Subnet:
    ip, subnet_id = want.get("ip_address"), want.get("subnet_id")
    if subnet_id is not None:
        found = next((s for s in subnets if s.id == subnet_id), None)
        if found is None:
            text = f"Failed to create port on network {network.id}, because fixed_ips included invalid subnet {subnet_id}."
            raise invalid(text.rstrip("."))
        if ip is not None and addressing.address(ip) not in addressing.network(found.cidr):
            raise invalid(f"IP address {ip} is not a valid IP for the specified subnet.", "InvalidIpForSubnet")
        return found
    if ip is None:
        raise invalid("IP allocation requires subnet_id or ip_address")
    found = next((s for s in subnets if addressing.address(ip) in addressing.network(s.cidr)), None)
    if found is None:
        text = f"IP address {ip} is not a valid IP for any of the subnets on the specified network."
        raise invalid(text, "InvalidIpForNetwork")
    return found


def _check_wanted(
    tx: Connection, network: Network, subnet: Subnet, ip: str, mac: str, owner: str, held: set[tuple[str, str]]
) -> str:
    net = addressing.network(subnet.cidr)
    router = owner in (GATEWAY, INTERFACE)
    if by_itself(subnet) and not router and ip != addressing.eui64(net, mac):
        raise invalid(
            f"IPv6 address {ip} can not be directly assigned to a port on subnet {subnet.id} "
            "since the subnet is configured for automatic addresses"
        )
    first, last = addressing.bounds(net)
    if not (first <= int(addressing.address(ip)) <= last) and not (net.version == 6 and router):
        raise invalid(f"IP address {ip} is not a valid IP for the specified subnet.", "InvalidIpForSubnet")
    if (subnet.id, ip) not in held and store.used_addresses(tx, subnet.id, [ip]):
        raise conflict("IpAddressAlreadyAllocated", f"IP address {ip} already allocated in subnet {subnet.id}")
    return ip


def choose_mac(tx: Connection, network_id: str, wanted: str | None) -> str:
    """Return the MAC of a new port.  :raises Conflict: when the one asked for is taken."""
    if wanted is None:
        return ids.mac()  # the table holds that it is the only one
    if store.mac_taken(tx, network_id, wanted):
        text = f"Unable to complete operation for network {network_id}. The mac address {wanted} is in use."
        raise conflict("MacAddressInUse", text)
    return wanted


def write_port(
    tx: Connection, cloud: Cloud, network: Network, project_id: str, fixed: Sequence[Fixed], mac: str,
    group_ids: Sequence[str] = (), **values: Any,
) -> Port:  # fmt: skip
    """Write a port's rows; values replace the defaults of its columns."""
    row = {
        "id": ids.uuid(), "project_id": project_id, "name": "", "description": "", "network_id": network.id,
        "mac_address": mac, "admin_state_up": True, "status": "DOWN", "device_id": "", "device_owner": "",
        "port_security_enabled": network.port_security_enabled, "allowed_address_pairs": [], "extra_dhcp_opts": [],
        "dns_name": "", "host_id": "", "vnic_type": "normal", "profile": {}, "qos_policy_id": None, "dns_domain": "",
        "propagate_uplink_status": True, **values,
    }  # fmt: skip
    row = rows.insert_row(tx, ports, cloud.clock.now(), row)
    store.set_addresses(tx, row["id"], fixed, fresh=True)
    store.set_groups(tx, row["id"], group_ids, fresh=True)
    return Port(**row, fixed_ips=tuple(fixed), security_groups=tuple(sorted(group_ids)))


def service_port(
    tx: Connection, cloud: Cloud, network: Network, subnets: Sequence[Subnet], owner: str, device_id: str,
    wanted: Sequence[dict[str, str]] | None = None, project_id: str = "",
) -> Port:  # fmt: skip
    """Make a port of the network's own: a router's leg, DHCP, a floating IP."""
    mac = ids.mac()
    if wanted:
        fixed = resolve(tx, network, subnets, wanted, mac, owner)
    elif owner == "network:floatingip" and not subnets:
        raise BadRequest(f"Bad floatingip request: Network {network.id} does not contain any IPv4 subnet.", kind="BadRequest")
    else:
        fixed = choose(tx, network, subnets, mac, owner)
    more: dict[str, Any] = {"port_security_enabled": False, "device_owner": owner, "device_id": device_id}
    return write_port(tx, cloud, network, project_id, fixed, mac, **more)
