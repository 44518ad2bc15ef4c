"""The host namespace of a cloud and the namespaces that hang off it."""

import os
import signal
import threading
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
            self.namespace.sysctl(SYSCTLS)
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
        """End our servers in every namespace of this cloud and remove them all."""
        for name in [*names(f"{self.prefix}-dhcp-"), *names(f"{self.prefix}-rtr-")]:
            _kill_servers(self.inner(name))
            self.destroy_inner(name)
        self.namespace.destroy()

    def close(self) -> None:
        """Let go of all namespaces."""
        with self._lock:
            for namespace in (self.namespace, *self._inner.values()):
                namespace.close()
            self._inner.clear()


def _kill_servers(namespace: Namespace) -> None:
    try:
        here = os.stat(namespace.path)
    except FileNotFoundError:
        return
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            there = os.stat(process / "ns/net")
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino) and (process / "comm").read_text().strip() == "dnsmasq":
                os.kill(int(process.name), signal.SIGKILL)
