"""Long work, kept in the database so that it outlives the process.

A task follows a program: a set of small steps.  A step looks at the world, does one thing that may safely be done twice,
and says what comes next:

    Hop(step)      go on with another step, at once
    Nap(seconds)   run this same step again later, or sooner if woken
    Fail(reason)   no use in trying again: run the program's fail step now
    Done()         forget the task

A worker leases a task for `lease_seconds` of the settings (and holds it for as long as it lives), runs steps until a nap, and
writes down where it is after each one.  If the worker dies, the lease runs out (or is dropped at the next start) and the last
step runs again.  A step whose transaction collided with another runs again at once; while the database is away, its worker holds
on to it.  Any other exception is retried with growing delays; when the deadline passes, the program's fail step runs and finds
the last error in `run.error`.

An API asks a running task for something (stop, delete, ...) by raising a named signal.
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Union

from sqlalchemy import Column, Connection, Double, Integer, String, Table, Text, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from pileus.kernel import ids
from pileus.kernel.away import Collided, DatabaseAway, insist
from pileus.kernel.context import Cloud
from pileus.kernel.db import Json, after_commit, metadata

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
BACKOFF_SECONDS = 0.25
BACKOFF_SECONDS_MAX = 30.0
NO_DEADLINE = float("inf")

tasks = Table(
    "tasks", metadata,
    Column("id", String(80), primary_key=True, doc="often the id of the thing the task looks after"),
    Column("program", String(64), nullable=False),
    Column("step", String(64), nullable=False),
    Column("memo", Json, nullable=False, doc="what the steps tell one another"),
    Column("due_at", Double, nullable=False, index=True),
    Column("wakes", Integer, nullable=False, default=0, doc="grows by one each time someone makes the task due"),
    Column("lease", String(36), nullable=False, default="", doc="the lease that counts; a worker that lost it may not write"),
    Column("leased_until", Double, nullable=False, default=0.0),
    Column("deadline_at", Double),
    Column("tries", Integer, nullable=False, default=0),
    Column("error", Text, nullable=False, default="", doc="the last failure of the present step"),
)  # fmt: skip

signals = Table(
    "task_signals", metadata,
    Column("task_id", String(80), primary_key=True),
    Column("name", String(32), primary_key=True),
)  # fmt: skip


@dataclass(frozen=True)
class Hop:
    """Go on with another step at once.

    deadline_seconds sets a new deadline, counted from now; NO_DEADLINE lifts it; None leaves it.
    """

    step: "Step"
    deadline_seconds: float | None = None


@dataclass(frozen=True)
class Nap:
    """Run this step again after a while."""

    seconds: float


@dataclass(frozen=True)
class Fail:
    """Give up now, for a reason that a person will read."""

    reason: str


@dataclass(frozen=True)
class Done:
    """The work is over."""


Outcome = Union[Hop, Nap, Fail, Done]  # noqa: UP007  (a plain alias would need quotes around itself)


@dataclass(frozen=True)
class Run:
    """What a step is given: the cloud, the id it looks after, its notes, the signals that are up, and the last error."""

    cloud: Cloud
    id: str
    memo: dict[str, Any]
    signals: frozenset[str] = frozenset()
    error: str = ""
    tries: int = 0

    def lower(self, name: str) -> None:
        """Take a signal down, once it has been acted on."""
        with self.cloud.db.begin() as tx:
            lower(tx, self.id, name)


Step = Callable[[Run], Outcome]


class Program:
    """A named set of steps.  The first one declared is where a task starts."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.steps: dict[str, Step] = {}
        self.fail: Step | None = None

    def step(self, function: Step) -> Step:
        """Declare a step (a decorator)."""
        self.steps[function.__name__] = function
        return function

    def on_fail(self, function: Step) -> Step:
        """Declare the step that runs when the deadline has passed or a step failed for good (a decorator)."""
        self.fail = self.step(function)
        return function

    @property
    def first(self) -> str:
        """The name of the step where a task starts."""
        return next(iter(self.steps))


def start(
    tx: Connection, cloud: Cloud, program: Program, id: str, deadline_seconds: float, memo: dict[str, Any], step: str = ""
) -> None:
    """Write a new task down, to be run once the transaction has been committed.

    :param step: where to start; by default the program's first step.
    """
    now = cloud.clock.now()
    deadline_at = None if deadline_seconds == NO_DEADLINE else now + deadline_seconds
    tx.execute(insert(tasks).values(
        id=id, program=program.name, step=step or program.first, memo=memo, due_at=now, deadline_at=deadline_at,
    ))  # fmt: skip
    after_commit(tx, cloud.bus.wake)


