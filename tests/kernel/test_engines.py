"""Database servers that refuse, collide and die, each of the tests' own: nothing is lost, nothing is done twice."""

import os
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, func, insert, make_url, select, text, update
from starlette.testclient import TestClient

from pileus.kernel import tasks
from pileus.kernel.away import Collided, DatabaseAway
from pileus.kernel.db import LOCKS, Database
from pileus.kernel.errors import Fault
from pileus.kernel.http import Call, Route, Service
from pileus.kernel.server import Api
from pileus.kernel.tasks import Done, Hop, Program, Run, Worker
from pileus.kernel.worker_pool import WorkerPool
from tests.brokers import cut_off

pytestmark = pytest.mark.servers
KINDS = ("postgresql", "mariadb")
SECONDS = 120.0

own = MetaData()
counters = Table("test_counters", own, Column("name", String(8), primary_key=True), Column("n", Integer, nullable=False))
notes = Table("test_notes", own, Column("id", Integer, primary_key=True), Column("text", String(40), nullable=False))


@pytest.fixture(params=KINDS)
def server(started, request):
    return started(request.param)


@pytest.fixture
def db(server):
    made = Database(server.url)
    with made.begin() as tx:
        own.create_all(tx)
        tasks.tasks.create(tx, checkfirst=True)
        tasks.signals.create(tx, checkfirst=True)
        tx.execute(insert(counters), [{"name": name, "n": 0} for name in "ab"])
    yield made
    with made.begin() as tx:
        own.drop_all(tx)
        tx.execute(tasks.tasks.delete())
        tx.execute(tasks.signals.delete())
    made.dispose()


@pytest.fixture
def cloud(lab, db):
    return replace(lab.cloud, db=db)


def counts(db):
    with db.read() as tx:
        return dict(tx.execute(select(counters.c.name, counters.c.n)).all())


def wait_for(condition):
    patience = threading.Event()
    for _ in range(int(SECONDS / 0.05)):
        if found := condition():
            return found
        patience.wait(0.05)
    raise AssertionError("in vain")


class Crossing:
    """Transactions that add to two counters in opposite orders: the first time they wait for one another at the crossing."""

    def __init__(self):
        self._barrier = threading.Barrier(2)
        self._been = threading.local()

    def add(self, tx, first, second):
        self.count(tx, first)
        if not getattr(self._been, "here", False):
            self._been.here = True
            self._barrier.wait(SECONDS)
        self.count(tx, second)

    @staticmethod
    def count(tx, name):
        tx.execute(update(counters).where(counters.c.name == name).values(n=counters.c.n + 1))


def at_once(*actions):
    """Run actions in threads; returns what each returned or raised."""
    results = [None] * len(actions)

    def run(number, action):
        try:
            results[number] = action()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=each, daemon=True) for each in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    return results


def test_one_of_two_that_wait_for_each_other_is_told(db):
    crossing = Crossing()

    def go(*names):
        with db.begin() as tx:
            crossing.add(tx, *names)

    results = at_once(lambda: go("a", "b"), lambda: go("b", "a"))
    assert sorted(type(result) for result in results if result)[0] is Collided
    assert counts(db) == {"a": 1, "b": 1}


def test_a_transaction_that_may_be_repeated_is(db):
    crossing = Crossing()
    results = at_once(
        lambda: db.repeat(lambda tx: crossing.add(tx, "a", "b")), lambda: db.repeat(lambda tx: crossing.add(tx, "b", "a"))
    )
    assert results == [None, None]
    assert counts(db) == {"a": 2, "b": 2}


def test_who_is_overtaken_looks_again(db):
    meet = threading.Barrier(2)
    been = threading.local()

    def note_once(tx):
        if not tx.execute(select(notes.c.id).where(notes.c.id == 7)).first():
            if not getattr(been, "here", False):
                been.here = True
                meet.wait(SECONDS)
            tx.execute(insert(notes).values(id=7, text="one"))

    assert at_once(lambda: db.repeat(note_once), lambda: db.repeat(note_once)) == [None, None]


def test_what_readers_and_writers_see(db):
    with db.read() as tx:
        before = dict(tx.execute(select(counters.c.name, counters.c.n)).all())
        with db.begin() as other:
            Crossing.count(other, "a")
        assert dict(tx.execute(select(counters.c.name, counters.c.n)).all()) == before == {"a": 0, "b": 0}
    with db.begin() as tx:
        assert tx.execute(select(func.sum(counters.c.n))).scalar_one() == 1
        at_once(lambda: db.repeat(lambda other: Crossing.count(other, "b")))
        assert tx.execute(select(func.sum(counters.c.n))).scalar_one() == 2


def test_a_pool_is_bounded(server, db, monkeypatch):
    monkeypatch.setattr("pileus.kernel.db.CONNECTION_SECONDS", 0.2)
    small = Database(server.url, connections=2)
    try:
        with small.read(), small.read(), pytest.raises(DatabaseAway) as caught, small.read():
            pass
        assert caught.value.headers["Retry-After"]
        with small.read():
            pass
    finally:
        small.dispose()


