"""Which daemons there are to be, and making it so.

    <run directory>/<volume id>                the daemon of a volume, on a unix socket: whoever is on this host uses it
    <run directory>/<volume id>.rw, .ro        what passes that on by TCP and TLS, to the hosts that are connected and no other
    <run directory>/<volume id>@<snapshot id>  the daemon of a snapshot that is being read

One daemon a volume: a guest that breaks out of its volume's daemon finds no other volume there.  There is one even for many
guests, so that what one writes the others read.
"""

import contextlib
import hashlib
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import msgspec

from pileus.certificates import NAME_MAX, Identity
from pileus.volume.driver import Connection, Connector, VolumeDriverError
from pileus.volume.drivers.layers.tree import Head, Tree, checked
from pileus.volume.drivers.nbd import daemon, nodes, tls
from pileus.volume.drivers.nbd.daemon import Export, Plan
from pileus.volume.drivers.nbd.watch import Watch

SOCKET_PATH_MAX = 107
MODES = ("rw", "ro")


def short(run_directory: Path) -> Path:
    """Return a directory whose sockets have paths that are short enough: this one, or one in /run named after it."""
    if len(str(run_directory)) + 1 + 2 * 36 + 1 + len("/nbd") <= SOCKET_PATH_MAX:
        return run_directory
    root = Path("/run") if Path("/run").is_dir() else Path(tempfile.gettempdir())
    return root / "pileus" / f"v{hashlib.sha256(str(run_directory).encode()).hexdigest()[:12]}"


