"""The task engine alone."""

import threading
import time

import pytest
from sqlalchemy import select

from pileus.kernel import tasks
from pileus.kernel.away import DatabaseAway
from pileus.kernel.tasks import Done, Fail, Hop, Nap, Program, Run, Worker
from pileus.kernel.worker_pool import WorkerPool

SECONDS = 60.0


def begin(lab, program, id="t1", deadline_seconds=100.0, memo=None):
    with lab.cloud.db.begin() as tx:
        tasks.start(tx, lab.cloud, program, id, deadline_seconds, memo or {})


def raise_signal(lab, id, name):
    with lab.cloud.db.begin() as tx:
        return tasks.signal(tx, lab.cloud, id, name)


def drain(worker):
    count = 0
    while worker.run_due():
        count += 1
    return count


def test_steps_naps_and_signals(lab):
    seen, program = [], Program("p")

    @program.step
    def first(run: Run):
        run.memo["n"] = 1
        return Hop(second)

    @program.step
    def second(run: Run):
        seen.append((run.memo["n"], sorted(run.signals)))
        return Done() if "stop" in run.signals else Nap(30)

    worker = Worker(lab.cloud, [program])
    begin(lab, program)
    assert worker.run_due() == 1
    assert worker.run_due() == 0
    lab.clock.advance(29)
    assert worker.run_due() == 0
    assert raise_signal(lab, "t1", "stop")
    assert worker.run_due() == 1
    assert seen == [(1, []), (1, ["stop"])]
    assert not raise_signal(lab, "t1", "stop"), "the task is gone"


def test_a_lease_keeps_others_out_and_runs_out(lab):
    program, ran = Program("p"), []

    @program.step
    def only(run: Run):
        ran.append(1)
        assert Worker(lab.cloud, [program]).run_due() == 0
        return Nap(1)

    begin(lab, program)
    assert Worker(lab.cloud, [program]).run_due() == 1
    lab.clock.advance(1)
    assert Worker(lab.cloud, [program]).lease(1) != []
    assert Worker(lab.cloud, [program]).run_due() == 0
    lab.clock.advance(lab.cloud.settings.lease_seconds + 1)
    assert Worker(lab.cloud, [program]).run_due() == 1
    assert ran == [1, 1]


def test_a_rolled_back_transaction_starts_nothing(lab):
    program = Program("p")
    program.step(lambda run: Done())
    with pytest.raises(ZeroDivisionError), lab.cloud.db.begin() as tx:
        tasks.start(tx, lab.cloud, program, "t1", 100, {})
        raise ZeroDivisionError
    assert Worker(lab.cloud, [program]).run_due() == 0


def test_a_signal_raised_during_a_step_is_not_slept_through(lab):
    program, seen = Program("p"), []

    @program.step
    def only(run: Run):
        seen.append(sorted(run.signals))
        if not run.signals:
            raise_signal(lab, run.id, "stop")
            return Nap(1000)
        return Done()

    worker = Worker(lab.cloud, [program])
    begin(lab, program)
    assert worker.run_due() == 2
    assert seen == [[], ["stop"]]


def test_work_that_was_asked_for_again_while_it_ended_is_done_again(lab):
    program, ran = Program("p"), []

    @program.step
    def only(run: Run):
        ran.append(1)
        if len(ran) == 1:
            with lab.cloud.db.begin() as tx:
                tasks.ensure(tx, lab.cloud, program, run.id)
        return Done()

    with lab.cloud.db.begin() as tx:
        tasks.ensure(tx, lab.cloud, program, "t1")
    drain(Worker(lab.cloud, [program]))
    assert ran == [1, 1]


def test_a_worker_that_lost_its_lease_may_not_write(lab):
    program, seen = Program("p"), []

    @program.step
    def slow(run: Run):
        seen.append("slow")
        if len(seen) == 1:
            lab.clock.advance(lab.cloud.settings.lease_seconds + 1)
            assert Worker(lab.cloud, [program]).run_due() == 1
        return Hop(last)

    @program.step
    def last(run: Run):
        seen.append("last")
        return Nap(1000)

    begin(lab, program, deadline_seconds=9999)
    Worker(lab.cloud, [program]).run_due()
    assert seen == ["slow", "slow", "last"]