def ensure(tx: Connection, cloud: Cloud, program: Program, id: str, deadline_seconds: float = NO_DEADLINE) -> None:
    """Have a task of this id run soon: wake it where it exists, else start it.  For work that only looks at the rows."""
    if not wake(tx, cloud, id):
        start(tx, cloud, program, id, deadline_seconds, {})


def wake(tx: Connection, cloud: Cloud, id: str) -> bool:
    """Make a task due now; tells whether there is one."""
    query = update(tasks).where(tasks.c.id == id).values(due_at=cloud.clock.now(), wakes=tasks.c.wakes + 1)
    found = tx.execute(query).rowcount > 0
    if found:
        after_commit(tx, cloud.bus.wake)
    return found


def signal(tx: Connection, cloud: Cloud, id: str, name: str) -> bool:
    """Raise a signal for a task and make it due; tells whether there is such a task.  Twice is the same as once."""
    found = wake(tx, cloud, id)
    raise_signal(tx, id, name)
    return found


def raise_signal(tx: Connection, id: str, name: str) -> None:
    """Note a signal for a task that this transaction has started or woken: it cannot end before that is committed."""
    if not tx.execute(select(signals.c.name).where(signals.c.task_id == id, signals.c.name == name)).first():
        with suppress(IntegrityError), tx.begin_nested():  # another may raise the same one
            tx.execute(insert(signals).values(task_id=id, name=name))


def lower(tx: Connection, id: str, name: str) -> None:
    """Take a signal down."""
    tx.execute(delete(signals).where(signals.c.task_id == id, signals.c.name == name))


def cancel(tx: Connection, id: str) -> None:
    """Forget a task at once; a worker that is in the midst of it can no longer write."""
    tx.execute(delete(signals).where(signals.c.task_id == id))
    tx.execute(delete(tasks).where(tasks.c.id == id))


