"""The process of an agent: this machine as a host of a cloud whose control plane is elsewhere.

It has no database.  Calls come over the bus; guests' questions for metadata go to the control plane over the bus.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pileus import drivers, process
from pileus.agent.contracts import CONDUCTOR, ConductorError
from pileus.agent.fencing import fences
from pileus.agent.serving import serve
from pileus.certificates import Identity
from pileus.kernel import wire
from pileus.kernel.bus_rabbit import Caller, HostUnreachable
from pileus.kernel.settings import Settings
from pileus.network.drivers.linux.metadata import Answer, MetadataSource

log = logging.getLogger(__name__)

AWAY = (503, {"Content-Type": "text/plain", "Retry-After": "2"}, b"The control plane does not answer now.\n")


def run(settings: Settings, on_ready: Callable[[], None] | None = None) -> None:
    """Serve this machine's drivers until a signal says stop; guests run on.

    :raises process.AlreadyRunning: when an agent or a cloud with this state directory runs already.
    :raises drivers.HostUnusable: when this machine lacks what the drivers need.
    """
    state_dir = Path(settings.state_dir)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    identity = Identity(state_dir / "tls")
    if not identity.exists():
        raise drivers.HostUnusable("This host has not joined a cloud: `pileus node token` on its first host says how.")
    with contextlib.ExitStack() as closers:
        facts = process.Running(os.getpid(), "", settings.name, time.time())
        closers.enter_context(contextlib.closing(process.hold(state_dir, facts)))
        hosts = drivers.build(settings)
        closers.callback(hosts.close)
        caller = Caller(settings.bus_url)
        closers.callback(caller.close)
        caller.start()
        hosts.attach(MetadataRelay(caller))
        serve(settings, hosts.roles, identity, closers, LostGuests(caller))
        for fence in fences(state_dir, hosts.roles, lambda host, guest_ids: _ask(caller, "renew", host, guest_ids)):
            closers.callback(fence.close)
            fence.start()
        if on_ready:
            on_ready()
        stopped.wait()


def _ask(caller: Caller, name: str, *given: Any) -> Any:
    """Ask something of the control plane.  :raises HostUnreachable: when it does not answer."""
    method = CONDUCTOR.method(name, opened=False)
    call = wire.Call(CONDUCTOR.role, CONDUCTOR.role, name, wire.pack(method, given, {}))
    return wire.decode_answer(CONDUCTOR, method, caller.call(CONDUCTOR.role, call))


class LostGuests:
    """Has the control plane say which guests are this host's no longer: nothing is started before that is known.

    While it is away, none is taken for lost; when it is back, it looks by itself, and starts only what is a host's own.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def __call__(self, host: str, guest_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Return the guests that are lost."""
        try:
            found: tuple[str, ...] = _ask(self._caller, "lost_guests", host, guest_ids)
        except (HostUnreachable, ConductorError) as error:
            log.warning("it is not known yet which guests this host has lost: %s", error)
            return ()
        return found


class MetadataRelay:
    """Has guests' questions answered by the control plane."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def __call__(self, source: MetadataSource, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request; 503 while the control plane is away."""
        try:
            answer: Answer = _ask(self._caller, "metadata", source, method, path, headers, body)
        except HostUnreachable:
            return AWAY
        return answer