def test_an_error_is_tried_again_later_and_then_given_up(lab):
    program, seen = Program("p"), []

    @program.step
    def only(run: Run):
        raise OSError("no room")

    @program.on_fail
    def give_up(run: Run):
        seen.append(run.error)
        return Done()

    worker = Worker(lab.cloud, [program])
    begin(lab, program, deadline_seconds=5)
    for _ in range(8):
        worker.run_due()
        lab.clock.advance(2)
    assert seen == ["no room"]
    assert drain(worker) == 0


def test_a_step_can_fail_for_good(lab):
    program, seen = Program("p"), []

    @program.step
    def only(run: Run):
        return Fail("never")

    @program.on_fail
    def give_up(run: Run):
        seen.append(run.error)
        return Nap(10)

    worker = Worker(lab.cloud, [program])
    begin(lab, program)
    drain(worker)
    lab.clock.advance(10)
    drain(worker)
    assert seen == ["never", "never"], "the fail step naps like any other"


def test_a_cancelled_task_is_over_at_once(lab):
    program, seen = Program("p"), []

    @program.step
    def first(run: Run):
        with lab.cloud.db.begin() as tx:
            tasks.cancel(tx, run.id)
        return Hop(second)

    @program.step
    def second(run: Run):
        seen.append("second")
        return Done()

    begin(lab, program)
    assert drain(Worker(lab.cloud, [program])) == 1
    assert seen == []


def test_repeats_run_each_step_twice(lab):
    program, seen = Program("p"), []

    @program.step
    def only(run: Run):
        run.memo["n"] = run.memo.get("n", 0) + 1
        seen.append(run.memo["n"])
        return Done()

    begin(lab, program)
    drain(Worker(lab.cloud, [program], repeats=2))
    assert seen == [1, 1]


def test_a_pool_runs_many_tasks_once_each(lab):
    program, seen, lock, all_done = Program("p"), [], threading.Lock(), threading.Event()

    @program.step
    def only(run: Run):
        with lock:
            seen.append(run.id)
            if len(seen) == 50:
                all_done.set()
        return Done()

    pool = WorkerPool(lab.cloud, Worker(lab.cloud, [program]), 4)
    pool.start(drop_leases=True)
    try:
        for number in range(50):
            begin(lab, program, id=f"t{number}")
        assert all_done.wait(20)
    finally:
        pool.stop()
    assert sorted(seen) == sorted(f"t{number}" for number in range(50))


class AwayAtFirst(Worker):
    """Finds the database away the first time that it would hold on to a task."""

    failures = 0

    def renew(self, held):
        if not self.failures:
            self.failures += 1
            raise DatabaseAway
        super().renew(held)


@pytest.mark.parametrize("kind", [Worker, AwayAtFirst])
def test_a_step_that_takes_its_time_is_not_run_beside_itself(lab, kind):
    program, started, go_on, ran = Program("p"), threading.Event(), threading.Event(), []

    @program.step
    def slow(run: Run):
        ran.append(run.id)
        started.set()
        assert go_on.wait(SECONDS)
        return Done()

    def is_held():
        with lab.cloud.db.read() as tx:
            until = tx.execute(select(tasks.tasks.c.leased_until)).scalar_one()
        return until > lab.clock.now() + lab.cloud.settings.lease_seconds * 0.9

    begin(lab, program, deadline_seconds=tasks.NO_DEADLINE)
    pool = WorkerPool(lab.cloud, kind(lab.cloud, [program]), 2)
    pool.start(drop_leases=True)
    try:
        assert started.wait(SECONDS)
        for _ in range(6):
            lab.clock.advance(lab.cloud.settings.lease_seconds / 3)
            lab.cloud.bus.wake()
            deadline = time.monotonic() + SECONDS
            while not is_held():
                assert time.monotonic() < deadline, "the lease is not renewed"
                time.sleep(0.02)
    finally:
        go_on.set()
        pool.stop()
    assert ran == ["t1"]


def test_a_lost_lease_is_not_renewed(lab):
    program = Program("p")
    program.step(lambda run: Done())
    begin(lab, program)
    worker = Worker(lab.cloud, [program])
    ((id, lease),) = worker.lease(1)
    lab.clock.advance(lab.cloud.settings.lease_seconds + 1)
    assert worker.lease(1) != []
    worker.renew([(id, lease)])
    lab.clock.advance(lab.cloud.settings.lease_seconds + 1)
    assert worker.lease(1) != []
