"""What a guest is told of itself, in OpenStack's form and in EC2's; the same by network and on a config drive.

Pure: out of facts at hand.  Formats: nova's "metadata service" and "vendordata" user guides, cloud-init's description of
network_data.json, and Amazon's instance metadata categories.
"""

import base64
import binascii
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from pileus.compute.block_devices import local_name
from pileus.compute.neighbours.network import Address, Nic
from pileus.kernel import ids

FOLSOM, GRIZZLY, HAVANA, LIBERTY, NEWTON, NEWTON_2, OCATA, ROCKY, VICTORIA = OPENSTACK_VERSIONS = (
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27", "2020-10-14",
)  # fmt: skip
EC2_VERSIONS = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01", "2009-04-04",
)  # fmt: skip

Tree = Mapping[str, Any] | bytes | str


@dataclass(frozen=True)
class Facts:
    """All that is told of a server; server is its row, volumes are those of its volumes."""

    server: Any
    nics: Sequence[Nic]
    domain: str = ""
    admin_password: str = ""
    volumes: Sequence[Any] = ()

    @property
    def hostname(self) -> str:
        """The full name."""
        name: str = self.server.hostname
        return f"{name}.{self.domain}" if self.domain and "." not in name else name

    @property
    def user_data(self) -> bytes | None:
        """What the user gave, decoded."""
        if self.server.user_data is None:
            return None
        try:
            return base64.b64decode(self.server.user_data)
        except (binascii.Error, ValueError):
            return b""


def meta_data(facts: Facts, version: str) -> dict[str, Any]:
    """Return meta_data.json as it is in a version."""
    server = facts.server
    found: dict[str, Any] = {"uuid": server.id}
    if server.metadata:
        found["meta"] = server.metadata
    if facts.admin_password:
        found["admin_pass"] = facts.admin_password
    if server.personality:
        files = enumerate(server.personality)
        found["files"] = [{"path": path, "content_path": f"/content/{number:04}"} for number, (path, _) in files]
    if server.key_name:
        found["public_keys"] = {server.key_name: server.key_public}
        found["keys"] = [{"name": server.key_name, "type": server.key_type or "ssh", "data": server.key_public}]
    found |= {
        "hostname": facts.hostname,
        "name": server.name,
        "launch_index": server.launch_index,
        "availability_zone": server.availability_zone or "nova",
    }
    if version >= GRIZZLY:
        found["random_seed"] = base64.b64encode(ids.secret(384).encode()).decode()
    if version >= LIBERTY:
        found["project_id"] = server.project_id
    if version >= NEWTON:
        found["devices"] = _devices(facts)
    if version >= VICTORIA:
        found["dedicated_cpus"] = []
    return found


def _devices(facts: Facts) -> list[dict[str, Any]]:
    by_port = {nic.port_id: nic for nic in facts.nics}
    nics = [
        {"type": "nic", "bus": "none", "address": "none", "mac": by_port[nic["port_id"]].mac, "tags": [nic["tag"]]}
        for nic in facts.server.nics
        if nic.get("tag") and nic["port_id"] in by_port
    ]
    local = [
        {"type": "disk", "bus": "none", "address": "none", "serial": "", "path": local_name(disk, number), "tags": [disk["tag"]]}
        for number, disk in enumerate(facts.server.disks)
        if disk.get("tag")
    ]
    return [*nics, *local, *(_volume(row) for row in facts.volumes if row.tag)]


def _volume(row: Any) -> dict[str, Any]:
    told = {"type": "disk", "bus": "none", "address": "none", "serial": row.volume_id, "path": row.device_name}
    return {**told, "tags": [row.tag]}


def network_data(facts: Facts) -> dict[str, Any]:
    """Return network_data.json."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, str]] = []
    for number, nic in enumerate(facts.nics):
        link = nic.tap or f"nic{number}"
        links.append({
            "id": link, "vif_id": nic.port_id, "type": nic.vif_type, "mtu": nic.mtu, "ethernet_mac_address": nic.mac,
        })  # fmt: skip
        for address in nic.addresses:
            networks.append(_network(address, f"network{len(networks)}", link, nic))
            services += [{"type": "dns", "address": server} for server in address.dns]
    return {"links": links, "networks": networks, "services": [s for i, s in enumerate(services) if s not in services[:i]]}


def _network(address: Address, id: str, link: str, nic: Nic) -> dict[str, Any]:
    found: dict[str, Any] = {"id": id, "link": link, "network_id": nic.network_id}
    if address.mode == "dhcp4":
        return {**found, "type": "ipv4_dhcp"}
    network = ipaddress.ip_network(address.cidr)
    any_, mask = ("::", str(network.netmask)) if address.version == 6 else ("0.0.0.0", str(network.netmask))
    routes = [
        {"network": str(to.network_address), "netmask": str(to.netmask), "gateway": via}
        for to, via in ((ipaddress.ip_network(to), via) for to, via in address.routes)
    ]
    if address.gateway:
        routes.append({"network": any_, "netmask": any_, "gateway": address.gateway})
    kind = {"slaac": "ipv6_slaac", "dhcpv6-stateless": "ipv6_dhcpv6-stateless", "dhcpv6-stateful": "ipv6_dhcpv6-stateful"}
    told = {**found, "type": kind.get(address.mode, f"ipv{address.version}"), "ip_address": address.ip, "netmask": mask}
    return {**told, "routes": routes, "services": [{"type": "dns", "address": server} for server in address.dns]}


def openstack(facts: Facts, version: str) -> dict[str, Tree]:
    """Return the files of a version of OpenStack's form, by name."""
    found: dict[str, Tree] = {"meta_data.json": _json(meta_data(facts, version))}
    if facts.user_data is not None:
        found["user_data"] = facts.user_data
    if version >= GRIZZLY:
        found["password"] = facts.server.password
    if version >= HAVANA:
        found["vendor_data.json"] = b"{}"
    if version >= LIBERTY:
        found["network_data.json"] = _json(network_data(facts))
    if version >= NEWTON_2:
        found["vendor_data2.json"] = b'{"static":{}}'
    return found


