"""The proxy's own state in a process: the cluster, the limits, the last timestamp, and what it remembers of containers."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from pileus.kernel.clock import Clock, SystemClock
from pileus.object_store.keystone import IdentityElsewhere
from pileus.object_store.limits import Limits
from pileus.object_store.placement import Placement
from pileus.object_store.rates import RateLimits
from pileus.object_store.realms import Realms
from pileus.object_store.tempauth import TempAuth
from pileus.object_store.timestamps import ZERO, Timestamp

REMEMBERED_MAX = 10_000
REMEMBERED_SECONDS = 5.0
NO_REALMS = Realms()
NO_RATES = RateLimits()


class ObjectStore:
    """What the use cases share.  `Cloud.parts` holds it.

    :param open_placement: opens the cluster, at the first use; it is given a function that tells the time.
    :param tempauth: users of its own, beside those of identity; None: there are none.
    :param realms: where containers may be synced to.
    :param rates: how often what may be asked.

    identity is the service elsewhere that is asked about tokens, None where the database tells.
    """

    def __init__(
        self,
        open_placement: Callable[[Callable[[], float]], Placement],
        limits: Limits,
        tempauth: TempAuth | None = None,
        realms: Realms = NO_REALMS,
        rates: RateLimits = NO_RATES,
    ) -> None:
        self._open, self.limits, self.tempauth, self.realms, self.rates = open_placement, limits, tempauth, realms, rates
        self.domains: tuple[str, ...] = ()
        self.identity: IdentityElsewhere | None = None
        self.kept: dict[str, Any] = {}
        self._clock: Clock = SystemClock()
        self._placement: Placement | None = None
        self._last = ZERO
        self._known: OrderedDict[tuple[str, str], tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._turns: WeakValueDictionary[tuple[int, str, str, str], asyncio.Lock] = WeakValueDictionary()

    @property
    def placement(self) -> Placement:
        """The cluster."""
        if self._placement is None:
            with self._lock:
                self._placement = self._placement or self._open_now()
        return self._placement

    def now(self) -> float:
        """Return the time by the cloud's clock."""
        return self._clock.now()

    def _open_now(self) -> Placement:
        return self._open(self.now)

    def next_timestamp(self, clock: Clock) -> Timestamp:
        """Return the time, later than any returned before."""
        self._clock = clock
        with self._lock:
            now = Timestamp.of(clock.now())
            self._last = now if now > self._last else Timestamp(self._last.ticks + 1)
            return self._last

    def recall(self, account: str, container: str, now: float) -> Any:
        """Return what was remembered of a container (of an account, when it is "") not long ago, else None."""
        found = self._known.get((account, container))
        return found[1] if found and found[0] > now else None

    def remember(self, account: str, container: str, info: Any, now: float) -> None:
        """Remember a container for a short while."""
        self._known[account, container] = (now + REMEMBERED_SECONDS, info)
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)

    def forget(self, account: str, container: str = "") -> None:
        """Ask anew the next time."""
        self._known.pop((account, container), None)

    def turn(self, account: str, container: str, name: str) -> asyncio.Lock:
        """Return the lock under which those take turns who look at an object before they change it (in one event loop)."""
        key = (id(asyncio.get_running_loop()), account, container, name)
        return self._turns.setdefault(key, asyncio.Lock())
