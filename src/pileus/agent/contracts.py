"""What may be asked of the drivers of a host, by role, and what an agent may ask of the control plane."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pileus.compute.driver import DiskSwapper, DriverError, Hypervisor, LiveMigrator
from pileus.compute.moving import GuestMover
from pileus.kernel.wire import Contract
from pileus.network.driver import NetworkDriverError, NetworkHost, NotOnHostError, Rerouter
from pileus.network.drivers.linux.metadata import Answer, MetadataSource
from pileus.volume.driver import Adopter, BackendFull, Content, Reader, Together, VolumeBackend, VolumeDriverError


class ConductorError(Exception):
    """The control plane could not answer."""


@dataclass(frozen=True)
class Lease:
    """What a host may run from the moment on in which it asked: for how long (0: for ever), and which guests not at all."""

    seconds: float = 0.0
    halted: tuple[str, ...] = ()


class Conductor(Protocol):
    """What agents ask: they have no database."""

    def metadata(self, source: MetadataSource, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer a guest's request for metadata: status, headers and body."""

    def lost_guests(self, host: str, guest_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of a host's guests that are its own no longer."""

    def renew(self, host: str, guest_ids: tuple[str, ...]) -> Lease:
        """Note that a host is there; returns how long it may run its guests until it asks again."""


CONDUCTOR = Contract("conductor", (Conductor,), (ConductorError,))
CONTRACTS = {
    "hypervisor": Contract("hypervisor", (Hypervisor, DiskSwapper, GuestMover, LiveMigrator), (DriverError,)),
    "network": Contract("network", (NetworkHost, Rerouter), (NetworkDriverError, NotOnHostError)),
    "volume": Contract("volume", (VolumeBackend, Adopter, Together, Reader), (VolumeDriverError, BackendFull), Content),
}