class Worker:
    """Runs tasks.  Any number of workers, in any number of processes, share one database.

    :param repeats: how often each step is run before its outcome counts; 2 in tests shows that steps bear repetition.
    """

    def __init__(self, cloud: Cloud, programs: Iterable[Program], repeats: int = 1) -> None:
        self._cloud = cloud
        self._programs = {program.name: program for program in programs}
        self._repeats = repeats

    def run_due(self, most: int = 1000) -> int:
        """Run the tasks that are due now, one after another, in this thread; returns how many."""
        count = 0
        while count < most and (leased := self.lease(1)):
            self.run(*leased[0])
            count += 1
        return count

    def lease(self, most: int) -> list[tuple[str, str]]:
        """Lease up to so many due tasks; returns each one's id and lease."""
        now = self._cloud.clock.now()
        query = (
            select(tasks.c.id)
            .where(tasks.c.due_at <= now, tasks.c.leased_until <= now, tasks.c.program.in_(self._programs))
            .order_by(tasks.c.due_at)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        with self._cloud.db.read() as tx:
            if self._cloud.db.is_sqlite and tx.execute(query).first() is None:
                return []
        lease = ids.uuid()

        def take(tx: Connection) -> list[tuple[str, str]]:
            found = tx.execute(query).scalars().all()
            if found:
                tx.execute(
                    update(tasks)
                    .where(tasks.c.id.in_(found))
                    .values(lease=lease, leased_until=now + self._cloud.settings.lease_seconds)
                )
            return [(id, lease) for id in found]

        return self._cloud.db.repeat(take)

    def renew(self, held: Iterable[tuple[str, str]]) -> None:
        """Hold leased tasks for longer: their steps take their time.  One that was lost stays lost."""
        until, held = self._cloud.clock.now() + self._cloud.settings.lease_seconds, sorted(held)

        def hold(tx: Connection) -> None:
            for id, lease in held:
                tx.execute(update(tasks).where(tasks.c.id == id, tasks.c.lease == lease).values(leased_until=until))

        self._cloud.db.repeat(hold)

    def next_due_seconds(self) -> float:
        """Return how long until a task that nobody leases is due, POLL_SECONDS at most."""
        now = self._cloud.clock.now()
        with self._cloud.db.read() as tx:
            due = tx.execute(select(func.min(tasks.c.due_at)).where(tasks.c.leased_until <= now)).scalar()
        return POLL_SECONDS if due is None else min(max(due - now, 0.0), POLL_SECONDS)

    def run(self, id: str, lease: str) -> None:
        """Run the steps of a leased task until it naps, fails for now, or is done.

        :raises DatabaseAway: when the database is away; the task stays leased.
        """
        while self._run_step(id, lease):
            pass

    def _run_step(self, id: str, lease: str) -> bool:
        with self._cloud.db.read() as tx:
            row = tx.execute(select(tasks).where(tasks.c.id == id, tasks.c.lease == lease)).first()
            raised = frozenset(tx.execute(select(signals.c.name).where(signals.c.task_id == id)).scalars())
        if row is None:
            return False  # cancelled, or another worker took over
        program, now = self._programs[row.program], self._cloud.clock.now()
        late = row.deadline_at is not None and now > row.deadline_at
        step = program.fail if late and program.fail else program.steps[row.step]
        changes: dict[str, Any]

        def attempt() -> tuple[Outcome, dict[str, Any]]:
            memo: dict[str, Any] = dict(row.memo)
            return step(Run(self._cloud, id, memo, raised, row.error, row.tries)), memo

        try:
            for _ in range(self._repeats):
                outcome, memo = insist(attempt)
        except Exception as error:
            if isinstance(error, DatabaseAway) and not isinstance(error, Collided):
                raise
            return self._retry(row, step, error)
        log.info("task %s of %s: %s -> %s", id, row.program, step.__name__, _describe(outcome))
        match outcome:
            case Hop(next_step, deadline_seconds):
                deadline_at = self._deadline(row.deadline_at, deadline_seconds)
                until = self._cloud.clock.now() + self._cloud.settings.lease_seconds
                changes = {"step": next_step.__name__, "memo": memo, "tries": 0, "deadline_at": deadline_at}
                return self._write(id, lease, leased_until=until, **changes)
            case Nap(seconds):
                changes = {"step": step.__name__, "memo": memo, "tries": 0, "leased_until": 0.0}
                if not self._write(id, lease, wakes=row.wakes, due_at=now + seconds, **changes):
                    self._write(id, lease, **changes)  # woken meanwhile: stays due
            case Fail(reason):
                if program.fail is None:
                    return self._end(id, lease)
                return self._write(id, lease, step=program.fail.__name__, memo=memo, tries=0, error=reason, deadline_at=None)
            case Done():
                return self._end(id, lease, row.wakes)
        return False

    def _retry(self, row: Any, step: Step, error: Exception) -> bool:
        log.warning("task %s of %s failed in %s, try %d", row.id, row.program, step.__name__, row.tries + 1, exc_info=error)
        delay = min(BACKOFF_SECONDS * 2.0**row.tries, BACKOFF_SECONDS_MAX)
        due_at = self._cloud.clock.now() + delay
        self._write(row.id, row.lease, leased_until=0.0, due_at=due_at, tries=row.tries + 1, error=str(error) or repr(error))
        return False

    def _end(self, id: str, lease: str, wakes: int | None = None) -> bool:
        """Forget the task; one that was woken while its last step ran starts again from its first step."""

        def end(tx: Connection) -> None:
            row = tx.execute(select(tasks).where(tasks.c.id == id, tasks.c.lease == lease).with_for_update()).first()
            if row is None:
                return
            if wakes is not None and row.wakes != wakes:
                first = self._programs[row.program].first
                tx.execute(update(tasks).where(tasks.c.id == id).values(step=first, leased_until=0.0, tries=0, memo={}))
                return
            cancel(tx, id)

        self._cloud.db.repeat(end)
        return False

    def _deadline(self, old: float | None, seconds: float | None) -> float | None:
        if seconds is None:
            return old
        return None if seconds == NO_DEADLINE else self._cloud.clock.now() + seconds

    def _write(self, id: str, held: str, wakes: int | None = None, **values: Any) -> bool:
        """Change a task if the lease is still the one held, and, when wakes is given, if nobody woke it since."""
        query = update(tasks).where(tasks.c.id == id, tasks.c.lease == held).values(**values)
        if wakes is not None:
            query = query.where(tasks.c.wakes == wakes)
        return self._cloud.db.repeat(lambda tx: tx.execute(query).rowcount == 1)


def _describe(outcome: Outcome) -> str:
    match outcome:
        case Hop(step):
            return step.__name__
        case Nap(seconds):
            return f"nap {seconds:g} s"
        case Fail(reason):
            return f"fail: {reason}"
    return "done"
