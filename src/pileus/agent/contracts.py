"""What may be asked of the drivers of a host, by role."""

from pileus.compute.driver import DiskSwapper, DriverError, Hypervisor
from pileus.kernel.wire import Contract
from pileus.network.driver import NetworkDriverError, NetworkHost, NotOnHostError
from pileus.volume.driver import Adopter, BackendFull, Content, Reader, Together, VolumeBackend, VolumeDriverError

CONTRACTS = {
    "hypervisor": Contract("hypervisor", (Hypervisor, DiskSwapper), (DriverError,)),
    "network": Contract("network", (NetworkHost,), (NetworkDriverError, NotOnHostError)),
    "volume": Contract("volume", (VolumeBackend, Adopter, Together, Reader), (VolumeDriverError, BackendFull), Content),
}
