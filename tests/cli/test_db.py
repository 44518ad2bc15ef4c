"""`pileus db` where there is nothing yet, and where nothing answers."""

import pytest
from click.testing import CliRunner

from pileus import migrations
from pileus.cli import main
from tests.journeys.conftest import free_port


def ask(state_dir, *words, url=""):
    return CliRunner().invoke(main, ["--state-dir", str(state_dir), "db", *words], env={"PILEUS_DATABASE_URL": url})


def test_a_schema_is_made_where_nothing_is_yet(tmp_path):
    state_dir = tmp_path / "new" / "state"
    assert "There is no database" in ask(state_dir, "revision").output
    assert not state_dir.exists()
    made = ask(state_dir, "upgrade")
    assert (made.exit_code, made.output) == (0, f"The schema is at {migrations.HEAD}.\n")
    assert state_dir.stat().st_mode & 0o777 == 0o700
    assert ask(state_dir, "revision").output.startswith(migrations.HEAD)


def test_a_place_that_cannot_be_used_is_named():
    asked = ask("/proc/nothing", "upgrade")
    assert asked.exit_code == 1
    assert asked.output.startswith("Error: /proc/nothing cannot be used")


@pytest.mark.parametrize("words", [("upgrade",), ("revision",)])
@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mysql+pymysql"])
def test_a_server_that_does_not_answer_is_told(tmp_path, driver, words):
    asked = ask(tmp_path, *words, url=f"{driver}://pileus@127.0.0.1:{free_port()}/pileus")
    assert asked.exit_code == 1
    assert asked.output.startswith("Error: The database does not answer")