def test_who_is_asked_nothing_more_holds_nothing_for_long(server, db, monkeypatch):
    monkeypatch.setattr("pileus.kernel.db.LOCK_SECONDS", 1)
    monkeypatch.setattr("pileus.kernel.db.IDLE_SECONDS", 10)
    hasty = Database(server.url)
    try:
        with pytest.raises(DatabaseAway) as ended, hasty.begin() as tx:
            Crossing.count(tx, "a")

            def count():
                with hasty.begin() as other:
                    Crossing.count(other, "a")

            def count_in_the_end():
                return wait_for(lambda: not isinstance(at_once(count)[0], Collided))

            [early] = at_once(count)
            assert isinstance(early, Collided)
            assert at_once(count_in_the_end) == [True]
            Crossing.count(tx, "b")
        assert not isinstance(ended.value, Collided)
        assert counts(db) == {"a": 1, "b": 0}
    finally:
        hasty.dispose()


def test_one_alone_waits_for_the_other_and_not_for_ever(server, db, monkeypatch):
    monkeypatch.setattr("pileus.kernel.db.LOCK_SECONDS", 1)
    entered = []

    def enter(name):
        with db.alone(name):
            entered.append(name)

    with db.alone("one"):
        waiting = threading.Thread(target=enter, args=("one",), daemon=True)
        waiting.start()
        enter("two")
        waiting.join(3)
        assert entered == ["two"]
    waiting.join(SECONDS)
    assert entered == ["two", "one"]
    monkeypatch.setattr("pileus.kernel.db.ALONE_SECONDS", 1)
    monkeypatch.setattr(
        "pileus.kernel.db.LOCKS", {kind: (take.replace("60", "1"), leave) for kind, (take, leave) in LOCKS.items()}
    )
    with db.alone("one"):
        [late] = at_once(lambda: enter("one"))
        assert isinstance(late, TimeoutError)


@pytest.mark.host
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_server_that_is_not_heard_any_more_is_away(server, db, monkeypatch):
    monkeypatch.setattr("pileus.kernel.db.CONNECT_SECONDS", 2)
    monkeypatch.setattr("pileus.kernel.db.SILENCE_SECONDS", 3)
    lone = Database(server.url, connections=2)
    working = threading.Event()

    def work():
        with lone.begin() as tx:
            working.set()
            tx.execute(text("SELECT pg_sleep(200)" if server.kind == "postgresql" else "SELECT sleep(200)"))

    def ask():
        assert working.wait(SECONDS)
        with cut_off(make_url(server.url).port):
            wait_for(lambda: not lone.engine.pool.checkedout())
            began = time.monotonic()
            with pytest.raises(DatabaseAway), lone.read() as tx:
                tx.execute(select(counters.c.n)).all()
            assert time.monotonic() - began < SECONDS / 2

    try:
        worked, asked = at_once(work, ask)
        assert isinstance(worked, DatabaseAway)
        assert asked is None
        assert sum(counts(lone).values()) == 0
    finally:
        lone.dispose()


def test_a_thousand_requests_wait_for_five_connections(lab, server, db, monkeypatch):
    monkeypatch.setattr("pileus.kernel.db.CONNECTION_SECONDS", SECONDS)
    small = Database(server.url, connections=5)
    cloud = replace(lab.cloud, db=small, settings=replace(lab.cloud.settings, api_threads=100))

    def handler(call: Call):
        with small.begin() as tx:
            Crossing.count(tx, "a")
        with small.read() as tx:
            tx.execute(select(counters.c.n)).all()
        return {"done": True}

    def ask(client):
        return {client.post("/trial/do", json={}).status_code for _ in range(10)}

    try:
        with client_of(cloud, handler) as client:
            assert at_once(*[lambda: ask(client)] * 100) == [{200}] * 100
        assert small.engine.pool.checkedout() == 0
        assert counts(db)["a"] == 1000
    finally:
        small.dispose()


# Requests


@contextmanager
def client_of(cloud, handler):
    """A client of an API with one route."""

    def fault_form(fault: Fault, status: int):
        return {"error": fault.message}, {}

    service = Service("trial", "trial", (Route("POST", "/do", handler, public=True),), fault_form)
    app = Api(cloud, [service], lambda *_: None)
    try:
        yield TestClient(app, raise_server_exceptions=False)
    finally:
        app.close()


def test_requests_that_collide_are_answered(cloud, db):
    crossing = Crossing()

    def handler(call: Call):
        with db.begin() as tx:
            crossing.add(tx, *call.body["names"])
        return {"done": True}

    with client_of(cloud, handler) as client:
        answers = at_once(*(lambda names=names: client.post("/trial/do", json={"names": names}) for names in ("ab", "ba")))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert counts(db) == {"a": 2, "b": 2}