class Serving:
    """The daemons of one back end.  Whoever calls for a volume holds its lock.

    :param identity: what this host is known by in a cloud of many.
    """

    def __init__(
        self, tree: Tree, run_directory: Path, host: str, died: Callable[[str], None], identity: Identity | None = None
    ) -> None:
        self._tree, self._host, self._identity = tree, host, identity
        self._tls = tree.directory / "tls"
        self._opened: dict[str, int] = {}
        self._guard = threading.Lock()
        self.directory = short(run_directory.resolve())
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.watch = Watch(lambda key: died(volume_of(key)))

    def known(self) -> list[str]:
        """Return the keys of all daemons that have a directory."""
        return [path.name for path in self.directory.iterdir() if path.is_dir()]

    def live(self, volume_id: str) -> Path | None:
        """Return the monitor of a volume's daemon, or None when it has none."""
        return self.directory / volume_id / "qmp" if self._alive(volume_id) else None

    def in_use(self, key: str) -> bool:
        """Whether something was opened here and not yet closed."""
        with self._guard:
            return self._opened.get(key, 0) > 0

    def opened(self, key: str, more: int) -> None:
        """Count one more, or less, who has something open."""
        with self._guard:
            self._opened[key] = self._opened.get(key, 0) + more

    def settle(self, volume_id: str, head: Head | None) -> None:
        """Make the daemons of a volume be those that are needed.

        :raises VolumeDriverError: when one does not come up.
        """
        if head is None or not (head.connectors or self.in_use(volume_id)):
            for key in (*(f"{volume_id}.{mode}" for mode in MODES), volume_id):
                self.stop(key)
            return
        if not self._alive(volume_id):
            self._start(volume_id, Plan(self._nodes(head.top, writable=True), nodes.exports_of(head.id, nodes.name_of(head.top))))
        for mode in MODES:
            self._settle_gate(head, mode)

    @contextlib.contextmanager
    def daemon_of(self, head: Head) -> Iterator[tuple[Path, Path]]:
        """Have a volume served as long as this is open; gives the monitor and the socket of its daemon.

        :raises VolumeDriverError: when it does not come up.
        """
        self.opened(head.id, 1)
        try:
            self.settle(head.id, head)
            yield self.directory / head.id / "qmp", self.socket(head.id)
        finally:
            self.opened(head.id, -1)
            self.settle(head.id, head)

    @contextlib.contextmanager
    def still(self, volume_id: str) -> Iterator[None]:
        """Let nobody write to a volume meanwhile: its users lose the connection for a moment and come back."""
        qmp = self.live(volume_id)
        if qmp is None:
            yield
            return
        with nodes.still(qmp, volume_id):
            yield

    def gates_again(self, head: Head) -> None:
        """Let the gates see how large a volume has become."""
        for mode in MODES:
            self.stop(f"{head.id}.{mode}")
        self.settle(head.id, head)

    def serve_snapshot(self, volume_id: str, snapshot_id: str, layer: str) -> Path:
        """Start a daemon for a snapshot if there is none; returns its socket."""
        key = f"{volume_id}@{snapshot_id}"
        if not self._alive(key):
            self._start(key, Plan(self._nodes(layer, writable=False), [Export(key, nodes.name_of(layer), False)]))
        return self.socket(key)

    def socket(self, key: str) -> Path:
        """Return the socket of a daemon."""
        return self.directory / key / "nbd"

    def stop(self, key: str) -> None:
        """End a daemon."""
        if (self.directory / key).exists():
            self.watch.forget(key)
            daemon.stop(self.directory / key)

    def with_port(self, head: Head, connector: Connector) -> Head:
        """Return the head with a port for the gate that a connector of another host needs."""
        mode = mode_of(connector)
        if connector.host == self._host or mode in head.ports:
            return head
        with socket.socket(socket.AF_INET6 if ":" in connector.address else socket.AF_INET) as probe:
            probe.bind((self.address_towards(connector), 0))
            return replace(head, ports={**head.ports, mode: probe.getsockname()[1]})

    def connection(self, head: Head, connector: Connector) -> Connection:
        """Return how to reach a volume."""
        name = head.id if not connector.read_only else f"{head.id}.ro"
        data: dict[str, object] = {"export": name, "read_only": connector.read_only}
        data |= {"access_mode": "ro" if connector.read_only else "rw", "volume_id": head.id}
        if connector.host == self._host:
            data["socket"] = str(self.socket(head.id))
        else:
            data |= {"host": self.address_towards(connector), "port": head.ports[mode_of(connector)]}
            if self._identity is not None:
                data["tls_hostname"] = self._host[:NAME_MAX]
            else:
                data["tls_dir"] = str(tls.host_directory(self._tls, connector.host))
        return {"driver_volume_type": "nbd", "data": data}

    def address_towards(self, connector: Connector) -> str:
        """Return the address of this host that another one reaches it by.

        :raises VolumeDriverError: when nobody said where the other one is, or there is no way to it.
        """
        if not connector.address:
            raise VolumeDriverError(f"host {connector.host} did not say its address")
        try:
            with socket.socket(socket.AF_INET6 if ":" in connector.address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((connector.address, 9))
                return str(probe.getsockname()[0])
        except OSError as error:
            raise VolumeDriverError(f"there is no way to host {connector.host} at {connector.address}: {error}") from error

    def close(self) -> None:
        """Let go of the daemons; the directory stays as long as one is there."""
        self.watch.close()
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def _settle_gate(self, head: Head, mode: str) -> None:
        key = f"{head.id}.{mode}"
        others = [each for each in head.connectors.values() if each.host != self._host and mode_of(each) == mode]
        if not others:
            self.stop(key)
            return
        plan = self._gate(head, mode, others)
        if self._alive(key):
            if (self.directory / key / "plan.json").read_bytes() == _written(plan):
                return
            self.stop(key)
        self._start(key, plan)
        (self.directory / key / "plan.json").write_bytes(_written(plan))

    def _gate(self, head: Head, mode: str, connectors: Sequence[Connector]) -> Plan:
        writable = mode == "rw"
        name = head.id if writable else f"{head.id}.ro"
        address = self.address_towards(connectors[0])
        return Plan(
            [nodes.remote(self.socket(head.id), name, writable=writable)],
            [Export(name, "gate", writable)],
            address,
            head.ports[mode],
            str(self._identity.for_qemu() if self._identity is not None else tls.server_directory(self._tls, address)),
            sorted({tls.subject(each.host) for each in connectors}),
        )

    def _alive(self, key: str) -> bool:
        if self.watch.get(key) is not None:
            return True
        found = daemon.find(self.directory / checked_key(key))
        if found is None:
            return False
        if "@" not in key and "." not in key and not self._taken_over(key):
            daemon.stop(self.directory / key)
            return False
        self.watch.add(key, found)
        return True

    def _taken_over(self, volume_id: str) -> bool:
        """Bring a daemon of an earlier process up to date; False when it has to be started again."""
        qmp, head = self.directory / volume_id / "qmp", self._tree.head(volume_id)
        try:
            if head is None or not nodes.is_whole(qmp):
                return False
            nodes.end_jobs(qmp)
            nodes.overlay(qmp, head.top, self._tree.protocol)
        except VolumeDriverError:
            return False
        return True

    def _start(self, key: str, plan: Plan) -> None:
        directory = self.directory / checked_key(key)
        try:
            process = daemon.start(directory, plan)
        except VolumeDriverError:
            if daemon.find(directory) is None:  # one that came up while whoever started it was killed
                raise
            daemon.stop(directory)
            process = daemon.start(directory, plan)
        self.watch.add(key, process)

    def _nodes(self, layer: str, *, writable: bool) -> list[daemon.Node]:
        return nodes.layered(self._tree.chain(layer), self._tree.protocol, writable=writable)


def mode_of(connector: Connector) -> str:
    """Return which gate a connector goes through."""
    return "ro" if connector.read_only else "rw"


def volume_of(key: str) -> str:
    """Return the volume that a daemon belongs to."""
    return key.partition("@")[0].partition(".")[0]


def checked_key(key: str) -> str:
    """Return a key that can be the name of a directory."""
    for part in key.replace("@", ".").split("."):
        checked(part)
    return key


def _written(plan: Plan) -> bytes:
    return msgspec.json.encode(asdict(plan))
