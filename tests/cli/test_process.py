"""One process a state directory."""

import os
import signal
import subprocess
import sys

import pytest

from pileus import process
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
