"""Do something in a named network namespace.

A thread of its own enters the namespace and ends there: namespaces belong to threads, and a process started by that thread
is born in the namespace.  Unlike `ip netns exec`, nothing is mounted anew, so cgroups stay visible.
"""

import ctypes
import os
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

from pileus.compute.driver import DriverError

CLONE_NEWNET = 0x40000000
DIRECTORY = "/run/netns"

Result = TypeVar("Result")


def inside(name: str | None, function: Callable[[], Result]) -> Result:
    """Return what the function returns when called inside the namespace (None: where we are).

    :raises DriverError: when there is no such namespace.
    """
    if name is None:
        return function()
    results: list[Result] = []
    failures: list[BaseException] = []

    def enter_and_call() -> None:
        try:
            _enter(name)
            results.append(function())
        except BaseException as error:
            failures.append(error)

    thread = Thread(target=enter_and_call, name=f"netns {name}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def interfaces(name: str | None) -> frozenset[str]:
    """Return the names of the network interfaces of a namespace.

    :raises DriverError: when there is no such namespace.
    """
    return inside(name, _interfaces_here)


def _interfaces_here() -> frozenset[str]:
    with open("/proc/thread-self/net/dev", encoding="ascii") as table:
        return frozenset(line.split(":")[0].strip() for line in table if ":" in line)


def _enter(name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        namespace = os.open(f"{DIRECTORY}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise DriverError(f"no network namespace {name}: {error.strerror}") from error
    try:
        if libc.setns(namespace, CLONE_NEWNET) != 0:
            raise DriverError(f"cannot enter network namespace {name}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(namespace)
