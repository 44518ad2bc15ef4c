"""DHCP, DNS and the metadata address of a network: a namespace with one veth end and one dnsmasq.

dnsmasq serves known ports only. Its configuration changes with the network's subnets and restarts it (20 ms); ports that come and
go are a file it reads again. An address whose port is gone is released in the port's name, so that the next port can have it.
"""

import os
import re
import socket
import struct
from ipaddress import IPv4Interface, ip_address, ip_network
from pathlib import Path

from pileus.network.driver import DhcpHost, NetworkSpec, SubnetSpec
from pileus.network.drivers.linux.names import checked_ip, checked_mac, plain, short
from pileus.network.drivers.linux.process import Dnsmasq

METADATA_V4 = "169.254.169.254"
METADATA_V6 = "fe80::a9fe:a9fe"
LEASE_SECONDS = 86400
_TAG = "set:p"


def device(network: NetworkSpec) -> str:
    """The interface inside the DHCP namespace."""
    return f"d-{short(network.id)}"


def addresses(network: NetworkSpec) -> list[str]:
    """The addresses of that interface with prefix."""
    found = [f"{METADATA_V4}/32", f"{METADATA_V6}/64"]
    for text in network.dhcp.ips if network.dhcp else ():
        subnet = _subnet_of(text, network.subnets)
        found.append(f"{text}/{ip_network(subnet.cidr).prefixlen if subnet else 32 if '.' in text else 128}")
    return found


def default_gateways(network: NetworkSpec) -> list[str]:
    """Next hops for what dnsmasq itself asks outside, one an IP version."""
    own = network.dhcp.ips if network.dhcp else ()
    gateways: dict[int, str] = {}
    for subnet in network.subnets:
        if subnet.gateway_ip and any(_subnet_of(ip, (subnet,)) for ip in own):
            gateways.setdefault(subnet.ip_version, subnet.gateway_ip)
    return list(gateways.values())


class DhcpServer:
    """The dnsmasq of one network; `resolvers` are asked for names that are not of the network."""

    def __init__(self, directory: Path, resolvers: tuple[str, ...]) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._resolvers = resolvers
        self.process = Dnsmasq(directory)

    def write(self, network: NetworkSpec) -> bool:
        """Write what is read again at a reload, and see to it that this happens: dnsmasq is stopped if it cannot be asked to.

        (dnsmasq 2.90 crashes at a reload if a port of the file has a tag and a lease, so only ports with extra options have one.)
        """
        texts = {"hosts": _hosts(network), "options": _options(network), "names": _names(network)}
        changed = tagged = False
        for name, lines in texts.items():
            file, text = self._directory / name, "".join(f"{line}\n" for line in lines)
            before = file.read_text() if file.exists() else None
            tagged = tagged or (name == "hosts" and _TAG in (before or ""))
            if before != text:
                temporary = file.with_suffix(".new")
                temporary.write_text(text)
                temporary.replace(file)
                changed = True
        if changed and tagged:
            self.process.stop()
        return changed

    def configuration(self, network: NetworkSpec) -> list[str]:
        """The lines of dnsmasq's configuration file."""
        assert network.dhcp
        domain = _word(network.dhcp.dns_domain.rstrip(".")) or "novalocal"
        lines = [
            *("no-hosts", "no-resolv", "bind-interfaces", "except-interface=lo", "dhcp-authoritative", "no-ping", "user=root"),
            *("dhcp-ignore-clid", "dhcp-no-override", "quiet-dhcp", "quiet-dhcp6", "quiet-ra", "domain-needed", "bogus-priv"),
            f"interface={device(network)}",
            f"domain={domain}",
            f"local=/{domain}/",
            f"dhcp-hostsfile={self._directory / 'hosts'}",
            f"dhcp-optsfile={self._directory / 'options'}",
            f"addn-hosts={self._directory / 'names'}",
            f"dhcp-leasefile={self._leases}",
            "dhcp-lease-max=65536",
            f"dhcp-option-force=option:mtu,{network.mtu}",
            "log-facility=" + str(self._directory / "log"),
        ]
        lines += [f"server={checked_ip(resolver)}" for resolver in self._resolvers]
        for subnet in _served(network):
            tag, cidr = f"set:s{plain(subnet.id)}", ip_network(subnet.cidr)
            if subnet.ip_version == 4:
                lines.append(f"dhcp-range={tag},{cidr.network_address},static,{cidr.netmask},{LEASE_SECONDS}s")
            elif subnet.address_mode == "dhcpv6-stateful":
                lines.append(f"dhcp-range={tag},{cidr.network_address},static,{max(cidr.prefixlen, 64)},{LEASE_SECONDS}s")
            elif subnet.address_mode == "dhcpv6-stateless":
                lines.append(f"dhcp-range={tag},{cidr.network_address},ra-stateless,{max(cidr.prefixlen, 64)}")
        return lines

    def release(self, network: NetworkSpec, before: NetworkSpec) -> bool:
        """Give back the leases of ports that are gone: by a release (v4, inside the namespace), or out of the file (v6).

        Returns whether dnsmasq must be restarted for it.
        """
        kept = {(host.mac, ip) for host in network.hosts for ip in host.ips}
        gone = {(host.mac, ip) for host in before.hosts for ip in host.ips} - kept
        if not gone or not self._leases.exists():
            return False
        leases = self._leases.read_text().splitlines()
        leased = {ip_address(fields[2]).compressed for line in leases if len(fields := line.split()) >= 5}
        for mac, ip in gone:
            server = _server_for(ip, network)
            if ip in leased and server and "." in ip:
                _send_release(device(network), server, mac, ip)
        return any(ip in leased and ":" in ip for _, ip in gone)

    def forget_leases(self, network: NetworkSpec) -> None:
        """Take out of the file (dnsmasq is not running) the leases of addresses that no port has."""
        known = {checked_ip(ip) for host in network.hosts for ip in host.ips}
        lines = self._leases.read_text().splitlines() if self._leases.exists() else []
        kept = [line for line in lines if len(fields := line.split()) < 5 or fields[2] in known]
        self._leases.write_text("".join(f"{line}\n" for line in kept))

    @property
    def _leases(self) -> Path:
        return self._directory / "leases"


