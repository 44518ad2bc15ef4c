"""The ways of this host's guests to volumes that other hosts serve.

QEMU may be in a network namespace that has no way to other hosts.  So a storage daemon on this side of it, one for each volume of
a guest, connects to the other host by NBD and TLS, with this host's certificate, and passes on what comes in at a unix socket:

    guests/ID/relays/VOLUME/    nbd, qmp, pid, qemu.log, plan.json

A relay keeps nothing back: what it has acknowledged is with the other host.  It goes on when we stop, and is found again by its
pid file.  One that ends unasked is started again within a second or so, and QEMU waits for it; it is ended when the guest's
process has ended, or the guest has the volume no more.
"""

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pileus.compute.driver import DiskSpec, DriverError
from pileus.compute.drivers.qemu import nodes, process
from pileus.compute.drivers.qemu.place import Place
from pileus.compute.drivers.qemu.reach import await_reachable

PROGRAM = "qemu-storage-daemon"
UNPRIVILEGED = ("setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--")
START_SECONDS = 15.0
LOOK_SECONDS = 1.0
NODE = "relay"

log = logging.getLogger(__name__)


class Relays:
    """Ways to volumes.  Whoever calls for a guest has its turn.

    :param netns: the network namespace of the guests' processes.
    :param certificates: returns the directory of this host's certificate, in QEMU's form.
    """

    def __init__(self, netns: str | None, certificates: Callable[[], str]) -> None:
        self._netns, self._certificates = netns, certificates
        self._guests: set[str] = set()
        self._children: dict[Path, int] = {}
        self._closing = threading.Event()

    def reach(self, place: Place, disk: DiskSpec) -> None:
        """Return when a volume answers, by a relay where one is needed.

        :raises DriverError: when it does not in time.
        """
        if not nodes.relay(disk):
            await_reachable(disk, self._netns)
            return
        if not self._serves(place, disk):
            await_reachable(disk, None)
            self._start(place, disk)

    def renew(self, place: Place, disk: DiskSpec) -> None:
        """Have a relay connect anew: it passes on the size that a volume had then.

        :raises DriverError: when the volume does not answer.
        """
        if nodes.relay(disk):
            self._end(_home(place, disk.id))
            self.reach(place, disk)

    def settle(self, place: Place, keep: bool = False) -> None:
        """End the relays that a guest does not use, and start those again that it does.

        :param keep: it may use others, too, than those that are written down.
        :raises DriverError: when one cannot be started.
        """
        there = _relayed(place)
        if not there:
            self._guests.discard(place.guest_id)
            return
        self._guests.add(place.guest_id)
        record = place.record() if process.find(place) is not None else None
        wanted = {disk.id: disk for disk in (record.volumes if record else ()) if nodes.relay(disk)}
        for volume_id in there:
            if volume_id in wanted:
                self.reach(place, wanted[volume_id])
            elif not keep:
                self._end(_home(place, volume_id))

    def end(self, place: Place) -> None:
        """End all relays of a guest.  :raises DriverError: when one does not die."""
        for volume_id in _relayed(place):
            self._end(_home(place, volume_id))

    def look_after(self, places: Iterable[Place], look: Callable[[str], None]) -> None:
        """Have a guest's relays looked at from time to time, as long as it has some."""
        self._guests |= {place.guest_id for place in places if _relayed(place)}
        threading.Thread(target=self._run, args=(look,), name="relays", daemon=True).start()

    def close(self) -> None:
        """Look after them no more; they go on."""
        self._closing.set()

    def _run(self, look: Callable[[str], None]) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            for guest_id in tuple(self._guests):
                try:
                    look(guest_id)
                except (DriverError, OSError) as error:
                    log.warning("relays of guest %s: %s", guest_id, error)

    def _serves(self, place: Place, disk: DiskSpec) -> bool:
        """Tell whether a volume's relay lives and leads to where the volume is."""
        home = _home(place, disk.id)
        if process.find(home) is None:
            return False
        try:
            return (home.path / "plan.json").read_text() == _plan(disk)
        except FileNotFoundError:
            return False

    def _start(self, place: Place, disk: DiskSpec) -> None:
        home = _home(place, disk.id)
        self._end(home)
        home.path.mkdir(parents=True, mode=0o700)
        self._guests.add(place.guest_id)
        command = [*(UNPRIVILEGED if os.geteuid() == 0 else ()), PROGRAM, *_arguments(disk, self._certificates())]
        try:
            child = process.spawn(home, command, None)
            self._children[home.path] = child.pid
            process.await_start(home, child, START_SECONDS)
        except DriverError as error:
            raise DriverError(f"volume {disk.id} is not reached at {nodes.portal(disk)}: {error}") from error
        (home.path / "plan.json").write_text(_plan(disk))

    def _end(self, home: Place) -> None:
        process.kill(home)
        if (pid := self._children.pop(home.path, None)) is not None:
            process.reap(pid)
        shutil.rmtree(home.path, ignore_errors=True)


def _home(place: Place, volume_id: str) -> Place:
    """Return the directory of a relay, which has what that of a guest's process has."""
    return Place(place.path / nodes.RELAYS / volume_id)


def _relayed(place: Place) -> list[str]:
    """Return the ids of the volumes that have relays, or had some."""
    try:
        return sorted(os.listdir(place.path / nodes.RELAYS))
    except FileNotFoundError:
        return []


def _plan(disk: DiskSpec) -> str:
    return json.dumps(_arguments(disk, ""))


def _arguments(disk: DiskSpec, certificates: str) -> list[str]:
    data = disk.connection["data"]
    try:
        server = {"type": "inet", "host": str(data["host"]), "port": str(data["port"])}
    except KeyError as error:
        raise DriverError(f"volume {disk.id} cannot be reached: its connection lacks {error}") from error
    name, writable = str(data.get("export", "")), not disk.read_only
    credentials = {"qom-type": "tls-creds-x509", "id": "tls", "endpoint": "client", "dir": certificates, "verify-peer": True}
    client: dict[str, Any] = {"driver": "nbd", "server": server, "export": name, "reconnect-delay": nodes.RECONNECT_SECONDS}
    client |= {"tls-creds": "tls", "tls-hostname": str(data["tls_hostname"]), "discard": "unmap", "read-only": not writable}
    node = {"driver": "raw", "node-name": NODE, "read-only": not writable, "discard": "unmap", "file": client}
    export = {"type": "nbd", "id": NODE, "node-name": NODE, "name": name, "writable": writable}
    return [
        "--pidfile", "pid", "--chardev", "socket,id=monitor,path=qmp,server=on,wait=off", "--monitor", "chardev=monitor",
        "--object", json.dumps(credentials), "--blockdev", json.dumps(node),
        "--nbd-server", json.dumps({"addr": {"type": "unix", "path": "nbd"}}), "--export", json.dumps(export),
    ]  # fmt: skip
