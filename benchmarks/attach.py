"""Figures of volumes and a guest that runs: from the call of the API until the guest sees the disk, and until it is gone again.

    python benchmarks/attach.py --times 10

A cloud of its own with true guests is started on loopback, as root, and removed again.  The guest says on its serial port when it
sees the disk and when it does not any more; it looks every 20 ms.  `attach` and `detach` are what users wait for: the guest has
the disk and the volume is in use; the guest has it no more and the volume is available.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openstack
import yaml

NAME, LISTEN, PUBLIC = "pileusatt", "127.0.0.1:8210", "172.25.3.0/24"
IMAGE, DEVICE = "cirros-pileus", "vdb"
WAIT_SECONDS = 180.0
LOOK_SECONDS = 0.01


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    print(json.dumps(measure(parser.parse_args().times), indent=1))


def measure(times: int) -> dict[str, Any]:
    """Return the medians and the slowest, in seconds."""
    work = Path(tempfile.mkdtemp(prefix="pileus-attach-"))
    taken: dict[str, list[float]] = {"guest_sees": [], "attach": [], "guest_lost": [], "detach": []}
    try:
        with _cloud(work / "state") as cloud:
            server, volume, shell = _prepare(cloud, work / "state")
            for _ in range(times):
                _attach(cloud, server, volume, shell, taken)
                _detach(cloud, server, volume, shell, taken)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    figures = {name: {"median": statistics.median(each), "slowest": max(each), "n": len(each)} for name, each in taken.items()}
    return {name: {key: round(value, 3) for key, value in each.items()} for name, each in figures.items()}


@contextlib.contextmanager
def _cloud(state_dir: Path) -> Iterator[Any]:
    environment = {**os.environ, "PILEUS_NAME": NAME, "PILEUS_LISTEN": LISTEN, "PILEUS_PUBLIC_CIDR": PUBLIC}

    def pileus(*arguments: str) -> str:
        command = [sys.executable, "-m", "pileus.cli", "--state-dir", str(state_dir), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    pileus("up", "--detach")
    try:
        entry = yaml.safe_load(pileus("clouds-yaml"))["clouds"][f"{NAME}-demo"]
        yield openstack.connect(auth=entry["auth"], region_name=entry["region_name"])
    finally:
        pileus("down", "--purge", "--yes")


def _prepare(cloud: Any, state_dir: Path) -> tuple[str, str, "Shell"]:
    image = _until(lambda: (found := cloud.image.find_image(IMAGE)) and found.status == "active" and found)
    flavor, network = cloud.compute.find_flavor("m1.nano").id, cloud.network.find_network("private").id
    server = cloud.compute.create_server(name="one", image_id=image.id, flavor_id=flavor, networks=[{"uuid": network}]).id
    volume = cloud.block_storage.create_volume(size=1, name="one").id
    _until(lambda: cloud.compute.get_server(server).status == "ACTIVE")
    _until(lambda: cloud.block_storage.get_volume(volume).status == "available")
    shell = Shell(state_dir / "hypervisor" / "guests" / server)
    shell.log_in()
    return server, volume, shell


def _attach(cloud: Any, server: str, volume: str, shell: "Shell", taken: dict[str, list[float]]) -> None:
    shell.begin(f"while [ ! -b /dev/{DEVICE} ]; do sleep 0.02; done")
    started = time.monotonic()
    answer = cloud.compute.post(f"/servers/{server}/os-volume_attachments", json={"volumeAttachment": {"volumeId": volume}})
    assert answer.status_code in (200, 202), answer.text
    shell.end()
    taken["guest_sees"].append(time.monotonic() - started)
    _until(lambda: _status(cloud, volume) == "in-use")
    taken["attach"].append(time.monotonic() - started)


def _detach(cloud: Any, server: str, volume: str, shell: "Shell", taken: dict[str, list[float]]) -> None:
    shell.begin(f"while [ -e /sys/block/{DEVICE} ]; do sleep 0.02; done")
    started = time.monotonic()
    answer = cloud.compute.delete(f"/servers/{server}/os-volume_attachments/{volume}")
    assert answer.status_code == 202, answer.text
    shell.end()
    taken["guest_lost"].append(time.monotonic() - started)
    _until(lambda: _status(cloud, volume) == "available")
    taken["detach"].append(time.monotonic() - started)


def _status(cloud: Any, volume: str) -> str:
    return str(cloud.block_storage.get(f"/volumes/{volume}").json()["volume"]["status"])


def _until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while not (found := look()):
        if time.monotonic() > deadline:
            raise SystemExit("what was waited for did not come")
        time.sleep(LOOK_SECONDS)
    return found


class Shell:
    """A shell of the guest, over its serial port."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "console.log"
        folder = os.open(directory, os.O_PATH)  # the path may be longer than an address has room for
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(f"/proc/self/fd/{folder}/serial")
        os.close(folder)
        self._text, self._number = "", 0

    def log_in(self) -> None:
        """Wait until the guest is up, and log in to it."""
        _until(lambda: "login:" in self._log.read_text(errors="replace"))
        for sent, awaited in (("", "login: "), ("cirros", "assword: "), ("gocubsgo", r"[$#] ")):
            self._socket.sendall(f"{sent}\n".encode())
            self._await(awaited)
        self.begin("stty -echo")
        self.end()

    def begin(self, command: str) -> None:
        """Start a command."""
        self._number += 1
        self._socket.sendall(f'{command}; echo "=="{self._number}==\n'.encode())

    def end(self) -> None:
        """Wait until the command has ended."""
        self._await(f"=={self._number}==")

    def _await(self, pattern: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while (found := re.search(pattern, self._text)) is None:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            self._text += self._socket.recv(65536).decode(errors="replace")
        self._text = self._text[found.end() :]


if __name__ == "__main__":
    main()