def _served(network: NetworkSpec) -> list[SubnetSpec]:
    return [subnet for subnet in network.subnets if subnet.enable_dhcp]


def _subnet_of(ip: str, subnets: tuple[SubnetSpec, ...] | list[SubnetSpec]) -> SubnetSpec | None:
    return next((subnet for subnet in subnets if ip_address(ip) in ip_network(subnet.cidr)), None)


def _server_for(ip: str, network: NetworkSpec) -> str | None:
    subnet = _subnet_of(ip, network.subnets)
    own = network.dhcp.ips if network.dhcp else ()
    return next((server for server in own if subnet and ip_address(server) in ip_network(subnet.cidr)), None)


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "", text)


def _hosts(network: NetworkSpec) -> list[str]:
    served = _served(network)
    lines = []
    for host in network.hosts:
        for ip in host.ips:
            subnet = _subnet_of(ip, served)
            if subnet is None or (subnet.ip_version == 6 and subnet.address_mode != "dhcpv6-stateful"):
                continue
            address = f"[{checked_ip(ip)}]" if ":" in ip else checked_ip(ip)
            tag = f"{_TAG}{plain(host.port_id)}," if host.options else ""
            lines.append(f"{checked_mac(host.mac)},{tag}{address},{_hostname(host, ip)}")
    return lines


def _hostname(host: DhcpHost, ip: str) -> str:
    name = re.sub(r"[^a-z0-9-]", "-", host.hostname.partition(".")[0].lower()).strip("-")[:63]
    return name or "host-" + checked_ip(ip).replace(".", "-").replace("::", "-").replace(":", "-").strip("-")


def _names(network: NetworkSpec) -> list[str]:
    assert network.dhcp
    domain = _word(network.dhcp.dns_domain.rstrip(".")) or "novalocal"
    lines = []
    for host in network.hosts:
        own = _word(host.domain)
        for ip in host.ips:
            name = _hostname(host, ip)
            lines.append(f"{checked_ip(ip)}\t{name}.{domain} {name}" + (f" {name}.{own}" if own and own != domain else ""))
    return lines


def _options(network: NetworkSpec) -> list[str]:
    lines = []
    for subnet in _served(network):
        tag, server = f"tag:s{plain(subnet.id)}", _server_for(str(ip_network(subnet.cidr)[0]), network)
        dns = [checked_ip(ip) for ip in subnet.dns_nameservers] or ([server] if server else [])
        if subnet.ip_version == 6:
            lines += [f"{tag},option6:dns-server,{','.join(f'[{ip}]' for ip in dns)}"] if dns else []
            continue
        lines.append(f"{tag},option:dns-server,{','.join(dns)}" if dns else f"{tag},option:dns-server")
        routes = [(str(ip_network(route.destination)), checked_ip(route.nexthop)) for route in subnet.host_routes]
        if server and not any(destination.startswith(METADATA_V4) for destination, _ in routes):
            routes.append((f"{METADATA_V4}/32", server))
        if subnet.gateway_ip:
            routes.append(("0.0.0.0/0", checked_ip(subnet.gateway_ip)))
            lines.append(f"{tag},option:router,{checked_ip(subnet.gateway_ip)}")
        else:
            lines.append(f"{tag},option:router")
        flat = ",".join(f"{destination},{nexthop}" for destination, nexthop in routes)
        if flat:
            lines += [f"{tag},option:classless-static-route,{flat}", f"{tag},249,{flat}"]
    return lines + [line for host in network.hosts for line in _extra_options(host)]


def _extra_options(host: DhcpHost) -> list[str]:
    lines = []
    for option in host.options:
        name, value = _word(option.name), re.sub(r"[\x00-\x1f\x7f]", "", option.value)
        family = "option6" if option.ip_version == 6 else "option"
        lines.append(
            f"tag:p{plain(host.port_id)},{family}:{name},{value}"
            if not (name.isdecimal() and family == "option")
            else f"tag:p{plain(host.port_id)},{name},{value}"
        )
    return lines


def _send_release(interface: str, server: str, mac: str, ip: str) -> None:
    """A DHCPRELEASE (RFC 2131, 4.4.6) in the name of a client that cannot send one any more."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    head = struct.pack("!BBBB4sHH", 1, 1, 6, 0, os.urandom(4), 0, 0)
    packet = head + IPv4Interface(ip).packed + bytes(12) + hardware.ljust(16, b"\0") + bytes(192)
    packet += b"\x63\x82\x53\x63" + b"\x35\x01\x07" + b"\x36\x04" + IPv4Interface(server).packed + b"\xff"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        sender.sendto(packet, (server, 67))
