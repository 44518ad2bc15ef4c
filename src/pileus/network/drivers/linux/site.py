"""The host namespace of a cloud and the namespaces that hang off it."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from pileus.network.drivers.linux.names import checked_prefix
from pileus.network.drivers.linux.netns import Namespace, names

SYSCTLS = {
    "bridge/bridge-nf-call-iptables": 1,
    "bridge/bridge-nf-call-ip6tables": 1,
    "bridge/bridge-nf-call-arptables": 0,
    "ipv4/ip_forward": 0,
    "ipv6/conf/all/disable_ipv6": 1,
    "ipv6/conf/default/disable_ipv6": 1,
}


class Site:
    """Where one cloud lives on this host: namespaces by name, and the directory for their files."""

    def __init__(self, prefix: str, state_dir: Path) -> None:
        self.prefix = checked_prefix(prefix)
        self.state_dir = state_dir
        self.namespace = Namespace(prefix)
        self._inner: dict[str, Namespace] = {}
        self._lock = threading.Lock()

    def ensure(self) -> bool:
        """Have the host namespace. True if it is a new one."""
        with self._lock:
            fresh = self.namespace.ensure()
            changes = {name: value for name, value in SYSCTLS.items() if fresh or self.namespace.sysctl_value(name) != value}
            self.namespace.sysctl(changes)  # writing one of all interfaces anew would undo what single ones have
            return fresh

    def is_whole(self) -> bool:
        """Whether the host namespace is there and passes bridged packets to the firewall."""
        return self.namespace.exists() and all(
            self.namespace.sysctl_value(name) == SYSCTLS[name] for name in SYSCTLS if name.startswith("bridge/bridge-nf-call-ip")
        )

    def inner(self, name: str) -> Namespace:
        """A namespace by name; it need not exist."""
        with self._lock:
            return self._inner.setdefault(name, Namespace(name))

    def has(self, name: str) -> bool:
        """Whether there is such a namespace."""
        return self.inner(name).exists()

    def destroy_inner(self, name: str) -> None:
        """Remove a namespace."""
        with self._lock:
            namespace = self._inner.pop(name, None) or Namespace(name)
        namespace.destroy()

    def purge(self) -> None:
        """End our servers, known or not, and remove every namespace of this cloud."""
        inner = [*names(f"{self.prefix}-dhcp-"), *names(f"{self.prefix}-rtr-")]
        self._end_servers(inner)
        for name in inner:
            self.destroy_inner(name)
        self.namespace.destroy()

    def close(self) -> None:
        """Let go of all namespaces."""
        with self._lock:
            for namespace in (self.namespace, *self._inner.values()):
                namespace.close()
            self._inner.clear()

    def _end_servers(self, inner: list[str]) -> None:
        places = {_place(self.inner(name).path) for name in inner}
        ours = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (process / "cmdline").read_bytes()
                known = f"--conf-file={self.state_dir}/".encode() in command
                if command.startswith(b"dnsmasq\0") and (known or _place(process / "ns/net") in places):
                    os.kill(int(process.name), signal.SIGKILL)
                    ours.append(process)
        deadline = time.monotonic() + 2
        while any(_runs(process) for process in ours) and time.monotonic() < deadline:
            time.sleep(0.002)


def _place(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _runs(process: Path) -> bool:
    with suppress(OSError):
        return bool((process / "cmdline").read_bytes())
    return False
