"""Transactions."""

import threading

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select, update

from pileus.kernel.db import Database, Json, after_commit

counters = Table(
    "test_counters", MetaData(), Column("name", String(8), primary_key=True), Column("n", Integer), Column("facts", Json)
)  # fmt: skip


@pytest.fixture
def db(tmp_path):
    made = Database(f"sqlite:///{tmp_path}/x.db")
    with made.begin() as tx:
        counters.create(tx)
    with made.begin() as tx:
        tx.execute(insert(counters).values(name="a", n=0, facts={"x": [1, None]}))
    yield made
    made.dispose()


def value(db):
    with db.read() as tx:
        return tx.execute(select(counters.c.n)).scalar()


def test_many_writers_lose_nothing(db):
    def add():
        for _ in range(25):
            with db.begin() as tx:
                n = tx.execute(select(counters.c.n)).scalar()
                tx.execute(update(counters).values(n=n + 1))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(db) == 200


def test_a_failed_block_changes_nothing_and_calls_no_hook(db):
    called = []
    with pytest.raises(ZeroDivisionError), db.begin() as tx:
        tx.execute(update(counters).values(n=9))
        after_commit(tx, lambda: called.append(1))
        raise ZeroDivisionError
    assert (value(db), called) == (0, [])
    with db.begin() as tx:
        after_commit(tx, lambda: called.append(value(db)))
        tx.execute(update(counters).values(n=9))
    assert called == [9]


def test_a_transaction_inside_a_transaction_is_a_bug(db):
    with db.begin(), pytest.raises(RuntimeError), db.begin():
        pass
    with db.begin() as tx:
        tx.execute(update(counters).values(n=1))
        assert value(db) == 0, "a reader sees the last commit"


def test_json(db):
    with db.read() as tx:
        assert tx.execute(select(counters.c.facts)).scalar() == {"x": [1, None]}
