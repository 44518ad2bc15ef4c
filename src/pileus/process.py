"""The one process of an embedded cloud: how it is started, found again and stopped.

The state directory holds a lock that the running process keeps, with its pid in it: who can take the lock knows that no
process runs, whatever a pid file of a machine that lost power says.
"""

import fcntl
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO


class AlreadyRunning(Exception):
    """A cloud with this state directory runs already."""


@dataclass(frozen=True)
class Running:
    """The process that serves a state directory."""

    pid: int
    url: str
    name: str
    started_at: float


def hold(state_dir: Path, running: Running) -> IO[str]:
    """Become the process of a state directory; holds until the returned file is closed or the process ends.

    :raises AlreadyRunning: when there is one.
    """
    file = open(state_dir / "process.json", "a+", encoding="utf-8")  # noqa: SIM115  (kept open as long as we run)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise AlreadyRunning(f"a cloud runs in {state_dir} already; `pileus status` shows it") from None
    file.truncate(0)
    file.write(json.dumps(asdict(running)))
    file.flush()
    return file


def find(state_dir: Path) -> Running | None:
    """Return the process of a state directory, or None when none runs."""
    try:
        with open(state_dir / "process.json", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return Running(**json.loads(file.read()))
            return None
    except (FileNotFoundError, ValueError, PermissionError):
        return None


def name_of(state_dir: Path) -> str | None:
    """Return the name of the cloud whose state this is, whether it runs or not; None when there was none yet.

    What a cloud makes on the machine carries its name, so a state directory keeps the one that it was first started with.
    """
    try:
        return str(json.loads((state_dir / "process.json").read_text())["name"])
    except (FileNotFoundError, ValueError, KeyError, PermissionError):
        return None


def stop(state_dir: Path, timeout_seconds: float = 20.0) -> bool:
    """End the process of a state directory, by force after a while; tells whether there was one."""
    running = find(state_dir)
    if running is None:
        return False
    _signal(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_seconds
    while find(state_dir) is not None:
        if time.monotonic() > deadline:
            _signal(running.pid, signal.SIGKILL)
        time.sleep(0.05)
    return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
