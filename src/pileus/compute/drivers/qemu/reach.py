"""Whether a volume's server answers.  QEMU stands still while it connects, so we ask first, where a time limit can be kept."""

import os
import socket
import struct
import time

from pileus.compute.driver import DiskSpec, DriverError
from pileus.compute.drivers.qemu import netns, nodes

CONNECT_SECONDS = 2.0
RESTART_SECONDS = 5.0
GREETING_BYTES, ACKNOWLEDGEMENT_BYTES = 18, 20
FIXED_NEWSTYLE_WITHOUT_ZEROES = 3
ABORT = struct.pack(">I8sII", FIXED_NEWSTYLE_WITHOUT_ZEROES, b"IHAVEOPT", 2, 0)


def await_reachable(disk: DiskSpec, namespace: str | None) -> None:
    """Return when what serves a volume answers; a server that is being started anew is waited for.

    :raises DriverError: when it does not in time.
    """
    path, portal = nodes.socket_path(disk), nodes.portal(disk)
    if not path and portal is None:
        return
    deadline = time.monotonic() + RESTART_SECONDS
    while True:
        try:
            with _connected(path) if path else _dialled(portal, namespace) as connection:
                if disk.connection["driver_volume_type"] == "nbd":
                    _greet(connection)
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise DriverError(f"volume {disk.id} is not served at {path or portal}: {error.strerror or error}") from error
            time.sleep(0.1)


def _connected(path: str) -> socket.socket:
    """Connect to a unix socket, whose path may be longer than an address has room for."""
    folder, _, name = path.rpartition("/")
    directory = os.open(folder or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(f"/proc/self/fd/{directory}/{name}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(directory)
    return connection


def _dialled(portal: tuple[str, int] | None, namespace: str | None) -> socket.socket:
    return netns.inside(namespace, lambda: socket.create_connection(portal or ("", 0), CONNECT_SECONDS))


def _greet(connection: socket.socket) -> None:
    """Say hello and goodbye as the NBD protocol has it, so that the server has nothing to complain of."""
    _receive(connection, GREETING_BYTES)
    connection.sendall(ABORT)
    _receive(connection, ACKNOWLEDGEMENT_BYTES)


def _receive(connection: socket.socket, count: int) -> None:
    while count > 0:
        data = connection.recv(count)
        if not data:
            raise ConnectionResetError("the connection was closed")
        count -= len(data)