def ec2(facts: Facts, version: str) -> dict[str, Tree]:
    """Return the tree of a version of EC2's form."""
    server = facts.server
    fixed = [a.ip for nic in facts.nics for a in nic.addresses if a.version == 4]
    floating = [a.floating for nic in facts.nics for a in nic.addresses if a.floating]
    groups = sorted({name for nic in facts.nics for name in nic.groups})
    tree: dict[str, Tree] = {
        "ami-id": ec2_id("ami", server.image_id or server.id),
        "ami-launch-index": str(server.launch_index),
        "ami-manifest-path": "",
        "hostname": facts.hostname,
        "instance-id": ec2_id("i", server.id),
        "local-ipv4": fixed[0] if fixed else "",
        "reservation-id": server.reservation_id,
        "security-groups": "\n".join(groups),
    }
    if server.key_name:
        tree["public-keys"] = {"0": {"_name": f"0={server.key_name}", "openssh-key": server.key_public}}
    if _since(version, "2007-01-19"):
        tree |= {
            "local-hostname": facts.hostname,
            "public-hostname": facts.hostname,
            "public-ipv4": floating[0] if floating else "",
        }
    if _since(version, "2007-08-29"):
        tree["instance-type"] = server.flavor["name"]
    if _since(version, "2007-12-15"):
        tree["block-device-mapping"] = _mapping(facts)
    if _since(version, "2008-02-01"):
        tree["placement"] = {"availability-zone": server.availability_zone or "nova"}
    if _since(version, "2008-09-01"):
        tree["instance-action"] = "none"
    found: dict[str, Tree] = {"meta-data": tree}
    if facts.user_data is not None:
        found["user-data"] = facts.user_data
    return found


def ec2_id(prefix: str, uuid: str) -> str:
    """Return the id under which EC2 knows a thing: always the same for one UUID."""
    return f"{prefix}-{blake2b(uuid.encode(), digest_size=4).hexdigest()}"


def _mapping(facts: Facts) -> dict[str, str]:
    root = next((row.device_name for row in facts.volumes if row.boot_index == 0), "/dev/vda")
    found, ephemerals = {"ami": root.removeprefix("/dev/"), "root": root}, 0
    for number, disk in enumerate(facts.server.disks):
        if disk["kind"] != "blank":
            continue
        name = local_name(disk, number).removeprefix("/dev/")
        if disk.get("swap"):
            found["swap"] = name
        else:
            found[f"ephemeral{ephemerals}"] = name
            ephemerals += 1
    others = [row for row in facts.volumes if row.boot_index != 0]
    return found | {f"ebs{number}": row.device_name.removeprefix("/dev/") for number, row in enumerate(others)}


def _since(version: str, first: str) -> bool:
    return EC2_VERSIONS.index(version) >= EC2_VERSIONS.index(first)


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def config_drive(facts: Facts) -> dict[str, bytes]:
    """Return the files of a config drive, by path."""
    found: dict[str, bytes] = {}
    for version in (*OPENSTACK_VERSIONS, "latest"):
        files = openstack(facts, OPENSTACK_VERSIONS[-1] if version == "latest" else version)
        found |= {f"openstack/{version}/{name}": _bytes(content) for name, content in files.items() if name != "password"}
    for number, (_, content) in enumerate(facts.server.personality or ()):
        found[f"openstack/content/{number:04}"] = base64.b64decode(content)
    for version in (EC2_VERSIONS[-1], "latest"):
        tree = ec2(facts, EC2_VERSIONS[-1])
        found[f"ec2/{version}/meta-data.json"] = _json(tree["meta-data"])
        if "user-data" in tree:
            found[f"ec2/{version}/user-data"] = _bytes(tree["user-data"])
    return found


def _bytes(content: Tree) -> bytes:
    return content if isinstance(content, bytes) else str(content).encode()


def walk(tree: Tree, path: Sequence[str]) -> bytes | None:
    """Return what stands at a path of a tree: a leaf's content, a branch's listing, or None."""
    for word in path:
        if not isinstance(tree, Mapping) or word not in tree or word == "_name":
            return None
        tree = tree[word]
    if not isinstance(tree, Mapping):
        return _bytes(tree)
    lines = []
    for name, below in sorted(tree.items()):
        if isinstance(below, Mapping) and "_name" in below:
            lines.append(str(below["_name"]))
        elif name != "_name":
            lines.append(f"{name}/" if isinstance(below, Mapping) else name)
    return "\n".join(lines).encode()