def test_a_request_that_has_committed_something_is_not_repeated(cloud, db):
    crossing = Crossing()

    def handler(call: Call):
        with db.begin() as tx:
            tx.execute(insert(notes).values(text="seen"))
        with db.begin() as tx:
            crossing.add(tx, *call.body["names"])
        return {"done": True}

    with client_of(cloud, handler) as client:
        answers = at_once(*(lambda names=names: client.post("/trial/do", json={"names": names}) for names in ("ab", "ba")))
    assert sorted(answer.status_code for answer in answers) == [200, 503]
    assert {answer.headers.get("Retry-After") for answer in answers if answer.status_code == 503} == {"2"}
    with db.read() as tx:
        assert tx.execute(select(func.count()).select_from(notes)).scalar_one() == 2


def cut_connections(server):
    """Have the server end every connection but this."""
    other = create_engine(server.url, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        if server.kind == "postgresql":
            others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
            question = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
            connection.execute(text(question)).all()
        else:
            question = "SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND user = 'root'"
            for id in connection.execute(text(question)).scalars().all():
                connection.execute(text(f"KILL {id}"))
    other.dispose()


def test_a_request_outlives_the_loss_of_its_connection(cloud, db, server):
    tries = []

    def handler(call: Call):
        with db.begin() as tx:
            Crossing.count(tx, "a")
            tries.append(1)
            if len(tries) == 1:
                cut_connections(server)
            Crossing.count(tx, "b")
        return {"done": True}

    with client_of(cloud, handler) as client:
        assert client.post("/trial/do", json={}).status_code == 200
        cut_connections(server)  # now they lie idle in the pool
        assert client.post("/trial/do", json={}).status_code == 200
    assert counts(db) == {"a": 2, "b": 2}


def test_a_server_that_is_away_and_comes_back(cloud, db, server):
    def handler(call: Call):
        with db.begin() as tx:
            Crossing.count(tx, "a")
        return {"done": True}

    with client_of(cloud, handler) as client:
        assert client.post("/trial/do", json={}).status_code == 200
        server.kill()
        try:
            answer = client.post("/trial/do", json={})
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        finally:
            server.start()
        wait_for(lambda: client.post("/trial/do", json={}).status_code == 200)
    assert counts(db)["a"] == 2, "what was committed is there, and the request that failed did nothing"


# Tasks


def test_steps_that_collide_run_again(cloud, db):
    crossing, program = Crossing(), Program("trial")

    @program.step
    def cross(run: Run):
        with db.begin() as tx:
            crossing.add(tx, *run.memo["names"])
        return Done()

    with db.begin() as tx:
        for names in ("ab", "ba"):
            tasks.start(tx, cloud, program, names, 1000, {"names": names})
    worker = Worker(cloud, [program])
    leased = worker.lease(2)
    assert at_once(*(lambda each=each: worker.run(*each) for each in leased)) == [None, None]
    assert counts(db) == {"a": 2, "b": 2}
    with db.read() as tx:
        assert tx.execute(select(func.count()).select_from(tasks.tasks)).scalar_one() == 0


def test_work_goes_on_when_the_server_is_back(cloud, db, server):
    program, started, go = Program("trial"), threading.Event(), threading.Event()

    @program.step
    def first(run: Run):
        started.set()
        assert go.wait(SECONDS)
        return Hop(second)

    @program.step
    def second(run: Run):
        with db.begin() as tx:
            Crossing.count(tx, "a")
        return Done()

    pool = WorkerPool(cloud, Worker(cloud, [program]), 2)
    pool.start(drop_leases=True)
    try:
        with db.begin() as tx:
            tasks.start(tx, cloud, program, "t1", tasks.NO_DEADLINE, {})
        assert started.wait(SECONDS)
        server.kill()
        try:
            go.set()
        finally:
            server.start()
        with db.begin() as tx:
            tasks.start(tx, cloud, program, "t2", tasks.NO_DEADLINE, {})
        wait_for(lambda: counts(db)["a"] == 2)
    finally:
        pool.stop()


def test_two_workers_share_the_work_and_do_none_twice(cloud, db):
    program = Program("trial")

    @program.step
    def note(run: Run):
        with db.begin() as tx:
            tx.execute(insert(notes).values(text=run.id))
        return Done()

    with db.begin() as tx:
        for number in range(120):
            tasks.start(tx, cloud, program, f"t{number}", 1000, {})
    pools = [WorkerPool(cloud, Worker(cloud, [program]), 4) for _ in range(2)]
    for pool in pools:
        pool.start(drop_leases=False)
    try:

        def left():
            with db.read() as tx:
                return tx.execute(select(func.count()).select_from(tasks.tasks)).scalar_one()

        wait_for(lambda: left() == 0)
    finally:
        for pool in pools:
            pool.stop()
    with db.read() as tx:
        assert sorted(tx.execute(select(notes.c.text)).scalars()) == sorted(f"t{number}" for number in range(120))
