"""One process a state directory."""

import json
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from pileus import process
from pileus.cli import main
from pileus.process import AlreadyRunning, Running

ME = Running(os.getpid(), "http://127.0.0.1:1", "t", 0.0)
HOLDER = """
import sys, time, pathlib, os
from pileus import process
kept = process.hold(pathlib.Path(sys.argv[1]), process.Running(os.getpid(), "u", "t", 0.0))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    started = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert started.stdout.readline() == "held\n"
    yield started
    started.kill()
    started.wait()


def test_only_one_holds(tmp_path, holder):
    assert process.find(tmp_path).pid == holder.pid
    with pytest.raises(AlreadyRunning):
        process.hold(tmp_path, ME)


def test_a_killed_process_holds_nothing(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert process.find(tmp_path) is None
    process.hold(tmp_path, ME).close()
    assert process.find(tmp_path) is None


def test_stop(tmp_path, holder):
    assert process.stop(tmp_path, timeout_seconds=5)
    assert holder.wait() == -signal.SIGTERM
    assert not process.stop(tmp_path)


def test_nothing_there(tmp_path):
    assert process.find(tmp_path / "none") is None


def test_a_state_directory_keeps_its_name(tmp_path, monkeypatch):
    process.hold(tmp_path, Running(os.getpid(), "u", "mine", 0.0)).close()
    assert process.name_of(tmp_path) == "mine"
    monkeypatch.delenv("PILEUS_NAME", raising=False)
    asked = CliRunner().invoke(main, ["--state-dir", str(tmp_path), "settings"])
    assert "name = 'mine'" in asked.output
    monkeypatch.setenv("PILEUS_NAME", "other")
    asked = CliRunner().invoke(main, ["--state-dir", str(tmp_path), "settings"])
    assert asked.exit_code == 1
    assert "is the state of the cloud mine, not of other" in asked.output


def test_doctor_names_remedies():
    findings = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).output)
    assert {"rights", "packages", "network namespaces", "nftables", "bridges", "vxlan", "disk space"} <= {
        f["name"] for f in findings
    }
    assert all(finding["remedy"] for finding in findings if finding["grade"] != "good")


def test_status_of_nothing(tmp_path):
    asked = CliRunner().invoke(main, ["--state-dir", str(tmp_path), "status", "--json"])
    assert asked.exit_code == 3
    assert json.loads(asked.output) == {"state_dir": str(tmp_path), "running": False}


def test_credentials_of_nothing(tmp_path):
    asked = CliRunner().invoke(main, ["--state-dir", str(tmp_path), "openrc"])
    assert asked.exit_code == 1
    assert "pileus up --detach" in asked.output


@pytest.mark.parametrize("command", ["up", "down", "status", "openrc", "clouds-yaml", "doctor", "settings", "db"])
def test_help(command):
    asked = CliRunner().invoke(main, [command, "--help"])
    assert asked.exit_code == 0
    assert "Usage:" in asked.output
