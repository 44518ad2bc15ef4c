"""`pileus ring`, as an operator types it."""

from pathlib import Path

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
    assert "64 partitions, 3.000000 replicas, 1 regions, 4 zones, 4 devices, 0.00 balance, 0.00 dispersion" in run().output
    run("validate")
    run("dispersion")
    assert "z" not in run("search", "z2").output.splitlines()[1]
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
