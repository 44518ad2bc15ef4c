"""The smaller parts: router, microversions, paging, settings, quota, ids, clock."""

import re
from dataclasses import dataclass

import pytest

from pileus.kernel import clock, ids, microversion, paging, quota
from pileus.kernel.errors import BadRequest, NotAcceptable, OverQuota
from pileus.kernel.microversion import Microversions
from pileus.kernel.router import Router
from pileus.kernel.settings import Settings, SettingsError, load


@dataclass(frozen=True)
class Path:
    method: str
    path: str


ROUTER = Router(
    [Path("GET", "/v2"), Path("GET", "/a/{id}"), Path("POST", "/a/{id}"), Path("GET", "/a/detail"), Path("GET", "/f/{p:rest}")]
)


@pytest.mark.parametrize(
    ("path", "pattern", "values"),
    [
        ("/v2", "/v2", {}),
        ("/v2/", "/v2", {}),
        ("/a/1", "/a/{id}", {"id": "1"}),
        ("/a/a%20b", "/a/{id}", {"id": "a b"}),
        ("/a/detail", "/a/detail", {}),
        ("/f/x/y%2Fz", "/f/{p:rest}", {"p": "x/y/z"}),
    ],
)
def test_routes(path, pattern, values):
    match = ROUTER.find("GET", path)
    assert [(route.path, found) for route, found in match.routes] == [(pattern, values)]


def test_no_route():
    assert ROUTER.find("GET", "/b") is None
    assert ROUTER.find("GET", "/a/1/2") is None
    match = ROUTER.find("DELETE", "/a/1")
    assert (match.routes, match.methods) == ([], ("GET", "POST"))


NOVA = Microversions("compute", (2, 1), (2, 90), "x-openstack-nova-api-version")


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({}, (2, 1)),
        ({"openstack-api-version": "compute 2.79"}, (2, 79)),
        ({"openstack-api-version": "volume 3.1, compute 2.4"}, (2, 4)),
        ({"openstack-api-version": "compute latest"}, (2, 90)),
        ({"x-openstack-nova-api-version": "2.10"}, (2, 10)),
        ({"openstack-api-version": "volume 3.1"}, (2, 1)),
    ],
)
def test_microversions(headers, version):
    assert NOVA.read(headers) == version


def test_microversions_that_cannot_be_had():
    with pytest.raises(NotAcceptable):
        NOVA.read({"openstack-api-version": "compute 2.91"})
    for text in ("2", "2.x", "two", "2.01", ""):
        with pytest.raises(BadRequest):
            microversion.parse(text)


def test_limits_of_pages():
    assert paging.read_limit(None, 1000) == 1000
    assert paging.read_limit("5000", 1000) == 1000
    assert paging.read_limit("0") == 0
    for text in ("-1", "x", "1.5", ""):
        with pytest.raises(BadRequest):
            paging.read_limit(text)


def test_sort_keys():
    assert paging.read_sort(["a", "b"], ["desc"], {"a", "b"}) == (("a", True), ("b", False))
    for keys, directions in ((["c"], []), (["a"], ["up"]), (["a"], ["asc", "asc"])):
        with pytest.raises(BadRequest):
            paging.read_sort(keys, directions, {"a", "b"})


def test_next_link():
    assert paging.next_link("http://x/y", [("limit", "2"), ("marker", "a")], "b") == "http://x/y?limit=2&marker=b"


def test_settings_come_from_file_environment_and_command_line(tmp_path):
    file = tmp_path / "pileus.toml"
    file.write_text('name = "a"\nregion = "R"\nclassic_ports = true\n')
    found = load(file, {"PILEUS_NAME": "b", "PILEUS_BCRYPT_ROUNDS": "5", "PILEUS_LOG": "ignored"}, region="Q", listen=None)
    assert (found.name, found.region, found.classic_ports, found.bcrypt_rounds) == ("b", "Q", True, 5)
    assert found.listen == Settings.listen
    assert found.database.startswith("sqlite:///")


def test_bad_settings(tmp_path):
    with pytest.raises(SettingsError):
        load(None, {"PILEUS_BCRYPT_ROUNDS": "many"})
    with pytest.raises(SettingsError):
        load(None, {"PILEUS_CLASSIC_PORTS": "perhaps"})
    (tmp_path / "f").write_text("nmae = 'a'")
    with pytest.raises(SettingsError):
        load(tmp_path / "f", {})


def test_quota(lab):
    defaults = {"cores": 20, "ram": 100}
    with lab.cloud.db.begin() as tx:
        quota.set_limits(tx, "compute", "default", {"cores": 10})
        quota.set_limits(tx, "compute", "p", {"ram": -1})
        quota.set_limits(tx, "compute", "p", {"ram": 50})
        assert quota.get_limits(tx, "compute", "p", defaults) == {"cores": 10, "ram": 50}
        assert quota.list_owners(tx, "compute") == ["p"]
        quota.reset_limits(tx, "compute", "p")
        assert quota.get_limits(tx, "compute", "p", defaults) == {"cores": 10, "ram": 100}
    quota.require_room({"cores": 2, "ram": -1}, {"cores": 1}, {"cores": 1, "ram": 9999})
    with pytest.raises(OverQuota, match="cores: Requested 2, but already used 1 of 2"):
        quota.require_room({"cores": 2}, {"cores": 1}, {"cores": 2})


def test_ids():
    assert ids.is_uuid(ids.uuid())
    assert ids.is_uuid(ids.hex_id())
    assert not ids.is_uuid("cirros")
    assert re.fullmatch(r"fa:16:3e(:[0-9a-f]{2}){3}", ids.mac())
    assert len({ids.secret() for _ in range(100)}) == 100


def test_times():
    assert clock.to_iso(0) == "1970-01-01T00:00:00Z"
    assert clock.to_iso_micro(1.5) == "1970-01-01T00:00:01.500000Z"
    assert clock.from_iso("1970-01-01T00:00:01Z") == clock.from_iso("1970-01-01T00:00:01") == 1
    with pytest.raises(ValueError, match="isoformat"):
        clock.from_iso("soon")
