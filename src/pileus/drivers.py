"""The drivers of this machine's hosts, built by name from the settings and attached to the cloud."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from pileus.certificates import Identity
from pileus.kernel.settings import Settings
from pileus.network.driver import NetworkDriverError
from pileus.network.drivers.linux.metadata import Handler, MetadataListener
from pileus.volume.driver import VolumeDriverError
from pileus.volume.drivers import backends


class HostUnusable(Exception):
    """This machine lacks what a driver needs; the message says what to do."""


COMPUTE, NETWORK, VOLUME = ROLES = ("compute", "network", "volume")
NAME_MAX = 64  # of what a certificate says
IN_NAMESPACES = ("linux", "ovs")
NEEDED = {
    "qemu": ("qemu-system-x86_64", "qemu-img"),
    "linux": ("dnsmasq", "nft", "ip"),
    "ovs": ("dnsmasq", "nft", "ip", "ovsdb-server", "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl"),
}
NEEDED_FOR_VOLUMES = {
    "file": ("qemu-storage-daemon", "qemu-img", "setpriv"),
    "nfs": ("qemu-storage-daemon", "qemu-img", "setpriv"),
    "iscsi": ("qemu-storage-daemon", "qemu-img", "setpriv", "tgtd", "nsenter"),
    "lvm": ("qemu-storage-daemon", "qemu-img", "setpriv", "tgtd", "nsenter", "lvm"),
    "rbd": ("qemu-storage-daemon", "qemu-img", "setpriv", "rbd", "ceph"),
}


@dataclass
class Hosts:
    """The hosts of this process and their drivers by role."""

    roles: Mapping[str, Mapping[str, Any]]
    closers: list[Callable[[], None]] = field(default_factory=list)

    def facts(self, settings: Settings) -> dict[str, dict[str, str]]:
        """What hosts say of how their networks are made, by name."""
        return {name: how_networks(settings, drivers) for name, drivers in self.roles.items() if "network" in drivers}

    def attach(self, handler: Handler) -> None:
        """Have guests' questions for metadata answered (the cloud listens to the hypervisors by itself)."""
        for drivers in (found for found in self.roles.values() if "network" in found):
            listener = MetadataListener(handler)
            drivers["network"].serve_metadata(listener)
            self.closers.insert(0, listener.close)  # the last to close: a network host takes its sockets back first

    def close(self) -> None:
        """Let go of the hosts; what runs on them runs on."""
        for closer in reversed(self.closers):
            closer()


def how_networks(settings: Settings, drivers: Mapping[str, Any]) -> dict[str, str]:
    """Return what a host says of how its networks are made."""
    told = {"network": settings.network_driver}
    if NETWORK not in _chosen(settings):
        told["routes"] = "no"
    if settings.network_driver == "ovs":
        told["datapath"] = "netdev" if drivers["network"].plain_frames else "system"
    return told


def build(settings: Settings) -> Hosts:
    """Build the drivers that the settings name.

    :raises HostUnusable: when this machine lacks what they need.
    """
    chosen = _chosen(settings)
    _require(settings, chosen)
    roles: dict[str, dict[str, Any]] = {}
    if chosen & {COMPUTE, NETWORK}:
        roles[settings.host] = {"network": _network(settings)}
    if COMPUTE in chosen:
        plain_frames = getattr(roles[settings.host]["network"], "plain_frames", False)
        roles[settings.host]["hypervisor"] = _hypervisor(settings, plain_frames)
        if settings.hypervisor == "fake":
            others = [f"{settings.host}-{number}" for number in range(2, settings.fake_hosts + 1)]
            roles |= {name: {"network": _fake_network(), "hypervisor": _hypervisor(settings, False)} for name in others}
    if VOLUME in chosen:
        roles |= {f"{settings.host}@{name}": {"volume": backend} for name, backend in _backends(settings).items()}
    return Hosts(roles, [driver.close for drivers in roles.values() for driver in drivers.values()])


def _chosen(settings: Settings) -> frozenset[str]:
    """Return what this machine is to do.  :raises HostUnusable: when the setting names nothing, or what is no role."""
    named = frozenset(part.strip() for part in settings.roles.split(",") if part.strip())
    if not named or named - set(ROLES):
        raise HostUnusable(f"Setting roles: {settings.roles!r} is not some of {', '.join(ROLES)}, with commas.")
    return named


def purge(settings: Settings) -> None:
    """Destroy every guest and every network that the cloud of these settings made on this machine."""
    hosts = build(settings)
    try:
        for drivers in (found for found in hosts.roles.values() if "network" in found):
            for guest_id in drivers["hypervisor"].observe_all() if "hypervisor" in drivers else ():
                drivers["hypervisor"].destroy(guest_id)
            drivers["network"].purge()
        for drivers in (found for found in hosts.roles.values() if "volume" in found):
            for volume in drivers["volume"].observe_all().values():
                for connector_id in volume.connections:
                    drivers["volume"].disconnect(volume.id, connector_id)
    finally:
        hosts.close()


