"""ovsdb-server and ovs-vswitchd of one cloud: their own, in the host namespace, with all their files in one directory.

They outlive this process, and are found again by pid, command line and namespace. What one of them remembers is in its database;
the flows of a switch that has been started anew are gone, and are put back by whoever knows them.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pileus.network.driver import NetworkDriverError
from pileus.network.drivers.linux.netns import Namespace
from pileus.network.drivers.ovs.wire import Database, call

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
START_SECONDS, STOP_SECONDS = 30, 5
SERVER, SWITCH = "ovsdb-server", "ovs-vswitchd"


class Daemons:
    """The two processes whose files are in one directory."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self._namespace, self._directory = namespace, directory
        self.database = Database(directory / "db.sock")

    def alive(self) -> bool:
        """Whether both run in the host namespace."""
        return all(self._pid(name) is not None for name in (SWITCH, SERVER))

    def ensure(self, fresh: bool) -> bool:
        """Have both run, with an empty database if everything is `fresh`. True if a switch was started now: it has no flows."""
        if fresh:
            self.stop()
            self._file("conf.db").unlink(missing_ok=True)
        if self.alive():
            return False
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._pid(SERVER) is None:
            self.stop()
            self._start_server()
        if self._pid(SWITCH) is None:
            self._run(SWITCH, f"unix:{self._file('db.sock')}")
            return True
        return False

    def stop(self) -> None:
        """End both, and wait until they have."""
        for name in (SWITCH, SERVER):
            end([pid] if (pid := self._running(name)) else [])
            self._file(f"{name}.pid").unlink(missing_ok=True)

    def strays(self) -> list[int]:
        """Processes of ours of which the directory tells nothing any more."""
        if not self._namespace.exists():
            return []
        place = _place(self._namespace.path)
        return [pid for pid, name in _daemons() if _place(Path(f"/proc/{pid}/ns/net")) == place and name]

    def ask(self, command: str, *arguments: str) -> str:
        """Have ovs-vswitchd do something (as ovs-appctl). :raises NetworkDriverError: with what it answered."""
        return str(call(self._file(f"{SWITCH}.ctl"), command, list(arguments)))

    def ofctl(self, command: str, bridge: str, text: str = "") -> str:
        """Run ovs-ofctl about a bridge; `text` is what it reads. :raises NetworkDriverError: with what it said."""
        words = ["ovs-ofctl", "-O", "OpenFlow15", *command.split(), self._target(bridge)]
        return _run([*words, *(["-"] if text else [])], text)

    def set_meter(self, bridge: str, number: int, text: str, known: bool) -> None:
        """Add a meter, or change one that is known."""
        _run(
            [
                "ovs-ofctl",
                "-O",
                "OpenFlow15",
                "mod-meter" if known else "add-meter",
                self._target(bridge),
                f"meter={number},{text}",
            ]
        )

    def drop_meter(self, bridge: str, number: int) -> None:
        """Remove a meter."""
        _run(["ovs-ofctl", "-O", "OpenFlow15", "del-meter", self._target(bridge), f"meter={number}"])

    def differs(self, bridge: str, flows: str) -> list[str]:
        """The lines in which the flows of a bridge and those in a text differ."""
        file = self._file(f"{bridge}.flows")
        file.write_text(flows)
        words = ["ovs-ofctl", "-O", "OpenFlow15", "diff-flows", self._target(bridge), str(file)]
        return _run(words, good=(0, 2)).splitlines()

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl, and wait until the switch is so. :raises NetworkDriverError: with what it said."""
        return _run(["ovs-vsctl", f"--db=unix:{self._file('db.sock')}", f"--timeout={START_SECONDS}", *words])

    def _start_server(self) -> None:
        if not self._file("conf.db").exists():
            _run(["ovsdb-tool", "create", str(self._file("conf.db")), str(SCHEMA)])
        self._run(SERVER, str(self._file("conf.db")), f"--remote=punix:{self._file('db.sock')}")
        self.vsctl("--no-wait", "init")

    def _run(self, name: str, *arguments: str) -> None:
        options = [f"--pidfile={self._file(f'{name}.pid')}", f"--unixctl={self._file(f'{name}.ctl')}", "--detach", "--no-chdir"]
        options += [f"--log-file={self._file(f'{name}.log')}", "-vconsole:off", "-vsyslog:off", "-vfile:warn"]
        with self._namespace.entered():
            _run([name, *arguments, *options], directory=self._directory)

    def _target(self, bridge: str) -> str:
        return f"unix:{self._file(f'{bridge}.mgmt')}"

    def _file(self, name: str) -> Path:
        return self._directory / name

    def _pid(self, name: str) -> int | None:
        pid = self._running(name)
        if pid is None or not self._namespace.exists():
            return None
        return pid if _place(Path(f"/proc/{pid}/ns/net")) == _place(self._namespace.path) else None

    def _running(self, name: str) -> int | None:
        file = self._file(f"{name}.pid")
        with suppress(OSError, ValueError):
            pid = int(file.read_text())
            if f"--pidfile={file}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
        return None


def end(pids: list[int]) -> None:
    """End processes, and wait until they have."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while (pids := [pid for pid in pids if _commanded(pid)]) and time.monotonic() < deadline:
            time.sleep(0.005)


def _daemons() -> Iterator[tuple[int, str]]:
    for process in Path("/proc").glob("[0-9]*"):
        name = Path(os.fsdecode(_commanded(int(process.name)).partition(b"\0")[0])).name
        if name in (SERVER, SWITCH):
            yield int(process.name), name


def _commanded(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _place(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


def _run(words: list[str], text: str = "", good: tuple[int, ...] = (0,), directory: Path | None = None) -> str:
    environment = dict(os.environ)
    if directory:
        environment |= {f"OVS_{kind}DIR": str(directory) for kind in ("RUN", "LOG", "DB", "SYSCONF")}

    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, timeout=START_SECONDS, check=False, env=environment,
            start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkDriverError(f"{words[0]}: {error}") from error
    if done.returncode not in good:
        raise NetworkDriverError(f"{' '.join(words[:4])}: {done.stderr.strip()[:1000]}")
    return done.stdout
