"""The files that calls name: what the control plane has is fetched before a call, what a call makes is sent there after it.

Paths in a call are those of the process that calls.  Read-only files that guests are made of stay here, under the same name,
until no guest of this host needs them; a list for each guest (bases/.guests/ID) says which those are.

A guest that goes to another host has its disks in leaving/ for as long as it goes, open to hosts; that one keeps in arriving/ID/
what it has of them, until it has all.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pileus.certificates import Identity
from pileus.compute.driver import DiskSpec, DriverError, GuestSpec, GuestState
from pileus.compute.moving import Luggage
from pileus.kernel import ids, peers
from pileus.kernel.answering import Do
from pileus.kernel.wire import Call
from pileus.volume.driver import VolumeDriverError, VolumeSpec

FOLDERS = {"bases": "bases", "snapshots": "snapshots", "work": "volumes/.work"}  # open to hosts, in the state directory
GUESTS = ".guests"
LEAVING, ARRIVING = "leaving", "arriving"


def folders(state_dir: Path) -> dict[str, Path]:
    """Return the folders that are open to the cloud's hosts, by name."""
    return {name: state_dir / place for name, place in FOLDERS.items()}


class Files:
    """Stands around the calls of a host's drivers.

    :param streams: `https://HOST:PORT` of this host, under which its guests' consoles are reached.
    """

    def __init__(self, identity: Identity, state_dir: Path, streams: str) -> None:
        self._identity, self._state_dir, self._streams = identity, state_dir, streams
        self._bases = state_dir / FOLDERS["bases"]
        self._lock = threading.Lock()
        self._fetching: dict[str, threading.Lock] = {}

    def around(self, call: Call, arguments: dict[str, Any], do: Do) -> Any:
        """Do a call with the files that it names at hand.  :raises Exception: what the contract of the role names."""
        match call.role, call.method:
            case "hypervisor", "ensure":
                return do({"spec": self._guest(call.origin, arguments["spec"])})
            case "hypervisor", "pack":
                return self.packed(arguments, do)
            case "hypervisor", "unpack":
                return self._unpacked(call.origin, arguments["spec"], arguments["luggage"], do)
            case "hypervisor", "receive":
                return do({**arguments, "spec": self._guest(call.origin, arguments["spec"])})
            case "hypervisor", ("destroy" | "refuse"):
                answer = do(arguments)
                if answer is not False:
                    self._forget(arguments["guest_id"])
                return answer
            case "hypervisor", ("observe" | "observe_all"):
                return self._reachable(do(arguments))
            case "hypervisor", "capture":
                return self._made(call.origin, arguments, "target_path", do, DriverError)
            case "volume", "copy_out":
                return self._made(call.origin, arguments, "path", do, VolumeDriverError)
            case "volume", "ensure":
                with self._filled(call.origin, arguments["spec"]) as spec:
                    return do({"spec": spec})
        return do(arguments)

    def _guest(self, origin: str, spec: GuestSpec) -> GuestSpec:
        self.close(spec.id)
        named = {Path(disk.source).name for disk in spec.disks if disk.source}
        with self._lock:
            _write_lines(self._bases / GUESTS / spec.id, sorted(named))
        return replace(spec, disks=tuple(self._disk(origin, disk) for disk in spec.disks))

    def _disk(self, origin: str, disk: DiskSpec) -> DiskSpec:
        if not disk.source:
            return disk
        folder, name = _place(disk.source)
        kept = self._bases / name
        with self._lock:
            alone = self._fetching.setdefault(name, threading.Lock())
        with alone:
            if not kept.exists():
                try:
                    peers.fetch(self._identity, origin, folder, name, kept)
                except peers.PeerError as error:
                    raise DriverError(str(error)) from error
        return replace(disk, source=str(kept))

    def _forget(self, guest_id: str) -> None:
        """Remove the files that no guest needs any more."""
        self.close(guest_id)
        self.drop(guest_id)
        with self._lock:
            (self._bases / GUESTS / guest_id).unlink(missing_ok=True)
            used = {name for file in _files(self._bases / GUESTS) for name in file.read_text().splitlines()}
            for file in _files(self._bases):
                if file.name not in used:
                    file.unlink(missing_ok=True)

    def packed(self, arguments: dict[str, Any], do: Do) -> Luggage:
        """Have a driver pack a guest into the directory that is open to hosts."""
        leaving = self._state_dir / LEAVING
        leaving.mkdir(mode=0o700, parents=True, exist_ok=True)
        found: Luggage = do({**arguments, "directory": str(leaving)})
        return replace(found, directory="", origin=self._streams)

    def close(self, guest_id: str) -> None:
        """Let no other host have the disks of a guest any more."""
        for file in (self._state_dir / LEAVING).glob(f"{_plain(guest_id)}.*"):
            file.unlink(missing_ok=True)

    def collect(self, luggage: Luggage) -> Luggage:
        """Fetch what a guest takes along, but what has arrived already.  :raises DriverError: when it cannot be had."""
        arrived = replace(luggage, directory=str(self._arriving(luggage.guest_id) / _plain(luggage.ticket)))
        for parcel in luggage.files:
            target = arrived.path(_plain(parcel.name))
            if target.exists() and target.stat().st_size == parcel.size_bytes:
                continue
            try:
                peers.fetch(self._identity, luggage.origin, LEAVING, target.name, target, holes=True)
            except peers.PeerError as error:
                raise DriverError(str(error)) from error
        return arrived

    def drop(self, guest_id: str) -> None:
        """Forget what was fetched of a guest."""
        shutil.rmtree(self._arriving(guest_id), ignore_errors=True)

    def _arriving(self, guest_id: str) -> Path:
        return self._state_dir / ARRIVING / _plain(guest_id)

    def _unpacked(self, origin: str, spec: GuestSpec, luggage: Luggage, do: Do) -> None:
        do({"luggage": self.collect(luggage), "spec": self._guest(origin, spec)})
        self.drop(luggage.guest_id)

    def _reachable(self, found: Any) -> Any:
        if isinstance(found, dict):
            return {id: self._reachable(state) for id, state in found.items()}
        if not isinstance(found, GuestState):
            return found
        vnc, serial = (
            f"{self._streams}/streams/{found.id}/{kind}" if path else ""
            for kind, path in (("vnc", found.vnc), ("serial", found.serial))
        )
        return replace(found, vnc=vnc, serial=serial)

    def _made(self, origin: str, arguments: dict[str, Any], name: str, do: Do, kind: type[Exception]) -> None:
        folder, file = _place(arguments[name])
        here = self._state_dir / "made" / f"{ids.hex_id()}-{file}"
        here.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            do({**arguments, name: str(here)})
            peers.send(self._identity, origin, folder, file, here)
        except peers.PeerError as error:
            raise kind(str(error)) from error
        finally:
            here.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _filled(self, origin: str, spec: VolumeSpec) -> Iterator[VolumeSpec]:
        if spec.source is None or not spec.source.path:
            yield spec
            return
        folder, name = _place(spec.source.path)
        here = self._state_dir / "made" / f"{ids.hex_id()}-{name}"
        try:
            peers.fetch(self._identity, origin, folder, name, here)
            yield replace(spec, source=replace(spec.source, path=str(here)))
        except peers.PeerError as error:
            raise VolumeDriverError(str(error)) from error
        finally:
            here.unlink(missing_ok=True)


def _plain(name: str) -> str:
    """Return a name that is one of a file.  :raises DriverError: when it is none."""
    if not peers.NAME.match(name):
        raise DriverError(f"{name!r} is no name of a file.")
    return name


def _place(path: str) -> tuple[str, str]:
    """Return the open folder that a path of another process is in, and its name there."""
    for folder, place in FOLDERS.items():
        if f"{Path(path).parent}/".endswith(f"/{place}/"):
            return folder, Path(path).name
    raise DriverError(f"{path} is in none of the folders that hosts may use.")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")] if folder.exists() else []


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{ids.hex_id()}")
    new.write_text("".join(f"{line}\n" for line in lines))
    os.rename(new, path)
