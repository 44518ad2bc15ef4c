"""A volume as a plain file, for a program that knows files only: a storage daemon that shows the volume's NBD export by FUSE.

    <directory>/<volume id>/pid, log    the daemon: found again by the lock on its pid file
    <directory>/<volume id>.unit        the file.  Beside the directory, which goes with the daemon

It waits for the daemon of the volume when that is started anew, so whoever reads the file notices a pause.  To mount is the one
right of root that it keeps.
"""

import contextlib
import ctypes
import json
import os
import subprocess
import time
from pathlib import Path

from pileus.volume.driver import VolumeDriverError
from pileus.volume.drivers.nbd import daemon, nodes

PRIVILEGES = ("setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+sys_admin", "--")
START_SECONDS = 15.0
MNT_DETACH = 2


def unit(directory: Path, volume_id: str) -> Path:
    """Return the file that shows a volume."""
    return directory / f"{volume_id}.unit"


def size_bytes(directory: Path, volume_id: str) -> int:
    """Return how large the file is, or 0 when nothing is shown by it."""
    if daemon.find(directory / volume_id) is None:
        return 0
    try:
        return unit(directory, volume_id).stat().st_size
    except OSError:
        return 0


def start(directory: Path, volume_id: str, nbd_socket: Path) -> daemon.Process:
    """Show a volume by its file.

    :raises VolumeDriverError: with what the daemon said, when it does not come up.
    """
    stop(directory, volume_id)
    home, path = directory / volume_id, unit(directory, volume_id)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    export = {"type": "fuse", "id": "unit", "node-name": "gate", "mountpoint": str(path), "writable": True}
    node = nodes.remote(nbd_socket, volume_id, writable=True)
    command = [*PRIVILEGES, daemon.PROGRAM, "--pidfile", "pid", "--blockdev", json.dumps(node), "--export", json.dumps(export)]
    try:
        with (home / "log").open("wb") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home, start_new_session=True)
    except OSError as error:
        raise VolumeDriverError(f"cannot start {daemon.PROGRAM}: {error}") from error
    deadline = time.monotonic() + START_SECONDS
    while daemon.lock_holder(home / "pid") != child.pid or not path.stat().st_size:
        if child.poll() is not None:
            raise VolumeDriverError(f"the daemon that shows the volume ended: {daemon.last_words(home)}")
        if time.monotonic() > deadline:
            child.kill()
            child.wait()
            raise VolumeDriverError(f"the daemon that shows the volume did not come up in {START_SECONDS:g} s")
        time.sleep(0.002)
    child.returncode = 0  # from now on it is the watch that waits for it, by its pidfd
    return daemon.Process(child.pid)


def stop(directory: Path, volume_id: str) -> None:
    """Show a volume no more; nothing happens when none is shown.

    :raises VolumeDriverError: when the daemon does not die.
    """
    daemon.stop(directory / volume_id)
    path = unit(directory, volume_id)
    libc = ctypes.CDLL(None, use_errno=True)
    while libc.umount2(os.fsencode(path), MNT_DETACH) == 0:  # what a daemon that was killed left
        pass
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
