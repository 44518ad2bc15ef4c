"""Rate limits, and accounts and containers named by the host."""

import pytest

from pileus.object_store.domains import Place, place_of
from pileus.object_store.rates import Rates, TooFast, Turns, read_rates
from tests.object_store.conftest import ACCOUNT, make_shop


def test_rates_by_size():
    rates = read_rates("10:50, 0:100,50:20")
    assert [rates.of(size) for size in (0, 5, 10, 30, 50, 1000)] == [100, 75, 50, 35, 20, 20]
    assert Rates(((5, 1.0),)).of(4) is None
    assert read_rates("").of(1) is None
    for text in ("x", "1:0", "1:-1", "1"):
        with pytest.raises(ValueError, match=r"."):
            read_rates(text)


def test_turns_are_even_and_end():
    turns = Turns(buffer_seconds=0.0, wait_seconds_max=1.0)
    assert [round(turns.take("a", 2.0, 100.0), 3) for _ in range(3)] == [0.0, 0.5, 1.0]
    with pytest.raises(TooFast):
        turns.take("a", 2.0, 100.0)
    assert turns.take("b", 2.0, 100.0) == 0.0
    assert turns.take("a", 2.0, 101.0) == 0.5
    late = Turns(buffer_seconds=5.0)
    assert [late.take("a", 1.0, 100.0) for _ in range(7)] == [0, 0, 0, 0, 0, 0, 1.0]


@pytest.fixture
def limited(tmp_path):
    shop = make_shop(
        tmp_path, object_account_rate=2.0, object_container_rates="0:1", object_listing_rates="1:1", object_rate_wait_seconds=0.01
    )
    shop.store.rates.turns.buffer_seconds = 0.0
    yield shop
    shop.app.close()


def test_who_is_too_fast_is_sent_away(limited):
    swift = limited.client()
    assert [swift("PUT", f"/{name}").status_code for name in ("a", "b")] == [201, 498]
    assert swift("PUT", "/b").text == "Slow down"
    limited.clock.advance(10)
    assert [swift("PUT", f"/a/{name}", b"").status_code for name in ("x", "y")] == [201, 498]
    limited.clock.advance(10)
    assert [swift("GET", "/a").status_code for _ in range(2)] == [200, 498]
    assert swift("GET", "/a/x").status_code == 200
    assert swift("HEAD", "/a").status_code == 204
    told = swift.get("/info").json()["ratelimit"]
    assert (told["account_ratelimit"], told["container_ratelimits"]) == (2.0, [[0, 1.0]])


def test_an_account_has_its_own_rate(tmp_path):
    shop = make_shop(tmp_path)
    swift, boss = shop.client(), shop.client("reseller")
    swift("PUT", "/a")
    mark = "X_Account_Sysmeta_Global_Write_Ratelimit"
    swift("POST", "", **{mark: "BLACKLIST"})
    assert swift("PUT", "/b").status_code == 201
    assert boss("POST", "", **{mark: "BLACKLIST"}).status_code == 204
    assert swift("PUT", "/c").status_code == 497
    assert boss("POST", "", **{mark: ""}).status_code in (204, 497)
    assert "ratelimit" not in swift.get("/info").json()
    shop.app.close()


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("c.auth-abc.example.com", Place("AUTH_abc", "c")),
        ("C.AUTH_abc.Example.com:8080", Place("AUTH_abc", "c")),
        ("service-abc.example.com", Place("SERVICE_abc")),
        ("abc.example.com", Place("AUTH_abc")),
        ("example.com", None),
        ("notexample.com", None),
        ("[::1]:8080", None),
    ],
)
def test_hosts_that_name_places(host, place):
    assert place_of(host, ("example.com",)) == place


def test_domain_remap(tmp_path):
    shop = make_shop(tmp_path, object_storage_domains="example.com")
    swift, short = shop.client(), ACCOUNT.removeprefix("AUTH_")
    swift("PUT", "/c", X_Container_Read=".r:*,.rlistings")
    swift("PUT", "/c/a/b", b"hello")

    def ask(host, path, method="GET", **more):
        return swift.request(method, f"http://testserver{path}", headers={"Host": host}, **more)

    container, account = f"c.auth-{short}.example.com", f"{short}.example.com:80"
    assert ask(container, "/a/b").content == b"hello"
    assert ask(account, "/c/a/b").content == b"hello"
    assert ask(account, "/c").text == ask(container, "/").text == "a/b\n"
    assert ask(account, "/").text == "c\n"
    assert ask(container, "/new", "PUT", content=b"x").status_code == 201
    assert swift("GET", "/c/new").content == b"x"
    assert ask(f"x.c.{short}.example.com", "/a").status_code == 400
    assert "domain_remap" in swift.get("/info").json()
    assert ask("testserver", "/a/b").status_code == 404
    shop.app.close()


def test_paths_that_name_nothing(swift):
    for path in ("/object-store/", "/object-store/v2", "/object-store/v1"):
        assert swift.get(path).status_code == 412
