"""Which hosts a pass looks at when there are many: so many at a time, and all of them one after the other.

First come hosts that are new or were away since they were looked at, for nobody knows what they missed, and those that are
to be looked at again; then those that were not looked at for the longest.  A small cloud is looked at whole in each pass.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from pileus.kernel.bus import Bus

AT_ONCE = 8  # hosts that are waited for together


class Rounds:
    """The order in which a kind of pass gets round.

    :param most: how many hosts a pass looks at.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._looked: dict[str, str] = {}  # the session in which each host was looked at, the longest ago first
        self._again: dict[str, None] = {}
        self._lock = threading.Lock()

    def turn(self, bus: Bus, role: str) -> list[str]:
        """Return whose turn it is among the hosts of a role that are there; they count as looked at from now on."""
        present = {name: bus.session(name) for name in bus.hosts(role)}
        with self._lock:
            self._looked = {name: session for name, session in self._looked.items() if name in present}
            again = [name for name in self._again if name in present][: self._most // 2]
            fresh = [name for name, session in present.items() if self._looked.get(name) != session]
            chosen = list(dict.fromkeys([*again, *fresh, *self._looked]))[: self._most]
            for name in chosen:
                self._again.pop(name, None)
                self._looked.pop(name, None)
                self._looked[name] = present[name]
        return chosen

    def again(self, host: str) -> None:
        """Have a host looked at again soon: this time it could not be, or was not as it should."""
        with self._lock:
            self._again[host] = None


def each(hosts: Iterable[str], look: Callable[[str], None]) -> None:
    """Call a function for each of some hosts, for several at the same time: one that is slow does not hold up the others.

    :raises Exception: the first that one of the calls raised, once all are over.
    """
    names = list(hosts)
    if len(names) < 2:
        for name in names:
            look(name)
        return
    with ThreadPoolExecutor(min(len(names), AT_ONCE), thread_name_prefix="hosts") as pool:
        asked = [pool.submit(look, name) for name in names]
    for one in asked:
        one.result()
