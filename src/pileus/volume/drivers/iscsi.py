"""Back end `iscsi`: the volumes of back end `file`, served over iSCSI by tgtd to the guests of the host that it is on.

    layers --> storage daemon --NBD--> gate --FUSE--> file --> tgtd --iSCSI with CHAP--> the initiator within QEMU
                              --NBD--> what passes on by TLS --> other hosts

Snapshots, clones, encryption and growing are those of `file`.  Each attachment has a target of its own, named after it, with a
password that nobody else has; to take one away cuts nobody else off.  Nothing is written down but one key, of which the
passwords are made, so after the death of tgtd or of the machine everything is made again from the list of who is connected.

tgtd and the gates go on without us.  What ends unasked is started again: tgtd and a volume's storage daemon cost a guest a pause;
a gate that is killed costs it an I/O error if it writes in that moment.

tgtd listens on the loopback of the network namespace that the guests' processes are in.  Other hosts cannot reach it: iSCSI
proves nothing of who serves, hides nothing of what goes over the wire, and CHAP's secrets are short.  They are served as those
of back end `file` are, by TLS with certificates on both ends.  Both ways end in the one storage daemon of the volume, so what is
written by one of them is read by the other.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import threading
from base64 import b32encode
from dataclasses import replace
from pathlib import Path

from pileus.certificates import Identity
from pileus.volume.driver import Connection, Connector, VolumeDriverError, VolumeSpec
from pileus.volume.drivers import iscsi_gate
from pileus.volume.drivers.file import Adopting, tree_in
from pileus.volume.drivers.iscsi_target import LUN, TargetDaemon
from pileus.volume.drivers.layered import true_reasons
from pileus.volume.drivers.layers.sources import Files, Making
from pileus.volume.drivers.layers.tree import Tree
from pileus.volume.drivers.nbd import daemon
from pileus.volume.drivers.nbd.serving import short
from pileus.volume.drivers.nbd.watch import Watch

PREFIX = "iqn.2026-01.org.pileus:"
PASSWORD_CHARACTERS = 16  # what every initiator takes
TGTD = "tgtd"


class IscsiServing(Adopting):
    """Serves layers over iSCSI, wherever they lie."""

    storage_protocol = "iSCSI"

    def __init__(
        self, tree: Tree, making: Making, run_directory: Path, host: str, netns: str, identity: Identity | None = None
    ) -> None:
        self._host = host
        self._units = short(run_directory.resolve()) / "iscsi"
        self._target = TargetDaemon(self._units / TGTD, netns)
        self._target_lock = threading.RLock()
        self._iscsi_watch = Watch(self._ended)
        self._key = _key(tree.directory / "chap.key")
        super().__init__(tree, making, run_directory / "nbd", host, identity)

    def ensure(self, spec: VolumeSpec) -> None:
        """Make a volume, or grow it.  Who is connected is cut off for a moment, and finds it larger."""
        with self.tree.locks.hold(spec.id):
            super().ensure(spec)
            with true_reasons("serve the volume"):
                self._settle(spec.id)

    def connect(self, volume_id: str, connector: Connector) -> Connection:
        """Make a volume reachable for one host: its own by iSCSI, another by NBD."""
        with self.tree.locks.hold(volume_id):
            by_nbd = super().connect(volume_id, replace(connector, initiator=""))
            try:
                with true_reasons("serve the volume"):
                    self._settle(volume_id)
            except VolumeDriverError:
                with contextlib.suppress(VolumeDriverError):
                    self.disconnect(volume_id, connector.id)
                raise
        if connector.host != self._host:
            return by_nbd
        user, password = self._account(connector.id)
        data = {"target_portal": self._target.portal, "target_iqn": _name(volume_id, connector.id), "target_lun": LUN}
        data |= {"auth_method": "CHAP", "auth_username": user, "auth_password": password, "target_discovered": False}
        mode = "ro" if connector.read_only else "rw"
        return {"driver_volume_type": "iscsi", "data": {**data, "access_mode": mode, "volume_id": volume_id}}

    def disconnect(self, volume_id: str, connector_id: str) -> None:
        """Take the way back."""
        with self.tree.locks.hold(volume_id):
            head = self.tree.head(volume_id)
            if head is None or connector_id not in head.connectors:
                return
            left = {key: connector for key, connector in head.connectors.items() if key != connector_id}
            with true_reasons("take the volume back"):
                self._settle(volume_id, left)
            super().disconnect(volume_id, connector_id)

    def close(self) -> None:
        """Let go; the daemons go on."""
        super().close()
        self._iscsi_watch.close()

    def _settle(self, volume_id: str, connectors: dict[str, Connector] | None = None) -> None:
        """Make the targets of a volume be those of who is connected from here.  Whoever calls holds the volume's lock."""
        head = self.tree.head(volume_id)
        if connectors is None:
            connectors = head.connectors if head else {}
        connectors = {key: connector for key, connector in connectors.items() if connector.host == self._host}
        with self._target_lock:
            if not connectors and self._target.find() is None:
                self._stop_gate(volume_id)
                return
            self._alive()
            ours = f"{PREFIX}{volume_id}."
            fresh = head is not None and iscsi_gate.size_bytes(self._units, volume_id) >= head.size_bytes
            for name in self._target.targets():
                if name.startswith(ours) and not (fresh and name.removeprefix(ours) in connectors):
                    self._target.remove(name, self._account(name.removeprefix(ours))[0])
            if not connectors:
                self._stop_gate(volume_id)
                self._end_when_idle()
                return
            if not fresh:
                self._stop_gate(volume_id)
                process = iscsi_gate.start(self._units, volume_id, self.serving.socket(volume_id))
                self._iscsi_watch.add(volume_id, process)
            elif self._iscsi_watch.get(volume_id) is None and (found := daemon.find(self._units / volume_id)):
                self._iscsi_watch.add(volume_id, found)
            present = self._target.targets()
            for connector in connectors.values():
                if _name(volume_id, connector.id) not in present:
                    self._add(volume_id, connector)

    def _add(self, volume_id: str, connector: Connector) -> None:
        parameters = {"scsi_sn": volume_id, "vendor_id": "Pileus", "product_id": "Volume", "thin_provisioning": "1"}
        parameters |= {"readonly": "1"} if connector.read_only else {}
        path = iscsi_gate.unit(self._units, volume_id)
        self._target.add(_name(volume_id, connector.id), path, parameters, *self._account(connector.id))

    def _alive(self) -> None:
        """Have tgtd run, and be watched."""
        if self._iscsi_watch.get(TGTD) is None:
            self._iscsi_watch.add(TGTD, self._target.find() or self._target.start())

    def _end_when_idle(self) -> None:
        if not self._target.targets():
            self._iscsi_watch.forget(TGTD)
            self._target.stop()

    def _stop_gate(self, volume_id: str) -> None:
        self._iscsi_watch.forget(volume_id)
        iscsi_gate.stop(self._units, volume_id)

    def _ended(self, key: str) -> None:
        """A daemon has ended unasked."""
        for head in self.tree.own_heads() if key == TGTD else filter(None, [self.tree.head(key)]):
            with self.tree.locks.hold(head.id):
                if head.connectors and not self._closing.is_set():
                    self._settle(head.id)

    def _resume(self) -> None:
        super()._resume()
        for head in self.tree.own_heads():
            if head.connectors and not self._closing.is_set():
                with contextlib.suppress(VolumeDriverError), self.tree.locks.hold(head.id), true_reasons("serve the volume"):
                    self._settle(head.id)

    def _account(self, connector_id: str) -> tuple[str, str]:
        """The name and the password of an attachment."""
        digest = hmac.new(self._key, connector_id.encode(), hashlib.sha256).digest()
        return connector_id, b32encode(digest).decode().lower()[:PASSWORD_CHARACTERS]


class IscsiBackend(IscsiServing):
    """Serves files, and does all else that `FileBackend` does."""

    def __init__(
        self, directory: Path, run_directory: Path, host: str, identity: Identity | None = None, *, netns: str = ""
    ) -> None:
        tree = tree_in(directory)
        super().__init__(tree, Files(tree), run_directory, host, netns, identity)


def _name(volume_id: str, connector_id: str) -> str:
    return f"{PREFIX}{volume_id}.{connector_id}"


def _key(path: Path) -> bytes:
    """Read the key, or make one; it appears whole."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(secrets.token_bytes(32))
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(new, path)
    new.unlink()
    return path.read_bytes()
