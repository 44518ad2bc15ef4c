"""One storage daemon: how it is started, found again, and ended.

It writes its pid file once it serves, and holds a lock on it for as long as it lives.  The kernel tells whether somebody does,
so a pid is not taken on trust: not after a restart, and not when the number was given to another process.  It has no rights
but those of the owner of the files: no capabilities, and no new privileges.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pileus.volume.driver import VolumeDriverError
from pileus.volume.drivers.layers.programs import failure

PROGRAM = "qemu-storage-daemon"
FLOCK = "hhqqi4x"
START_SECONDS = 15.0
KILL_SECONDS = 10.0
WORDS_MAX = 2000
UNPRIVILEGED = ("setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--")

Node = Mapping[str, Any]


@dataclass(frozen=True)
class Export:
    """Something to be had under a name."""

    name: str
    node: str
    writable: bool


@dataclass(frozen=True)
class Plan:
    """What a daemon serves.  Without an address, on the unix socket `nbd` in its directory; `tls_dir` has its certificate."""

    nodes: Sequence[Node]
    exports: Sequence[Export]
    address: str = ""
    port: int = 0
    tls_dir: str = ""
    allowed: Sequence[str] = field(default=())


class Process:
    """A daemon that lives.  `pidfd` stays that of this process, whatever becomes of its number."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)

    def __del__(self) -> None:
        if hasattr(self, "pidfd"):
            os.close(self.pidfd)

    def ended(self, timeout_seconds: float) -> bool:
        """Wait until it has ended, and say whether it has."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(timeout_seconds * 1000))


def start(directory: Path, plan: Plan) -> Process:
    """Start a daemon and wait until it serves.

    :raises VolumeDriverError: with what it said, when it does not come up.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with contextlib.ExitStack() as stack:
            log = stack.enter_context((directory / "log").open("wb"))
            listener = stack.enter_context(_listener(plan)) if plan.address else None
            server = {"type": "fd", "str": str(listener.fileno())} if listener else {"type": "unix", "path": "nbd"}
            command = [*(UNPRIVILEGED if os.geteuid() == 0 else ()), PROGRAM, *_arguments(plan, server)]
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory, start_new_session=True,
                pass_fds=[listener.fileno()] if listener else (),
            )  # fmt: skip
    except OSError as error:
        raise VolumeDriverError(f"cannot start {PROGRAM}: {error}") from error
    _await(directory, child)
    return Process(child.pid)


def find(directory: Path) -> Process | None:
    """Return the daemon of a directory if it lives."""
    pid = lock_holder(directory / "pid")
    if pid is None:
        return None
    try:
        process = Process(pid)
    except (ProcessLookupError, OSError):
        return None
    return process if lock_holder(directory / "pid") == pid else None


def stop(directory: Path) -> None:
    """End the daemon of a directory, once all that it was sent is written, and remove the directory.

    :raises VolumeDriverError: when it does not die.
    """
    process = find(directory)
    if process is not None:
        for number, seconds in ((signal.SIGTERM, KILL_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process.pidfd, number)
            if process.ended(seconds):
                break
        else:
            raise VolumeDriverError(f"storage daemon {process.pid} does not die")
        reap(process.pid)
    shutil.rmtree(directory, ignore_errors=True)


def reap(pid: int) -> None:
    """Take the exit status of a process that ended, when it was our child."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def last_words(directory: Path) -> str:
    """Return what a daemon wrote to its standard error."""
    try:
        text = (directory / "log").read_text(errors="replace")[-WORDS_MAX:].strip()
    except FileNotFoundError:
        return ""
    return text.replace(f"{PROGRAM}: ", "")


def _listener(plan: Plan) -> socket.socket:
    """Listen for a daemon, which does not do what is done here: say that answers are not to wait until they fill a packet.

    Connections have that of the socket that they came in by.  Without it, the end of an answer waits 40 ms and more until the
    other side says that it has got the beginning.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in plan.address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((plan.address, plan.port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise VolumeDriverError(f"cannot listen at {plan.address} port {plan.port}: {error.strerror}") from error
    return listener


def _arguments(plan: Plan, address: Mapping[str, str]) -> list[str]:
    found = ["--pidfile", "pid", "--chardev", "socket,id=monitor,path=qmp,server=on,wait=off", "--monitor", "chardev=monitor"]
    server: dict[str, Any] = {"addr": address}
    if plan.address:
        credentials = {"qom-type": "tls-creds-x509", "id": "tls", "endpoint": "server", "dir": plan.tls_dir, "verify-peer": True}
        rules = [{"match": name, "policy": "allow", "format": "exact"} for name in plan.allowed]
        allowed = {"qom-type": "authz-list", "id": "allowed", "policy": "deny", "rules": rules}
        found += ["--object", json.dumps(credentials), "--object", json.dumps(allowed)]
        server |= {"tls-creds": "tls", "tls-authz": "allowed"}
    for node in plan.nodes:
        found += ["--blockdev", json.dumps(node)]
    found += ["--nbd-server", json.dumps(server)]
    for number, export in enumerate(plan.exports):
        found += ["--export", json.dumps(export_arguments(f"export{number}", export))]
    return found


def export_arguments(id: str, export: Export) -> dict[str, Any]:
    """Return the arguments of block-export-add."""
    return {"type": "nbd", "id": id, "node-name": export.node, "name": export.name, "writable": export.writable}


def _await(directory: Path, child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while lock_holder(directory / "pid") != child.pid:
        if child.poll() is not None:
            raise failure(f"the storage daemon ended: {last_words(directory) or f'status {child.returncode}'}")
        if time.monotonic() > deadline:
            child.kill()
            child.wait()
            raise VolumeDriverError(f"the storage daemon did not come up in {START_SECONDS:g} s: {last_words(directory)}")
        time.sleep(0.001)
    child.returncode = 0  # from now on it is the watch that waits for it, by its pidfd


def lock_holder(pid_file: Path) -> int | None:
    """Return who holds the lock of a file, or None."""
    try:
        with pid_file.open("rb") as file:
            query = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, query))
            if kind == fcntl.F_UNLCK:
                return None
            return int(pid) if pid > 0 else int(file.read())  # a lock of an open file has no pid, but its writer has
    except (FileNotFoundError, ValueError):
        return None
