"""A tgtd of our own: what serves volumes over iSCSI, and how it is told to.

    <directory>/tgt.0, tgt.0.lock    its control socket, and the lock that it holds for as long as it lives
    <directory>/portal               where it listens: the same again after a restart, so that initiators find it
    <directory>/log

It is spoken to over its control socket as tgtadm does, but without that program: passwords would stand on its command line.  A
request is a head of 120 bytes and parameters as text, an answer eight bytes and text (usr/tgtadm.h of tgt 1.0).

A tgtd that cannot have its portal listens on port 3260 of all addresses instead, so it is asked where it does, and is ended when
that is not where it should.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from pileus.volume.driver import VolumeDriverError
from pileus.volume.drivers.layers.programs import run
from pileus.volume.drivers.nbd.daemon import UNPRIVILEGED, Process, lock_holder, reap

PROGRAM = "tgtd"
HEAD = "<II64sIiQQIIIIII"
HEAD_BYTES = struct.calcsize(HEAD)
MODES = {"target": 1, "lun": 2, "portal": 3, "account": 7}
OPS = {"new": 0, "delete": 1, "show": 2, "bind": 3, "unbind": 4, "update": 5}
NOBODY = 0xFFFFFFFFFFFFFFFF
ACTIVE = (19, 20)
ERRORS = {4: "no such target", 5: "no such unit", 9: "the target is there already", 15: "no such account", 17: "not understood"}
COMMAND_SECONDS = 10.0
START_SECONDS = 10.0
KILL_SECONDS = 10.0
ADDRESS = "127.0.0.1"
PORTS = range(3261, 3361)
LUN = 1

TARGET = re.compile(r"^Target (\d+): (\S+)", re.MULTILINE)


class TargetDaemon:
    """The tgtd of one back end.  Not safe for many threads: whoever calls holds a lock."""

    def __init__(self, directory: Path, netns: str = "") -> None:
        self.directory, self._netns = directory, netns

    @property
    def portal(self) -> str:
        """Where it listens, as ADDRESS:PORT."""
        return (self.directory / "portal").read_text().strip()

    def find(self) -> Process | None:
        """Return the daemon if it lives."""
        pid = lock_holder(self.directory / "tgt.0.lock")
        if pid is None:
            return None
        try:
            process = Process(pid)
        except OSError:
            return None
        return process if lock_holder(self.directory / "tgt.0.lock") == pid else None

    def start(self) -> Process:
        """Start the daemon where it listened before, or on the first port that is free.

        :raises VolumeDriverError: when it does not come up.
        """
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            return self._start(self.portal)
        for port in PORTS:
            portal = f"{ADDRESS}:{port}"
            with contextlib.suppress(_Taken):
                process = self._start(portal)
                (self.directory / "portal").write_text(portal)
                return process
        raise VolumeDriverError(f"tgtd finds no free port from {PORTS[0]} to {PORTS[-1]}")

    def stop(self) -> None:
        """End the daemon, with all its targets.  It keeps nothing back: what was not flushed yet is in the files already.

        :raises VolumeDriverError: when it does not die.
        """
        if (process := self.find()) is not None:
            _kill(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def targets(self) -> dict[str, int]:
        """Return the numbers of all targets by name."""
        return {name: int(number) for number, name in TARGET.findall(self._ask("target", "show"))}

    def add(self, name: str, path: Path, parameters: Mapping[str, str], user: str, password: str) -> None:
        """Serve a file as the only unit of a new target, to whoever has the password.  The target is seen when it is whole.

        :raises VolumeDriverError: when the daemon refuses; then there is no such target.
        """
        taken = set(self.targets().values())
        number = next(number for number in range(1, len(taken) + 2) if number not in taken)
        self._ask("target", "new", number, text=f"targetname={name}")
        try:
            self._ask("lun", "new", number, LUN, text=f"path={path},bstype=rdwr,bsoflags=direct")
            self._ask("lun", "update", number, LUN, text=f"targetOps {','.join(f'{k}={v}' for k, v in parameters.items())}")
            self._forget_account(user)
            self._ask("account", "new", text=f"user={user},password={password}")
            self._ask("account", "bind", number, text=f"user={user}")
            self._ask("target", "bind", number, text="initiator-address=ALL")
        except VolumeDriverError:
            with contextlib.suppress(VolumeDriverError):
                self._delete(number)
            raise

    def remove(self, name: str, user: str) -> None:
        """Remove a target with all who are connected to it, and its account; nothing happens when there is none.

        :raises VolumeDriverError: when what was being written does not end in time.
        """
        number = self.targets().get(name)
        if number is not None:
            with contextlib.suppress(VolumeDriverError):  # whoever is cut off does not come back meanwhile
                self._ask("target", "unbind", number, text="initiator-address=ALL")
            self._delete(number)
        self._forget_account(user)

    def _delete(self, number: int) -> None:
        deadline = time.monotonic() + COMMAND_SECONDS
        while True:
            try:
                self._ask("target", "delete", number, force=True)
            except Busy:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
            else:
                return

    def _forget_account(self, user: str) -> None:
        with contextlib.suppress(VolumeDriverError):
            self._ask("account", "delete", text=f"user={user}")

    def _ask(self, mode: str, op: str, tid: int = -1, lun: int = NOBODY, *, force: bool = False, text: str = "") -> str:
        """Have the daemon do something and return what it said.

        :raises VolumeDriverError: when it refuses, does not answer in time, or has gone.
        """
        body = text.encode() + b"\0" if text else b""
        numbers = (HEAD_BYTES + len(body), tid, 0, lun, 0, 0, 0, 0, 0, int(force))
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(COMMAND_SECONDS)
                connection.connect(str(self.directory / "tgt.0"))
                connection.sendall(struct.pack(HEAD, MODES[mode], OPS[op], b"iscsi", *numbers) + body)
                error, length = struct.unpack("<II", _receive(connection, 8))
                said = _receive(connection, max(0, length - 8)) if not error else b""
        except OSError as failed:
            raise VolumeDriverError(f"tgtd does not answer: {failed}") from failed
        if error in ACTIVE:
            raise Busy(f"tgtd refused to {op} {mode}: it is in use")
        if error:
            raise VolumeDriverError(f"tgtd refused to {op} {mode}: {ERRORS.get(error, f'error {error}')}")
        return said.rstrip(b"\0").decode(errors="replace")

    def _start(self, portal: str) -> Process:
        command = []
        if self._netns:
            run(["ip", "-n", self._netns, "link", "set", "lo", "up"])
            command = ["nsenter", f"--net=/run/netns/{self._netns}", "--"]
        command += [*(UNPRIVILEGED if os.geteuid() == 0 else ()), PROGRAM, "-f", "-C", "0", "--iscsi", f"portal={portal}"]
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        environment = os.environ | {"TGT_IPC_SOCKET": str(self.directory / "tgt"), "PATH": path}
        with (self.directory / "log").open("wb") as log:
            try:
                child = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
                )
            except OSError as error:
                raise VolumeDriverError(f"cannot start {PROGRAM}: {error}") from error
        self._await(child)
        child.returncode = 0  # from now on it is the watch that waits for it, by its pidfd
        process = Process(child.pid)
        if f"Portal: {portal}," not in self._ask("portal", "show"):
            _kill(process)
            raise _Taken(f"tgtd cannot listen at {portal}: {self._last_words()}")
        return process

    def _await(self, child: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if child.poll() is not None:
                raise VolumeDriverError(f"tgtd ended with status {child.returncode}: {self._last_words()}")
            with contextlib.suppress(VolumeDriverError):
                self._ask("portal", "show")
                return
            if time.monotonic() > deadline:
                child.kill()
                child.wait()
                raise VolumeDriverError(f"tgtd did not come up in {START_SECONDS:g} s: {self._last_words()}")
            time.sleep(0.005)

    def _last_words(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-1000:].strip()


class Busy(VolumeDriverError):
    """Something is being written."""


class _Taken(VolumeDriverError):
    """Somebody else listens there."""


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)  # it does not end for less while it has targets
    if not process.ended(KILL_SECONDS):
        raise VolumeDriverError(f"tgtd {process.pid} does not die")
    reap(process.pid)


def _receive(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        data = connection.recv(count - len(found))
        if not data:
            raise ConnectionResetError("it has gone")
        found += data
    return found
