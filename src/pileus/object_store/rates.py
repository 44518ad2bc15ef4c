"""How often something may be done: rates by the size of a container, and the turns that callers have to wait for.  Pure.

Rates are those of Swift's ratelimit: "0:100,10:50,50:20" gives a container of 5 objects 75 a second (in between, in a straight
line), one of 50 and more 20; smaller ones than the first have no limit, nor have empty ones where the first is not 0.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

KEYS_MAX = 10_000


class TooFast(Exception):
    """The wait would be too long."""


@dataclass(frozen=True)
class Rates:
    """Rates by size: (size, a second) in the order of size."""

    steps: tuple[tuple[int, float], ...] = ()

    def of(self, count: int) -> float | None:
        """Return the rate for so many objects; None: there is no limit."""
        before = [step for step in self.steps if step[0] <= count]
        after = [step for step in self.steps if step[0] > count]
        if not before:
            return None
        (low, rate), following = before[-1], after[:1]
        if not following:
            return rate
        ((high, next_rate),) = following
        return rate + (count - low) * (next_rate - rate) / (high - low)


def read_rates(text: str) -> Rates:
    """Read "SIZE:RATE,SIZE:RATE"; "": no limits.

    :raises ValueError: when it is not of that form.
    """
    found = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        count, _, rate = entry.partition(":")
        found.append((int(count), float(rate)))
        if found[-1][1] <= 0:
            raise ValueError(f"{entry}: a rate is above 0")
    return Rates(tuple(sorted(found)))


@dataclass
class Turns:
    """When each of many things may next be done: one at a time, evenly, in the order of asking.

    :param buffer_seconds: who was idle may catch up by so much.
    :param wait_seconds_max: who would have to wait longer is refused.
    """

    buffer_seconds: float = 5.0
    wait_seconds_max: float = 60.0
    _next: OrderedDict[str, float] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, key: str, rate: float, now: float) -> float:
        """Take the next turn, and return how many seconds it is away.

        :raises TooFast: when it is too far away; then no turn is taken.
        """
        with self._lock:
            turn = max(self._next.get(key, 0.0), now - self.buffer_seconds)
            wait = max(turn - now, 0.0)
            if wait > self.wait_seconds_max:
                raise TooFast(key)
            self._next[key] = turn + 1.0 / rate
            self._next.move_to_end(key)
            while len(self._next) > KEYS_MAX:
                self._next.popitem(last=False)
        return wait


@dataclass(frozen=True)
class RateLimits:
    """All limits: writes of containers an account, writes of objects and listings a container."""

    account: float = 0.0
    container: Rates = Rates()
    listing: Rates = Rates()
    turns: Turns = field(default_factory=Turns)

    def __bool__(self) -> bool:
        return bool(self.account or self.container.steps or self.listing.steps)
