"""Whether a volume's server answers.  QEMU stands still while it connects, so we ask first, where a time limit can be kept."""

import socket
import time
from pathlib import Path

from pileus.compute.driver import DiskSpec, DriverError
from pileus.compute.drivers.qemu import netns, nodes

CONNECT_SECONDS = 2.0
RESTART_SECONDS = 5.0


def await_reachable(disk: DiskSpec, namespace: str | None) -> None:
    """Return when what serves a volume takes connections; a server that is being started anew is waited for.

    :raises DriverError: when it takes none in time.
    """
    path, portal = nodes.socket_path(disk), nodes.portal(disk)
    if not path and portal is None:
        return
    deadline = time.monotonic() + RESTART_SECONDS
    while True:
        try:
            if path:
                _knock(path)
            elif portal is not None:
                netns.inside(namespace, lambda: socket.create_connection(portal, CONNECT_SECONDS).close())
        except OSError as error:
            if time.monotonic() > deadline:
                raise DriverError(f"volume {disk.id} is not served at {path or portal}: {error.strerror or error}") from error
            time.sleep(0.1)
        else:
            return


def _knock(path: str) -> None:
    """Connect to a unix socket, whose path may be longer than an address has room for."""
    folder, _, name = path.rpartition("/")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_SECONDS)
        if len(path) < 108:
            connection.connect(path)
        elif not Path(folder, name).is_socket():
            raise FileNotFoundError(2, "No such file or directory")
