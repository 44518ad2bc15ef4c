"""What makes a process of the control plane a part of a cloud of many processes and hosts: the bus, and what others find here.

Imported only where the settings name a broker.
"""

import contextlib
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pileus.agent import contracts, files, serving
from pileus.agent.own import OwnHypervisor
from pileus.certificates import Identity, own_identity
from pileus.conductor import Conductor
from pileus.kernel.answering import Answering
from pileus.kernel.bus import Bus
from pileus.kernel.bus_rabbit import RabbitBus
from pileus.kernel.context import Cloud
from pileus.kernel.db import Database
from pileus.kernel.peers import PeerServer
from pileus.kernel.settings import Settings
from pileus.network.drivers.linux.metadata import Handler
from pileus.nodes import joining
from pileus.nodes import service as nodes

log = logging.getLogger(__name__)

Roles = Mapping[str, Mapping[str, Any]]


def open_bus(settings: Settings, db: Database, own: Roles, closers: contextlib.ExitStack) -> Bus:
    """Return the bus over the broker, with the hosts of this process among those that have agents."""
    state_dir = Path(settings.state_dir)
    nodes.authority_of(db, settings)
    identity = own_identity(state_dir, settings.host)
    counts = partial(nodes.counts, db)
    open_folders = {**files.folders(state_dir), files.LEAVING: state_dir / files.LEAVING}
    server = PeerServer(identity, (settings.host_address, 0), open_folders, counts=counts)
    closers.callback(server.close)
    server.start()
    origin = f"https://{settings.host_address}:{server.port}"
    here = files.Files(identity, state_dir, origin)
    found = {
        name: {role: OwnHypervisor(driver, here) if role == "hypervisor" else driver for role, driver in drivers.items()}
        for name, drivers in own.items()
    }
    bus = RabbitBus(settings.bus_url, contracts.CONTRACTS, found, origin)
    closers.callback(bus.close)
    bus.start()
    return bus


def serve_host(settings: Settings, own: Roles, closers: contextlib.ExitStack) -> None:
    """Let the other processes of the cloud use this one's host."""
    serving.serve(settings, own, Identity(Path(settings.state_dir) / "tls"), closers)


def let_join(cloud: Cloud, closers: contextlib.ExitStack) -> None:
    """Open the door for hosts that join, unless another process of this host has."""
    settings, identity = cloud.settings, Identity(Path(cloud.settings.state_dir) / "tls")
    given = {"bus_url": settings.bus_url, "name": settings.name}
    door = joining.Door(cloud.db, cloud.clock, nodes.authority_of(cloud.db, settings), given)
    try:
        server = joining.open_door(door, identity, (settings.host_address, settings.join_port))
    except OSError as error:
        log.info("hosts cannot join here: %s", error)
        return
    closers.callback(server.close)
    server.start()


def answer_agents(cloud: Cloud, metadata: Handler, closers: contextlib.ExitStack) -> None:
    """Answer what agents ask of the control plane."""
    role = contracts.CONDUCTOR.role
    answering = Answering(cloud.settings.bus_url, [role], {role: {role: Conductor(cloud, metadata)}}, {role: contracts.CONDUCTOR})
    closers.callback(answering.close)
    answering.start()
