"""The threads that run tasks: one that leases what is due, and some that run it."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import update

from pileus.kernel.away import DatabaseAway
from pileus.kernel.context import Cloud
from pileus.kernel.tasks import POLL_SECONDS, Worker, tasks

log = logging.getLogger(__name__)

AWAY_SECONDS = 1.0  # until what was interrupted by a database that is away is tried again


class WorkerPool:
    """A worker with threads: one that leases what is due, and some that run it."""

    def __init__(self, cloud: Cloud, worker: Worker, threads: int) -> None:
        self._cloud, self._worker, self._threads = cloud, worker, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")
        self._free = threading.Semaphore(threads)
        self._stop = threading.Event()
        self._leaser = threading.Thread(target=self._run, name="leaser", daemon=True)
        self._running: dict[str, str] = {}
        self._renewed_at = cloud.clock.now()

    def start(self, *, drop_leases: bool) -> None:
        """Begin to work.

        :param drop_leases: take over every lease; right when this is the only process that works (embedded).
        """
        if drop_leases:
            with self._cloud.db.begin() as tx:
                tx.execute(update(tasks).values(leased_until=0.0, lease=""))
        self._leaser.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Lease nothing more, and wait for the steps that run."""
        self._stop.set()
        self._cloud.bus.wake()
        self._leaser.join(timeout_seconds)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._lease_and_submit()
            except DatabaseAway as error:
                log.warning("no task can be leased: %s", error)
                self._stop.wait(POLL_SECONDS)
            except Exception:
                log.exception("leasing tasks failed")
                self._stop.wait(POLL_SECONDS)

    def _lease_and_submit(self) -> None:
        self._renew()
        if not self._free.acquire(timeout=POLL_SECONDS):
            return
        slots = 1
        while slots < self._threads and self._free.acquire(blocking=False):
            slots += 1
        try:
            leased = self._worker.lease(slots)
        except Exception:
            self._free.release(slots)
            raise
        self._free.release(slots - len(leased)) if slots > len(leased) else None
        for id, lease in leased:
            self._running[id] = lease
            self._pool.submit(self._run_one, id, lease)
        if not leased:
            self._cloud.bus.wait(self._worker.next_due_seconds())

    def _renew(self) -> None:
        now = self._cloud.clock.now()
        if now - self._renewed_at > self._cloud.settings.lease_seconds / 4:
            self._worker.renew(list(self._running.items()))
            self._renewed_at = now  # only now: while the database is away it is tried again and again

    def _run_one(self, id: str, lease: str) -> None:
        try:
            while not self._run_while_there(id, lease):
                self._stop.wait(AWAY_SECONDS)
        except Exception:
            log.exception("task %s broke off", id)
        finally:
            self._running.pop(id, None)
            self._free.release()

    def _run_while_there(self, id: str, lease: str) -> bool:
        """Run a task; tells whether that is over: False when the database went away in the midst of it."""
        try:
            self._worker.run(id, lease)
        except DatabaseAway as error:
            log.warning("task %s is held: %s", id, error)
            return self._stop.is_set()
        return True
