"""How processes wake one another and how workers reach hosts.

The bus only carries wake-ups and calls to host agents; no state lives in it.  Losing a wake-up costs a delay of at most
one poll, never a task.  Calls may be repeated, so whatever is called must bear that.
"""

import threading
from collections.abc import Mapping
from typing import Any, Protocol


class HostUnknown(Exception):
    """No host of that name is joined to the cloud."""


class Bus(Protocol):
    """Implemented in process (here); one over RabbitMQ has the same methods."""

    def wake(self) -> None:
        """Tell the workers that there may be work."""

    def wait(self, timeout_seconds: float) -> None:
        """Sleep until woken, or until the time is over."""

    def host(self, name: str, role: str) -> Any:
        """Return a host's driver for a role ("hypervisor", "network"): itself, or a proxy to the agent that runs it.

        :raises HostUnknown: when there is no such host, or it has not that role.
        """

    def hosts(self, role: str) -> tuple[str, ...]:
        """Return the names of the hosts that have a role, sorted."""

    def facts(self, host: str) -> Mapping[str, str]:
        """Return what the agent of a host says of itself (version, address, tunnel); nothing where there is none."""

    def session(self, host: str) -> str:
        """Return what becomes another whenever the agent of a host was away or was started anew; "" where there is none."""


class LocalBus:
    """Everything in one process.

    :param hosts: for each host's name, its drivers by role.
    :param facts: what hosts say of themselves.
    """

    def __init__(self, hosts: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self._woken = threading.Event()
        self._facts = facts or {}
        self._hosts = {name: dict(roles) for name, roles in hosts.items()}

    def wake(self) -> None:
        self._woken.set()

    def wait(self, timeout_seconds: float) -> None:
        self._woken.wait(timeout_seconds)
        self._woken.clear()

    def host(self, name: str, role: str) -> Any:
        try:
            return self._hosts[name][role]
        except KeyError:
            raise HostUnknown(f"Host {name} is not there as {role}.") from None

    def facts(self, host: str) -> Mapping[str, str]:
        return self._facts.get(host, {})

    def session(self, host: str) -> str:
        return ""

    def hosts(self, role: str) -> tuple[str, ...]:
        return tuple(sorted(name for name, roles in self._hosts.items() if role in roles))
