"""`make bench`: the load driver against a cloud with the fake hypervisor, the cold start and the idle memory.

Prints a table of ratios to a real OpenStack and to the targets; asserts nothing.  A cloud of its own is started on loopback
and removed again.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import volumes
from targets import TARGETS

HERE = Path(__file__).parent
LISTEN = "127.0.0.1:8200"
IDLE_SECONDS = 3.0


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", default=os.environ.get("ONLY", "identity,compute,network,image,volume,object"), help="parts of the load driver"
    )
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    figures = measure(options.only)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    show(figures)


def measure(only: str) -> dict[str, Any]:
    """Start a cloud twice, load it, and return every figure."""
    work = Path(tempfile.mkdtemp(prefix="pileus-bench-"))
    figures: dict[str, Any] = {}
    try:
        with _cloud(work):
            pass
        started = time.monotonic()
        with _cloud(work) as pid:
            figures["start"] = {"seconds": round(time.monotonic() - started, 2)}
            time.sleep(IDLE_SECONDS)
            figures["idle"] = {"memory_mib": _resident_mib(pid)}
            for part in only.split(","):
                figures |= volumes.measure(work) if part == "backend" else _load(work, pid, part)
            figures["loaded"] = {"memory_mib": _resident_mib(pid)}
    finally:
        shutil.rmtree(work)
    return figures


def _environment() -> dict[str, str]:
    fake = {"HYPERVISOR": "fake", "NETWORK_DRIVER": "fake", "LISTEN": LISTEN, "NAME": "pileus-bench", "FAKE_HOSTS": "10"}
    fake["VOLUME_BACKENDS"] = "fake"
    return {**os.environ, **{f"PILEUS_{name}": value for name, value in fake.items()}}


def _pileus(work: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pileus.cli", "--state-dir", str(work / "state"), *arguments]
    return subprocess.run(command, env=_environment(), check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def _cloud(work: Path) -> Any:
    _pileus(work, "up", "--detach")
    try:
        yield int(json.loads((work / "state" / "process.json").read_text())["pid"])
    finally:
        _pileus(work, "down")


def _load(work: Path, pid: int, part: str) -> dict[str, Any]:
    pids = work / "pids"
    pids.mkdir(exist_ok=True)
    (pids / "pileus.pid").write_text(str(pid))
    environment = _environment()
    for line in _pileus(work, "openrc").splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        environment[name] = value.strip("'")
    result = work / f"{part}.json"
    command = [sys.executable, str(HERE / "cloudbench.py"), "--only", part, "--server-pids", str(pids), "--json", str(result)]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(result.read_text())["figures"]
    return found


def _resident_mib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS:"))


def show(figures: dict[str, Any]) -> None:
    """Print the table; a ratio above 1 is in Pileus' favour."""
    print("| operation | OpenStack | target | Pileus | x OpenStack | x target |")
    print("|---|---|---|---|---|---|")
    for line in TARGETS:
        value = figures.get(line.figure, {}).get(line.field)
        if not value:
            error = figures.get(line.figure, {}).get("error", "not measured")
            print(f"| {line.label} | {line.openstack:g} | {line.target:g} | {error} | | |")
            continue
        ratios = [value / other if line.more else other / value for other in (line.openstack, line.target)]
        print(f"| {line.label} | {line.openstack:g} | {line.target:g} | {value:.3g} | {ratios[0]:.1f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    main()
