"""`pileus ring`, as an operator types it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pileus.object_store.storage.ring.cli import ring
from pileus.object_store.storage.ring.table import load_table


def test_the_life_of_a_ring(tmp_path: Path) -> None:
    path = str(tmp_path / "object.builder")

    def run(*words: str, code: int = 0) -> Result:
        done = CliRunner().invoke(ring, [path, *words])
        assert done.exit_code == code, (words, done.output, done.exception)
        return done

    run("rebalance", code=2)
    run("create", "6", "3", "1")
    run("create", "6", "3", "1", code=2)
    for number in range(1, 4):
        out = run("add", f"r1z{number}-127.0.0.{number}:6200R127.0.1.{number}:6201/sdb_text", "100").output
        assert out == (
            f'Device d{number - 1}r1z{number}-127.0.0.{number}:6200R127.0.1.{number}:6201/sdb_"text" with 100.0 weight '
            f"got id {number - 1}\n"
        )
    run("add", "--region", "1", "--zone", "4", "--ip", "127.0.0.4", "--port", "6200", "--device", "sdb", "--weight", "100")
    run("add", "nonsense", "1", code=2)
    assert "Reassigned 192 (300.00%) partitions. Balance is now 0.00.  Dispersion is now 0.00" in run("rebalance", "7").output
    assert load_table(str(tmp_path / "object.ring.gz")).replicas == 3
    assert (
        "64 partitions, 3.000000 replicas, 1 regions, 4 zones, 4 devices, 2-byte IDs, 0.00 balance, 0.00 dispersion"
        in run().output
    )
    run("validate")
    run("dispersion")
    assert run("search", "z2").output.splitlines()[1].split()[:5] == ["1", "1", "2", "127.0.0.2", "6200"]
    assert len(run("search", "/sdb").output.splitlines()) == 5
    run("search", "d9", code=2)
    assert len(run("list_parts", "d1").output.splitlines()) == 49
    assert "weight set to 50.0" in run("set_weight", "d1", "50").output
    run("rebalance", code=1)
    run("pretend_min_part_hours_passed")
    run("rebalance")
    assert "127.0.0.9:6300" in run("set_info", "z3", "127.0.0.9:6300/sdc").output
    assert "marked for removal" in run("remove", "d3").output
    assert "DEL" in run().output
    assert "The replica count is now 2.000000." in run("set_replicas", "2").output
    run("set_overload", "10%")
    run("set_min_part_hours", "0")
    run("rebalance", code=0)
    assert "3 devices" in run().output
    run("write_ring")
    assert list((tmp_path / "backups").glob("*.object.ring.gz"))


Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands on o.builder, with four devices in two regions, and returns what they say."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str, code: int = 0, name: str = "o.builder", typed: str = "") -> str:
        done = CliRunner().invoke(ring, [name, *words], input=typed)
        assert done.exit_code == code, (words, done.output, done.exception)
        return done.stdout

    call("create", "6", "3", "1")
    call("add", "r1z1-10.0.0.1:6200/sda", "100", "r1z2-10.0.0.2:6200R10.1.0.2:6300/sdb_shiny", "100")
    call("add", "z3-10.0.0.3:6200/sdc", "100")
    call("add", "-r", "2", "-z", "4", "-i", "Host.example.org", "-p", "6200", "-d", "sdd", "-w", "100", "-m", "text")
    return call


def test_devices_are_added_as_swift_adds_them(run: Run) -> None:
    for words in (
        ("r1z1-10.0.0.1:6200/sda", "100"),  # there already
        ("r1z1-10.0.0.1/sda", "100"),  # no port
        ("r1z1-10.0.0.9:6200/sda",),  # no weight
        ("r1z1-host:6200/sda", "100"),  # a name where an address has to be
        ("r1z1-10.0.0.9:6200/ ", "100"),
        ("-r", "2", "-z", "4", "-i", "10.0.0.9", "-p", "6200", "-d", "sdd"),
        ("-r", "2", "-z", "4", "-i", "ho st", "-p", "6200", "-d", "sdd", "-w", "1"),
        ("-r", "2", "-z", "4", "-i", "10.0.0.9", "-p", "6200", "-d", "sdd", "-w", "-1"),
        ("r1z1-10.0.0.9:6200/sda", "100", "-z", "4"),  # by values or by options
    ):
        assert "The on-disk ring builder is unchanged." in run("add", *words, code=2)
    assert run("add", "r1z1-[::1]:6200/sde_snet: 5", "7") == (
        'Device d4r1z1-[::1]:6200R[::1]:6200/sde_"snet: 5" with 7.0 weight got id 4\n'
    )
    lines = run().splitlines()
    assert [line.split()[0] for line in lines[6:]] == ["0", "4", "1", "2", "3"], "by region, zone and address"
    assert lines[5:8] == [
        "Devices:   id region zone         ip address:port     replication ip:port  name weight partitions balance flags meta",
        "            0      1    1           10.0.0.1:6200           10.0.0.1:6200   sda 100.00          0 -100.00       ",
        "            4      1    1              [::1]:6200              [::1]:6200   sde   7.00          0 -100.00       snet: 5",
    ]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("z1",), [0]),
        (("r1",), [0, 1, 2]),
        (("d2",), [2]),
        (("d2r2",), []),
        (("10.0.0.1",), [0]),
        (("z1-10.0.0.1",), [0]),
        ((":6200",), [0, 1, 2, 3]),
        (("R10.1.0.2",), [1]),
        (("R:6300",), [1]),
        (("10.0.0.2R10.1.0.2",), [1]),
        (("/sdc",), [2]),
        (("_shin",), [1]),
        (("[::1]",), []),
        (("-r", "2"), [3]),
        (("-u", "0"), [0]),
        (("-w", "100", "-z", "2"), [1]),
        (("-i", "HOST.example.org"), [3]),
        (("nonsense",), []),
        ((), []),
        (("z1", "-z", "1"), []),
    ],
)
def test_devices_are_found_as_swift_finds_them(run: Run, words: tuple[str, ...], found: list[int]) -> None:
    said = run("search", *words, code=0 if found else 2)
    assert not found or [int(line.split()[0]) for line in said.splitlines()[1:]] == found


def test_devices_are_changed_by_values_and_by_options(run: Run) -> None:
    assert run("set_region", "d0", "3") == 'd0r3z1-10.0.0.1:6200R10.0.0.1:6200/sda_"" region set to 3\n'
    assert run("set_zone", "-u", "0", "8") == 'd0r3z8-10.0.0.1:6200R10.0.0.1:6200/sda_"" zone set to 8\n'
    assert "weight set to 70.0" in run("set_weight", "-z", "4", "-i", "host.example.org", "70")
    asked = "Matched more than one device:\n"
    for typed, code in (("n\n", 2), ("", 2), ("y\n", 0)):
        said = run("set_weight", "r1", "60", code=code, typed=typed)
        assert said.startswith(asked)
        assert ("Aborting device modifications" in said) == bool(code)
    assert run("set_weight", "r1", "61", "--yes").count("weight set to 61.0") == 2
    assert run("set_info", "d0", "10.0.0.11:6201R10.1.0.11:6301/sdz_meta") == (
        'Device d0r3z8-10.0.0.1:6200R10.0.0.1:6200/sda_"" is now d0r3z8-10.0.0.11:6201R10.1.0.11:6301/sdz_"meta"\n'
    )
    assert run("set_info", "-u", "0", "-I", "10.0.0.12", "-P", "6202", "-M", "x").endswith(
        'is now d0r3z8-10.0.0.12:6202R10.1.0.11:6301/sdz_"x"\n'
    )
    assert run("set_info", "d0", "10.0.0.2:6200/sdb", code=2) == "Device 1 already uses 10.0.0.2:6200/sdb.\n"
    for words in (
        ("set_weight", "d1", "x"), ("set_weight", "d1", "-1"), ("set_weight", "d1"),
        ("set_zone", "d9", "1"), ("set_region", "d1", "x"),
        ("set_info", "d74", "_x"), ("set_info", "d1", "nonsense"), ("set_info", "-u", "1"), ("set_info", "d1", "/ x"),
    ):  # fmt: skip
        run(*words, code=2)
    assert "d1r1z2-10.0.0.2:6200R10.1.0.2:6300" in run("remove", "-u", "1")
    assert run("set_weight", "d1", "5", code=2) == "Can not set weight of dev_id 1 because it is marked for removal\n"
    assert "999.99" not in run(), "nothing lies there yet"


def test_a_ring_is_balanced_only_where_it_helps(run: Run) -> None:
    assert "is not rebalanced yet" in run("list_parts", "d1", code=2)
    assert "is not rebalanced yet" in run("dispersion", code=2)
    assert "did you forget to rebalance" in run("validate", code=2)
    assert "rebalance" in run("write_ring", code=2)
    run("rebalance", "--seed", "5", code=1)  # the second region has one device
    said = run("rebalance", code=1)
    assert said.startswith(
        "No partitions could be reassigned.\nThe time between rebalances must be at least min_part_hours: 1 hours ("
    )
    run("pretend_min_part_hours_passed")
    assert "(0:00:00 remaining)" in run()
    run("set_info", "d0", "_new")
    assert "is obsolete" in run()
    run("write_ring")
    assert "is up-to-date" in run()
    run("set_overload", "1.5", code=1)
    assert "150.00%" in run()
    for overload in ("x", "-1", "-1%"):
        run("set_overload", "--", overload, code=2)
    assert run("set_replicas", "0.5", code=2) == "Replica count must be at least 1.\n"


def test_dispersion_is_told_by_tier(run: Run) -> None:
    run("set_overload", "200%")
    run("set_region", "d3", "1")
    run("rebalance", "--seed", "1")
    lines = run("dispersion", r"r\d+z\d+$", "-v").splitlines()
    assert lines[0].startswith("Dispersion is 0.000000, Balance is 0.000000, Overload is 200.00%")
    assert lines[3] == "Tier                           Parts      %    Max     0     1     2     3"
    assert lines[5:] == [
        f"r1z{zone}                              48   0.00      1    16    48     0     0" for zone in (1, 2, 3, 4)
    ]
    run("set_region", "d3", "2")
    said = run("dispersion", code=1)
    assert "Worst tier is " in said
    assert "(r1)" in said


def test_a_lost_builder_is_made_of_its_ring(run: Run, tmp_path: Path) -> None:
    assert "o.ring.gz" in run("version", code=2)
    run("set_region", "d3", "1")
    run("rebalance", "--seed", "1")
    assert run("version") == "o.ring.gz: Serialization version: 1 (2-byte IDs), build version: 6\n"
    assert "Cowardly refusing" in run("write_builder", "5", name="o.ring.gz", code=2)
    before = (tmp_path / "o.ring.gz").read_bytes()
    (tmp_path / "o.builder").unlink()
    run("write_builder", "5", name="o.ring.gz")
    shown = run(name="o.ring.gz").splitlines()
    assert shown[0] == "Note: using o.builder instead of o.ring.gz as builder file"
    assert "can be reassigned is 5 (0:00:00 remaining)" in shown[3]
    assert shown[5] == "Ring file o.ring.gz is up-to-date"
    run("write_ring")
    assert (tmp_path / "o.ring.gz").read_bytes() == before
