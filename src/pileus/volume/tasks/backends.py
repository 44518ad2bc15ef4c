"""The back ends: their drivers, and what they last said they have."""

import logging
import threading

from pileus.kernel.bus import HostUnknown
from pileus.kernel.context import Cloud
from pileus.volume.driver import Capacity, VolumeBackend, VolumeDriverError
from pileus.volume.store import services
from pileus.volume.store.volumes import Volume

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
REGISTER_SECONDS = 5.0


def register(cloud: Cloud) -> None:
    """Write down the back ends that are new: of hosts that have joined a cloud that runs, too."""
    there = cloud.bus.hosts("volume")
    with cloud.db.read() as tx:
        new = sorted(set(there) - set(services.backends(tx)))
    if new:
        with cloud.db.begin() as tx:
            for host in new:
                services.ensure(tx, "cinder-volume", host, cloud.clock.now())


class Gauges:
    """What the back ends of this process last said they have, and when."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._last: dict[str, Capacity] = {}

    def read(self, cloud: Cloud, *, fresh: bool = False) -> dict[str, Capacity]:
        """Return what each back end that is usable has, by HOST@BACKEND; asked again when it is old, or fresh is wanted."""
        with self._lock:
            now = cloud.clock.now()
            if fresh or now - self._read_at > FRESH_SECONDS or now < self._read_at:
                self._last = measure(cloud)
                self._read_at = now
            return self._last


def measure(cloud: Cloud) -> dict[str, Capacity]:
    """Ask every back end what it has; those that cannot say are missing."""
    found = {}
    for name in cloud.bus.hosts("volume"):
        try:
            found[name] = named(cloud, name).capacity()
        except (VolumeDriverError, HostUnknown) as error:
            log.warning("back end %s is not usable: %s", name, error)
    return found


def named(cloud: Cloud, host: str) -> VolumeBackend:
    """Return the driver of a host, HOST@BACKEND or HOST@BACKEND#POOL.  :raises HostUnknown: when it is not there."""
    found: VolumeBackend = cloud.bus.host(host.partition("#")[0], "volume")
    return found


def of(cloud: Cloud, volume: Volume) -> VolumeBackend:
    """Return the driver of the back end that a volume is on.

    :raises HostUnknown: when it is on none, or that is not there.
    """
    if volume.host is None:
        raise HostUnknown(f"Volume {volume.id} is on no back end.")
    return named(cloud, volume.host)