def _require(settings: Settings, chosen: frozenset[str]) -> None:
    programs = {settings.network_driver} if chosen & {COMPUTE, NETWORK} else set()
    programs |= {settings.hypervisor} if COMPUTE in chosen else set()
    programs &= set(NEEDED)
    if programs and os.geteuid() != 0:
        raise HostUnusable("Guests and networks need root. Run as root, or set hypervisor and network_driver to fake.")
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    wanted = {program for name in programs for program in NEEDED[name]}
    named = _named_backends(settings) if VOLUME in chosen else ()
    wanted |= {program for each in named for program in NEEDED_FOR_VOLUMES.get(each.kind, ())}
    missing = sorted(program for program in wanted if not shutil.which(program, path=path))
    if missing:
        raise HostUnusable(f"Not installed: {', '.join(missing)}. `pileus doctor` says how to install them.")


def _hypervisor(settings: Settings, plain_frames: bool) -> Any:
    if settings.hypervisor == "fake":
        from pileus.compute.drivers.fake import FakeHypervisor  # noqa: PLC0415

        return FakeHypervisor()
    from pileus.compute.drivers.qemu import QemuHypervisor, QemuOptions, Reach  # noqa: PLC0415

    netns = settings.name if settings.network_driver in IN_NAMESPACES else None
    directory = Path(settings.state_dir) / "hypervisor"
    kind: Any = settings.virt_type
    options = QemuOptions(directory, netns, kind, settings.name, plain_frames=plain_frames)
    others = Reach(settings.host[:NAME_MAX], settings.host_address, Path(settings.state_dir) / "tls")
    return QemuHypervisor(options, others if settings.bus_url else None)


def _fake_network() -> Any:
    from pileus.network.drivers.fake import FakeNetworkHost  # noqa: PLC0415

    return FakeNetworkHost()


def _backends(settings: Settings) -> dict[str, Any]:
    """Build the volume back ends by name."""
    netns = settings.name if settings.network_driver in IN_NAMESPACES else ""
    state_dir = Path(settings.state_dir)
    identity = Identity(state_dir / "tls") if settings.bus_url else None
    found: dict[str, Any] = {}
    try:
        for each in _named_backends(settings):
            found[each.name] = backends.build(each, state_dir, settings.name, settings.host, netns, identity)
    except VolumeDriverError as error:
        for backend in found.values():
            backend.close()
        raise HostUnusable(f"Setting volume_backends: {error}") from None
    return found


def _named_backends(settings: Settings) -> tuple[backends.Named, ...]:
    try:
        return backends.read(settings.volume_backends)
    except ValueError as error:
        raise HostUnusable(f"Setting volume_backends: {error}.") from None


def _network(settings: Settings) -> Any:
    if settings.network_driver == "fake":
        return _fake_network()
    from pileus.network.drivers.linux.tunnels import TunnelSettings  # noqa: PLC0415
    from pileus.network.drivers.linux.uplink import UplinkSettings  # noqa: PLC0415

    public = ip_network(settings.public_cidr)
    gateway = f"{next(public.hosts())}/{public.prefixlen}"
    uplink = UplinkSettings((gateway,), netns=settings.uplink_namespace or None)
    resolvers = tuple(part for part in settings.dns_servers.split(",") if part)
    tunnel = TunnelSettings(settings.host_address) if settings.bus_url else None
    directory = Path(settings.state_dir) / "network"
    _keep_driver(directory, settings.network_driver)
    if settings.network_driver == "ovs":
        from pileus.network.drivers.ovs.host import OvsNetworkHost  # noqa: PLC0415

        try:
            return OvsNetworkHost(settings.name, directory, uplink, resolvers, tunnel, settings.tunnel_type)
        except NetworkDriverError as error:
            raise HostUnusable(f"Setting tunnel_type: {error}.") from None
    from pileus.network.drivers.linux.host import LinuxNetworkHost  # noqa: PLC0415

    return LinuxNetworkHost(settings.name, directory, uplink, resolvers, tunnel)


def _keep_driver(directory: Path, chosen: str) -> None:
    """Note what makes the networks of this host; another cannot take them over while guests are on them."""
    note = directory / "driver"
    made = "ovs" if (directory / "ovs").exists() else "linux" if (directory / "network").exists() else chosen
    before = (note.exists() and note.read_text()) or made  # it is empty when whoever wrote it was killed
    if before != chosen:
        raise HostUnusable(
            f"The networks of this host were made by network_driver {before}. With that setting, move its servers away and run"
            f" `pileus down --purge`; then it can be {chosen}."
        )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    note.write_text(chosen)
