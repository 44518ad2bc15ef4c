"""Running qemu-img.  Formats are always told, never guessed, and what it says when it fails is passed on.

A program ends with the thread that waits for it, so also when the process is killed: none is left that holds a lock on a file.
"""

import errno
import subprocess
import time
from collections.abc import Callable, Sequence

from pileus.volume.driver import BackendFull, VolumeDriverError

QEMU_IMG = "qemu-img"
QUICK_SECONDS = 60.0
COPY_SECONDS = 6 * 3600.0
LOOK_SECONDS = 0.02
FULL = ("No space left on device", "Disk quota exceeded", "File too large")


class Interrupted(VolumeDriverError):
    """Somebody who matters more wanted the volume."""


def run(
    command: Sequence[str],
    timeout_seconds: float = QUICK_SECONDS,
    *,
    stop: Callable[[], bool] | None = None,
    keep_fd: int | None = None,
) -> str:
    """Run a program to its end and return what it printed.  When `stop` turns true it is killed.

    :raises BackendFull: when it had no room.
    :raises Interrupted: when it was stopped.
    :raises VolumeDriverError: with what it said, when it failed or took too long.
    """
    whole = ["setpriv", "--pdeathsig", "KILL", "--", *command]
    try:
        child = subprocess.Popen(
            whole,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=() if keep_fd is None else (keep_fd,),
        )
    except OSError as error:
        raise VolumeDriverError(f"cannot start {command[0]}: {error}") from error
    with child:
        said, wrong = _await(child, list(command), timeout_seconds, stop)
    if child.returncode != 0:
        raise failure(f"{' '.join(command[:2])} failed: {wrong.strip() or f'status {child.returncode}'}")
    return said


def _await(
    child: "subprocess.Popen[str]", command: list[str], timeout_seconds: float, stop: Callable[[], bool] | None
) -> tuple[str, str]:
    deadline = time.monotonic() + timeout_seconds
    while True:
        left = deadline - time.monotonic()
        try:
            return child.communicate(timeout=max(0.0, left if stop is None else min(left, LOOK_SECONDS)))
        except subprocess.TimeoutExpired:
            if stop is not None and stop():
                child.kill()
                raise Interrupted(f"{command[0]} was stopped") from None
            if time.monotonic() >= deadline:
                child.kill()
                raise VolumeDriverError(f"{' '.join(command[:2])} did not end in {timeout_seconds:g} s") from None


def failure(text: str) -> VolumeDriverError:
    """Return the error for what a program or a daemon said."""
    return BackendFull(text) if any(sign in text for sign in FULL) else VolumeDriverError(text)


def os_failure(what: str, error: OSError) -> VolumeDriverError:
    """Return the error for a system call that failed."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return (BackendFull if full else VolumeDriverError)(f"{what}: {error.strerror or error}")
