"""What may be asked of the drivers of a host, by role, and what an agent may ask of the control plane."""

from collections.abc import Mapping
from typing import Protocol

from pileus.compute.driver import DiskSwapper, DriverError, Hypervisor, LiveMigrator
from pileus.compute.moving import GuestMover
from pileus.kernel.wire import Contract
from pileus.network.driver import NetworkDriverError, NetworkHost, NotOnHostError, Rerouter
from pileus.network.drivers.linux.metadata import Answer, MetadataSource
from pileus.volume.driver import Adopter, BackendFull, Content, Reader, Together, VolumeBackend, VolumeDriverError


class ConductorError(Exception):
    """The control plane could not answer."""


class Conductor(Protocol):
    """What agents ask: they have no database."""

    def metadata(self, source: MetadataSource, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer a guest's request for metadata: status, headers and body."""

    def lost_guests(self, host: str, guest_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of a host's guests that are its own no longer."""


CONDUCTOR = Contract("conductor", (Conductor,), (ConductorError,))
CONTRACTS = {
    "hypervisor": Contract("hypervisor", (Hypervisor, DiskSwapper, GuestMover, LiveMigrator), (DriverError,)),
    "network": Contract("network", (NetworkHost, Rerouter), (NetworkDriverError, NotOnHostError)),
    "volume": Contract("volume", (VolumeBackend, Adopter, Together, Reader), (VolumeDriverError, BackendFull), Content),
}
