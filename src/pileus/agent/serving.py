"""A host on the bus: its drivers are called, it is told of, and others reach its guests' consoles."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pileus.agent.contracts import CONTRACTS
from pileus.agent.files import LEAVING, Files
from pileus.agent.presence import Presence, topics
from pileus.certificates import Identity
from pileus.drivers import how_networks
from pileus.kernel.answering import Answering, Around, as_it_is
from pileus.kernel.peers import PeerServer
from pileus.kernel.settings import Settings
from pileus.kernel.wire import Call

log = logging.getLogger(__name__)


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


Lost = Callable[[str, tuple[str, ...]], tuple[str, ...]]
"""Tells, of a host and its guests, which of them are its own no longer."""


def serve(
    settings: Settings,
    roles: Mapping[str, Mapping[str, Any]],
    identity: Identity,
    closers: contextlib.ExitStack,
    lost: Lost = lambda _host, _guests: (),
) -> None:
    """Serve this host's drivers from now on, until `closers` are closed; before that, destroy the guests that it has lost."""

    def console(name: str) -> str | None:
        guest_id, _, kind = name.partition("/")
        for drivers in roles.values():
            seen = drivers["hypervisor"].observe(guest_id) if "hypervisor" in drivers else None
            if seen and kind in ("vnc", "serial"):
                return str(getattr(seen, kind)) or None
        return None

    leaving = {LEAVING: Path(settings.state_dir) / LEAVING}
    server = PeerServer(identity, (settings.host_address, 0), leaving, console, takes=False)
    closers.callback(server.close)
    server.start()
    address = f"https://{settings.host_address}:{server.port}"
    around = Files(identity, Path(settings.state_dir), address).around
    destroy_lost(roles, around, lost)
    facts = {"version": version("pileus"), "address": address, "tunnel": settings.host_address}
    for drivers in (found for found in roles.values() if "network" in found):
        facts |= how_networks(settings, drivers)
    serving = Serving(settings.bus_url, settings.host, roles, facts, around)
    closers.callback(serving.close)
    serving.start()


def destroy_lost(roles: Mapping[str, Mapping[str, Any]], around: Around, lost: Lost) -> None:
    """Destroy the guests that other hosts have by now, or that were deleted while this one was away."""
    for name, drivers in roles.items():
        guest_ids = tuple(drivers["hypervisor"].observe_all()) if "hypervisor" in drivers else ()
        for guest_id in lost(name, guest_ids) if guest_ids else ():
            log.warning("guest %s is no longer a guest of %s: it is destroyed", guest_id, name)
            call = Call("hypervisor", name, "destroy", {})
            around(call, {"guest_id": guest_id}, lambda given, driver=drivers["hypervisor"]: driver.destroy(**given))  # type: ignore[misc]
