"""Figures of the back ends of volumes: making, cloning, snapshots, connecting, and the speed of a served volume.

Run alone, or by run.py as the part `backend`, whose figures then stand in its --json.  Files are written to a directory of its
own and removed again.  The speed of a volume, by NBD over a unix socket, by NBD over TCP and TLS, and by iSCSI, is compared with
that of a plain file in the same directory, all by qemu-io and out of the page cache: that is the cost of the way there, in
memory, and the most that it can be.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pileus.volume.driver import Connector, Source, VolumeSpec
from pileus.volume.drivers.file import FileBackend
from pileus.volume.drivers.iscsi import IscsiBackend

MANY = 50
MIB = 1 << 20
TIMES = 5
IMAGE_BYTES = 17 * MIB
SPEED_MIB = 512


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()), help="where to put the volumes")
    print(json.dumps(measure(parser.parse_args().directory), indent=1))


def measure(directory: Path) -> dict[str, Any]:
    """Return every figure, in milliseconds and MB/s."""
    work = Path(tempfile.mkdtemp(prefix="pileus-volumes-", dir=directory))
    backend = FileBackend(work / "volumes", work / "run", "here")
    try:
        figures = _making(backend, work) | _copying(backend) | _serving(backend, work)
        figures["backend.reflinks"] = {"works": backend.tree.reflinks}
        return figures
    finally:
        for state in backend.observe_all().values():
            for connector_id in state.connections:
                backend.disconnect(state.id, connector_id)
        backend.close()
        shutil.rmtree(work)


def _making(backend: FileBackend, work: Path) -> dict[str, Any]:
    started = time.monotonic()
    for number in range(MANY):
        backend.ensure(VolumeSpec(f"many{number}", 1))
    made = time.monotonic() - started
    started = time.monotonic()
    for number in range(MANY):
        backend.connect(f"many{number}", Connector("c", "here"))
    connected = time.monotonic() - started
    rss = sorted(_pss_mib(path) for path in backend.serving.directory.iterdir())
    started = time.monotonic()
    for number in range(MANY):
        backend.disconnect(f"many{number}", "c")
    disconnected = time.monotonic() - started
    started = time.monotonic()
    for number in range(MANY):
        backend.destroy(f"many{number}", "punch")
    destroyed = time.monotonic() - started
    raw, image = work / "image.raw", work / "image.qcow2"
    raw.write_bytes(os.urandom(IMAGE_BYTES))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image], check=True)
    of_image = _timed(lambda n: backend.ensure(VolumeSpec(f"i{n}", 1, Source("image", path=str(image), disk_format="qcow2"))))
    return {
        "backend.ensure_50": {"seconds": round(made, 3), "each_ms": made / MANY * 1000},
        "backend.connect": {"each_ms": connected / MANY * 1000},
        "backend.disconnect": {"each_ms": disconnected / MANY * 1000},
        "backend.destroy": {"each_ms": destroyed / MANY * 1000},
        "backend.daemon": {"memory_mib": statistics.median(rss)},
        "backend.of_image_17mb": {"p50_ms": of_image},
    }


def _copying(backend: FileBackend) -> dict[str, Any]:
    backend.ensure(VolumeSpec("full", 1))
    content = backend.open("full", writable=True)
    block = os.urandom(8 * MIB)
    for offset in range(0, content.size_bytes, len(block)):
        content.write(offset, block)
    content.flush()
    content.close()
    figures = {
        "backend.snapshot_1gib": _timed(lambda n: backend.take_snapshot("full", f"s{n}")),
        "backend.clone_1gib": _timed(lambda n: backend.ensure(VolumeSpec(f"c{n}", 1, Source("volume", "full")))),
        "backend.of_snapshot_1gib": _timed(lambda n: backend.ensure(VolumeSpec(f"o{n}", 1, Source("snapshot", f"s{n}", "full")))),
    }
    backend.connect("full", Connector("c", "here"))
    figures["backend.live_snapshot_1gib"] = _timed(lambda n: backend.take_snapshot("full", f"l{n}"))
    backend.disconnect("full", "c")
    return {name: {"p50_ms": value} for name, value in figures.items()}


def _serving(backend: FileBackend, work: Path) -> dict[str, Any]:
    plain = work / "plain"
    with plain.open("wb") as file:
        file.truncate(1 << 30)
    backend.ensure(VolumeSpec("fast", 1))
    near = backend.connect("fast", Connector("c", "here"))["data"]
    far = backend.connect("fast", Connector("d", "there", "127.0.0.1"))["data"]
    tls = f"driver=nbd,server.type=inet,server.host={far['host']},server.port={far['port']},export={far['export']},tls-creds=t"
    places = {
        "plain": [f"driver=raw,file.driver=file,file.filename={plain}"],
        "nbd": [f"driver=nbd,server.type=unix,server.path={near['socket']},export={near['export']}"],
        "nbd_tls": [tls, "--object", f"tls-creds-x509,id=t,dir={far['tls_dir']},endpoint=client"],
    }
    if not shutil.which("tgtd", path=f"{os.environ['PATH']}:/usr/sbin") or os.geteuid() != 0:
        return _speeds(places)
    other = IscsiBackend(work / "iscsi", work / "run-iscsi", "here")
    try:
        other.ensure(VolumeSpec("fast", 1))
        data = other.connect("fast", Connector("c", "here"))["data"]
        options = {"driver": "iscsi", "transport": "tcp", "portal": data["target_portal"], "target": data["target_iqn"]}
        options |= {"lun": data["target_lun"], "user": data["auth_username"], "password-secret": "p"}
        where = ",".join(["driver=raw", *(f"file.{key}={value}" for key, value in options.items())])
        places["iscsi"] = [where, "--object", f"secret,id=p,data={data['auth_password']}"]
        return _speeds(places)
    finally:
        other.disconnect("fast", "c")
        other.close()


def _speeds(places: dict[str, list[str]]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for kind in ("write", "read"):
        seconds = {name: min(_bench(kind, place) for _ in range(3)) for name, place in places.items()}
        figures[f"backend.{kind}"] = {f"{name}_MBps": round(SPEED_MIB * 1.048576 / took) for name, took in seconds.items()}
        of_plain = {f"{name}_of_plain": round(seconds["plain"] / took, 2) for name, took in seconds.items() if name != "plain"}
        figures[f"backend.{kind}"] |= of_plain
    return figures


def _bench(kind: str, place: list[str]) -> float:
    """Go once over SPEED_MIB MiB, 1 MiB a request and 16 at a time; returns the seconds it took, without those of the start."""
    went, started = _seconds(place, [_batch(kind, first) for first in range(0, SPEED_MIB, 16)]), _seconds(place, [])
    return max(went - started, 0.001)


def _batch(kind: str, first: int) -> str:
    pattern = "-P 5 " if kind == "write" else ""
    return "".join(f"aio_{kind} -q {pattern}{number}M 1M\n" for number in range(first, first + 16)) + "aio_flush\n"


def _seconds(place: list[str], batches: list[str]) -> float:
    where, *objects = place
    commands = "".join([*batches, "flush\n", "quit\n"])
    started = time.monotonic()
    done = subprocess.run(
        ["qemu-io", *objects, "--image-opts", where], input=commands, check=True, stdout=subprocess.PIPE, text=True
    )
    if "failed" in done.stdout:
        raise RuntimeError(done.stdout)
    return time.monotonic() - started


def _timed(call: Callable[[int], object]) -> float:
    took = []
    for number in range(TIMES):
        started = time.monotonic()
        call(number)
        took.append((time.monotonic() - started) * 1000)
    return round(statistics.median(took), 2)


def _pss_mib(directory: Path) -> float:
    pid = (directory / "pid").read_text().strip()
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
