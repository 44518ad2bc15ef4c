"""The drivers of this machine's hosts, built by name from the settings and attached to the cloud."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pileus.kernel.context import Cloud
from pileus.kernel.settings import Settings

log = logging.getLogger(__name__)


class HostUnusable(Exception):
    """This machine lacks what a driver needs; the message says what to do."""


@dataclass
class Hosts:
    """The hosts of this process and their drivers by role."""

    roles: Mapping[str, Mapping[str, Any]]
    closers: list[Callable[[], None]] = field(default_factory=list)

    def attach(self, cloud: Cloud) -> None:
        """Have the drivers tell the cloud what happens, and answer guests' questions for metadata."""
        raise NotImplementedError(cloud)

    def close(self) -> None:
        """Let go of the hosts; what runs on them runs on."""
        for closer in reversed(self.closers):
            closer()


def build(settings: Settings) -> Hosts:
    """Build the drivers that the settings name.

    :raises HostUnusable: when this machine lacks what they need.
    """
    raise NotImplementedError(settings)


def purge(settings: Settings) -> None:
    """Destroy every guest and every network that the cloud of these settings made on this machine."""
    raise NotImplementedError(settings)
