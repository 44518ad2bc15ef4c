"""Fake drivers whose guests, ports and routers are kept in a file, as those of a real host outlive its agent.

What a call did is written down before the call is answered.
"""

import os
import pickle
import threading
from pathlib import Path
from typing import Any

from pileus.compute.drivers.fake import FakeHypervisor
from pileus.network.drivers.fake import FakeNetworkHost

READING = {"observe", "observe_all", "resources", "console_log", "screenshot", "diagnose", "listen", "close", "describe"}


class Kept:
    """A driver, and a file that holds what it made.

    :param names: its attributes that are kept.
    """

    def __init__(self, driver: Any, file: Path, names: tuple[str, ...]) -> None:
        self._driver, self._file, self._names = driver, file, names
        self._writing = threading.Lock()
        for name, value in read(file).items():
            getattr(driver, name).update(value)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._driver, name)
        if name in READING or name.startswith("_") or not callable(found):
            return found

        def call(*given: Any, **named: Any) -> Any:
            try:
                return found(*given, **named)
            finally:
                self._write()

        return call

    def _write(self) -> None:
        with self._writing:
            with self._driver._lock:
                data = pickle.dumps({name: dict(getattr(self._driver, name)) for name in self._names})
            new = self._file.with_suffix(".new")
            new.write_bytes(data)
            os.rename(new, self._file)


def read(file: Path) -> dict[str, dict[str, Any]]:
    """Return what is kept, by attribute."""
    return dict(pickle.loads(file.read_bytes())) if file.exists() else {}


def hypervisor(file: Path) -> Kept:
    """A hypervisor whose guests are kept."""
    return Kept(FakeHypervisor(), file, ("guests", "coming", "leaving"))


def network_host(file: Path) -> Kept:
    """A host's networks, kept."""
    return Kept(FakeNetworkHost(), file, ("networks", "ports", "routers", "groups"))
