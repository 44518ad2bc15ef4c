"""What agents ask of the control plane (pileus.agent.contracts.Conductor), answered out of the database."""

from collections.abc import Mapping

from pileus.network.drivers.linux.metadata import Answer, Handler, MetadataSource


class Conductor:
    """Answers agents.

    :param metadata: answers guests.
    """

    def __init__(self, metadata: Handler) -> None:
        self._metadata = metadata

    def metadata(self, source: MetadataSource, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """See Conductor.metadata of the contract."""
        return self._metadata(source, method, path, headers, body)
