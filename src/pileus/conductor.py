"""What agents ask of the control plane (pileus.agent.contracts.Conductor), answered out of the database."""

from collections.abc import Mapping

from pileus.agent.contracts import Lease
from pileus.compute.service import evacuation
from pileus.kernel.context import Cloud
from pileus.network.drivers.linux.metadata import Answer, Handler, MetadataSource


class Conductor:
    """Answers agents.

    :param metadata: answers guests.
    """

    def __init__(self, cloud: Cloud, metadata: Handler) -> None:
        self._cloud, self._metadata = cloud, metadata

    def metadata(self, source: MetadataSource, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """See Conductor.metadata of the contract."""
        return self._metadata(source, method, path, headers, body)

    def lost_guests(self, host: str, guest_ids: tuple[str, ...]) -> tuple[str, ...]:
        """See Conductor.lost_guests of the contract."""
        return evacuation.lost_guests(self._cloud, host, guest_ids)

    def renew(self, host: str, guest_ids: tuple[str, ...]) -> Lease:
        """See Conductor.renew of the contract."""
        return Lease(*evacuation.renew(self._cloud, host, guest_ids))
