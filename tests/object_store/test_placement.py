"""A cluster of several nodes behind the proxy, some of them away."""

import itertools

import pytest

from tests.object_store.conftest import make_shop


@pytest.fixture
def shop(tmp_path):
    """Five nodes, three replicas."""
    made = make_shop(tmp_path, nodes=5, replicas=3)
    yield made
    made.app.close()


@pytest.fixture
def carrier(shop):
    return shop.store.placement.cluster.carrier


@pytest.fixture
def box(shop):
    client = shop.client()
    client("PUT", "/c")
    return client


def test_one_node_away_is_not_noticed(box, carrier):
    for away in range(5):
        carrier.down.clear()
        carrier.down.add(away)
        body = bytes([away]) * 100_000
        assert box("PUT", f"/c/{away}", body).status_code == 201
        for there in range(5):
            carrier.down.clear()
            carrier.down.add(there)
            assert box("GET", f"/c/{away}").content == body
    carrier.down.clear()
    assert box("PUT", "/d").status_code == 201


def test_two_nodes_away_are_not_noticed_by_those_who_write(box, carrier):
    carrier.down |= {0, 1}
    for name in range(8):
        assert box("PUT", f"/c/{name}", b"x").status_code == 201
        assert box("GET", f"/c/{name}").content == b"x"
        assert box("DELETE", f"/c/{name}").status_code == 204
        assert box("GET", f"/c/{name}").status_code == 404


def test_too_few_nodes(shop, box, carrier):
    carrier.down |= {0, 1, 2, 3}
    shop.clock.advance(60)
    assert box("PUT", "/c/o", b"x").status_code == 503
    carrier.down |= {4}
    for method in ("GET", "HEAD", "DELETE", "POST"):
        assert box(method, "/c/o").status_code == 503
    assert box("GET").status_code == 503


def test_a_deletion_where_only_some_nodes_have_the_object(box, carrier):
    """As Swift does: a node that never had it agrees with one that deletes it."""
    for number, away in enumerate(itertools.combinations(range(5), 3)):
        carrier.down.clear()
        assert box("PUT", f"/c/{number}", b"x").status_code == 201
        carrier.down |= set(away)
        assert box("DELETE", f"/c/{number}").status_code in (204, 404)
        carrier.down.clear()
        assert box("GET", f"/c/{number}", X_Newest="true").status_code == 404


def test_full_devices(box, carrier):
    carrier.full |= {0}
    assert box("PUT", "/c/o", b"x").status_code == 201
    carrier.full |= {1, 2, 3, 4}
    assert box("PUT", "/c/o", b"y").status_code == 507
    carrier.full.clear()
    assert box("GET", "/c/o").content == b"x"
    assert box("PUT", "/c/o", b"y").status_code == 201


def test_the_newest_is_found_where_replicas_differ(box, carrier):
    box("PUT", "/c/o", b"old")
    for away in ({0, 1}, {2, 3}, {4, 0}):
        carrier.down |= away
        assert box("PUT", "/c/o", str(away).encode()).status_code == 201
        carrier.down.clear()
        assert box("GET", "/c/o", X_Newest="true").content == str(away).encode()
        assert box("HEAD", "/c/o", X_Newest="true").headers["content-length"] == str(len(str(away)))
