"""A host on the bus: its drivers are called, and it is told of."""

from collections.abc import Mapping
from typing import Any

from pileus.agent.contracts import CONTRACTS
from pileus.agent.presence import Presence, topics
from pileus.kernel.answering import Answering, Around, as_it_is


class Serving:
    """Serves the drivers of a host: calls arrive in the queue TOPIC.HOST of each of its roles, or in TOPIC for any host.

    :param roles: its drivers, by name (the host's, or HOST@BACKEND) and role.
    :param facts: what else the control plane is told (version, address).
    """

    def __init__(
        self, url: str, host: str, roles: Mapping[str, Mapping[str, Any]], facts: Mapping[str, str], around: Around = as_it_is
    ) -> None:
        queues = [name for topic in topics(roles) for name in (f"{topic}.{host}", topic)]
        self._answering = Answering(url, queues, roles, CONTRACTS, around)
        self._presence = Presence(url, host, roles, CONTRACTS, facts)

    def start(self) -> None:
        """Begin to serve."""
        self._answering.start()
        self._presence.start()

    def close(self) -> None:
        """Serve nothing more; what runs on the host runs on."""
        self._presence.close()
        self._answering.close()
