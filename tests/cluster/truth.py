"""What there truly is on the hosts of a cloud, whatever its database says; here for hosts that are fakes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tests.cluster import kept
from tests.cluster.many import Many


@dataclass(frozen=True)
class Guest:
    """What there is of a guest on a host.  `power` is that of the driver's contract, `volumes` what is plugged."""

    power: str
    volumes: frozenset[str] | None = None  # None: that cannot be seen from outside


class Truth(Protocol):
    """What is seen on hosts from outside."""

    def guests(self) -> dict[str, dict[str, Guest]]:
        """Return the guests by host."""

    def odd_ports(self, bound: dict[str, dict[str, str]]) -> Iterator[str]:
        """Say which ports are too many or too few.

        :param bound: servers by the ports that hosts are to have, by host.
        """

    def places(self) -> list[str]:
        """Return what may be at one place only: routers.  DHCP is answered on each host that has a network."""

    def volumes(self) -> dict[str, str]:
        """Return the volumes that there are, and their hosts."""

    def leftovers(self) -> Iterator[str]:
        """Say what is still there once everything has been deleted."""


class Fakes:
    """Hosts whose drivers are kept fakes."""

    def __init__(self, many: Many) -> None:
        self._many = many

    def _kept(self, host: str, name: str, noun: str) -> dict[str, object]:
        return kept.read(self._many.folder / host / f"{name}.kept").get(noun, {})

    def guests(self) -> dict[str, dict[str, Guest]]:
        """As in the protocol."""
        return {
            host: {
                id: Guest(guest.power, frozenset(guest.volumes))  # type: ignore[attr-defined]
                for id, guest in self._kept(host, "guests", "guests").items()
            }
            for host in self._many.hosts
        }

    def odd_ports(self, bound: dict[str, dict[str, str]]) -> Iterator[str]:
        """As in the protocol: a port is there as soon as it is bound, whether its server runs or not."""
        for host, ports in bound.items():
            there, wanted = set(self._kept(host, "network", "ports")), set(ports)
            if there != wanted:
                yield f"{host} has ports {sorted(there - wanted)} too many, {sorted(wanted - there)} too few"

    def places(self) -> list[str]:
        """As in the protocol."""
        return [f"router {id}" for host in self._many.hosts for id in self._kept(host, "network", "routers")]

    def volumes(self) -> dict[str, str]:
        """As in the protocol."""
        return {id: host for host in self._many.hosts for id in self._kept(host, "volumes", "volumes")}

    def leftovers(self) -> Iterator[str]:
        """As in the protocol."""
        for host in self._many.hosts:
            for name in ("guests", "network", "volumes"):
                for noun, things in kept.read(self._many.folder / host / f"{name}.kept").items():
                    yield from (f"{noun} {id} on {host}" for id in things)
            bases = self._many.folder / host / "bases"
            yield from (f"{path.name} on {host}" for path in bases.iterdir() if path.is_file()) if bases.exists() else ()
