"""The bridges of a host, and the ways between them and to other hosts."""

from dataclasses import dataclass
from typing import Literal

from pileus.network.drivers.ovs import flows, tunnelling
from pileus.network.drivers.ovs.daemons import Daemons

INNER, TUNNELS = "br-int", "br-tun"
PROTOCOLS = "protocols=OpenFlow13,OpenFlow14,OpenFlow15"

Kind = Literal["netdev", "system"]


@dataclass(frozen=True)
class Way:
    """How frames go to other hosts: vxlan or gre, from which address."""

    kind: Literal["vxlan", "gre"]
    address: str


class Layout:
    """Makes the bridges: br-int, and where networks span hosts br-tun. `kind` netdev: in the process, system: in the kernel."""

    def __init__(self, daemons: Daemons, kind: Kind, way: Way | None) -> None:
        self._daemons, self._kind, self._way = daemons, kind, way

    @property
    def tunnelled(self) -> bool:
        """Whether networks span hosts."""
        return self._way is not None

    @property
    def bridges(self) -> tuple[str, ...]:
        """The bridges whose flows are ours."""
        return (INNER, TUNNELS) if self._way else (INNER,)

    def ensure(self) -> None:
        """Have them."""
        words: list[str] = []
        for bridge in self.bridges:
            words += ["--", "--may-exist", "add-br", bridge]
            words += ["--", "set", "bridge", bridge, f"datapath_type={self._kind}", "fail_mode=secure", PROTOCOLS]
        if self._way:
            options = ("options:key=flow", "options:remote_ip=flow", f"options:local_ip={self._way.address}")
            words += _port(INNER, "patch-tun", flows.PATCH, "patch", "options:peer=patch-int")
            words += _port(TUNNELS, "patch-int", tunnelling.PATCH, "patch", "options:peer=patch-tun")
            words += _port(TUNNELS, f"{self._way.kind}0", tunnelling.TUNNEL, self._way.kind, *options)
        self._daemons.vsctl(*words)


def _port(bridge: str, name: str, number: int, kind: str, *options: str) -> list[str]:
    added = ["--", "--may-exist", "add-port", bridge, name]
    return [*added, "--", "set", "interface", name, f"type={kind}", f"ofport_request={number}", *options]
