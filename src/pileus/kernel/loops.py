"""Work that is repeated for ever at an interval: reconciling, cleaning, counting.

A loop takes no input: it looks at what is and at what is meant to be.  Where several processes share a database, a lease
row lets one of them run a loop at a time.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Double, String, Table, insert, select, update

from pileus.kernel import ids
from pileus.kernel.away import DatabaseAway
from pileus.kernel.context import Cloud
from pileus.kernel.db import metadata

log = logging.getLogger(__name__)

leases = Table(
    "loop_leases", metadata,
    Column("name", String(64), primary_key=True),
    Column("owner", String(36), nullable=False),
    Column("until", Double, nullable=False),
)  # fmt: skip


@dataclass(frozen=True)
class Loop:
    """One repeated piece of work."""

    name: str
    interval_seconds: float
    run: Callable[[Cloud], None]


class LoopRunner:
    """Runs loops, a thread each."""

    def __init__(self, cloud: Cloud, loops: Iterable[Loop]) -> None:
        self._cloud, self._loops, self._me = cloud, tuple(loops), ids.uuid()
        self._stop = threading.Event()
        self._until: dict[str, float] = {}  # how long the leases are ours for sure
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to run every loop, at once and then at its interval."""
        for loop in self._loops:
            thread = threading.Thread(target=self._repeat, args=(loop,), name=f"loop-{loop.name}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Run nothing more, and wait a while for what runs."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout_seconds)

    def _repeat(self, loop: Loop) -> None:
        while not self._stop.is_set():
            try:
                if self._lead(loop):
                    loop.run(self._cloud)
            except DatabaseAway as error:
                log.warning("loop %s waits: %s", loop.name, error)
            except Exception:
                log.exception("loop %s failed", loop.name)
            self._stop.wait(loop.interval_seconds)

    def _lead(self, loop: Loop) -> bool:
        if self._cloud.db.is_sqlite:
            return True  # one process only
        now, lasts = self._cloud.clock.now(), 3 * loop.interval_seconds + 10
        until = now + lasts
        if self._until.get(loop.name, 0.0) - now > lasts / 2:
            return True

        def take(tx: Connection) -> bool:
            row = tx.execute(select(leases).where(leases.c.name == loop.name).with_for_update()).first()
            if row is None:
                tx.execute(insert(leases).values(name=loop.name, owner=self._me, until=until))
                return True
            if row.owner != self._me and row.until > now:
                return False
            tx.execute(update(leases).where(leases.c.name == loop.name).values(owner=self._me, until=until))
            return True

        leads = self._cloud.db.repeat(take)
        self._until[loop.name] = until if leads else 0.0
        return leads
