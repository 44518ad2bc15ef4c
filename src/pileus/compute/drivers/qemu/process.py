"""Starting a QEMU, finding it again, and ending it.

QEMU writes its own pid file before it makes the machine, and holds a lock on that file for as long as it lives.  The kernel
tells who holds the lock, so a pid is never taken on trust: not after a restart, not after the number was given to another
process, and not when whoever started QEMU was killed the moment after.  The lock also keeps a second QEMU for the same guest out.
"""

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from pileus.compute.driver import DriverError
from pileus.compute.drivers.qemu.netns import inside
from pileus.compute.drivers.qemu.place import Place

FLOCK = "hhqqi4x"
KILL_SECONDS = 10.0
REASON_CHARACTERS_MAX = 2000


class Process:
    """A QEMU.  `pidfd` stays that of this process, whatever becomes of its number; it is closed with the last user of this."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.started_seconds = _started_seconds(pid)

    def __del__(self) -> None:
        if hasattr(self, "pidfd"):
            os.close(self.pidfd)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def ended(self, timeout_seconds: float) -> bool:
        """Wait until the process has ended, and say whether it has."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(timeout_seconds * 1000))


def spawn(place: Place, command: Sequence[str], netns: str | None) -> subprocess.Popen[bytes]:
    """Start QEMU in its own session and in the guest's directory, so that the paths of its sockets are short."""

    def start() -> subprocess.Popen[bytes]:
        with place.process_log.open("wb") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place.path, start_new_session=True
            )

    try:
        return inside(netns, start)
    except OSError as error:
        raise DriverError(f"cannot start {command[0]}: {error}") from error


def find(place: Place) -> Process | None:
    """Return the guest's QEMU if it lives."""
    pid = _lock_holder(place.pid)
    if pid is None:
        return None
    try:
        process = Process(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return process if _lock_holder(place.pid) == pid else None  # still the holder: so the pidfd is that of the holder


def kill(place: Place) -> None:
    """End the guest's QEMU at once.

    :raises DriverError: when it does not die.
    """
    process = find(place)
    if process is None:
        return
    process.kill()
    if not process.ended(KILL_SECONDS):
        raise DriverError(f"process {process.pid} of guest {place.guest_id} does not die")


def await_start(place: Place, child: subprocess.Popen[bytes], timeout_seconds: float) -> None:
    """Wait until QEMU listens for commands.

    :raises DriverError: with what QEMU said, when it ended instead.
    """
    deadline = time.monotonic() + timeout_seconds
    while not (place.qmp.exists() and _lock_holder(place.pid) == child.pid):
        if child.poll() is not None:
            raise DriverError(f"QEMU ended with status {child.returncode}: {last_words(place) or 'it said nothing'}")
        if time.monotonic() > deadline:
            child.kill()
            child.wait()
            raise DriverError(f"QEMU did not come up in {timeout_seconds:g} s: {last_words(place)}")
        time.sleep(0.003)
    child.returncode = 0  # from now on it is the watch that waits for it, by its pidfd


def last_words(place: Place) -> str:
    """What QEMU wrote to its standard error."""
    try:
        text = place.process_log.read_text(errors="replace")[-REASON_CHARACTERS_MAX:].strip()
    except FileNotFoundError:
        return ""
    return text.replace("qemu-system-x86_64: ", "")


def reap(pid: int) -> int | None:
    """Take the exit status of a process that ended; None when it was not our child."""
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if reaped else None


def _lock_holder(pid_file: Path) -> int | None:
    try:
        with pid_file.open("rb") as file:
            query = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, query))
            if kind == fcntl.F_UNLCK:
                return None
            return int(pid) if pid > 0 else int(file.read())  # a lock of an open file has no pid, but its writer has
    except (FileNotFoundError, ValueError):
        return None


def _started_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
