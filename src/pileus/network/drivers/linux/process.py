"""dnsmasq processes: started into a namespace, in a session of their own, and found again by pid and command line."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pileus.network.driver import NetworkDriverError
from pileus.network.drivers.linux.netns import Namespace

START_SECONDS = 10


class Dnsmasq:
    """The dnsmasq whose files are in one directory: `conf` is its configuration, `pid` its process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._conf = directory / "conf"
        self._pid_file = directory / "pid"

    def ensure(self, namespace: Namespace, lines: Sequence[str]) -> bool:
        """Have it run with this configuration. True if it was started now, so has read all its files."""
        text = "\n".join([*lines, f"pid-file={self._pid_file}", ""])
        if self.alive() and self._conf.exists() and self._conf.read_text() == text:
            return False
        self.stop()
        self._conf.write_text(text)
        with namespace.entered():
            done = subprocess.run(
                ["dnsmasq", f"--conf-file={self._conf}"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                start_new_session=True,
                timeout=START_SECONDS,
                check=False,
            )
        if done.returncode:  # it goes to the background by itself when it is ready
            raise NetworkDriverError(f"dnsmasq: {done.stderr.decode(errors='replace').strip()[:500]}")
        return True

    def reload(self) -> None:
        """Let it read its files of hosts and options again."""
        if pid := self._pid():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)

    def alive(self) -> bool:
        """Whether it runs."""
        return self._pid() is not None

    def stop(self) -> None:
        """End it, and wait until it has."""
        pid = self._pid()
        for kill in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 1
            with suppress(ProcessLookupError):
                if pid:
                    os.kill(pid, kill)
            while self._pid() and time.monotonic() < deadline:
                time.sleep(0.002)
        self._pid_file.unlink(missing_ok=True)

    def _pid(self) -> int | None:
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")  # empty once it has ended
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return None
        return pid if f"--conf-file={self._conf}".encode() in command else None
