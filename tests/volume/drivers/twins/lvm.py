"""The program `lvm`: logical volumes are files in $TWIN/GROUP, which stands for /dev/GROUP."""

import argparse
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

HOME = Path(os.environ["TWIN"])
POOL_BYTES = 1 << 40


def fail(text: str) -> None:
    print(text, file=sys.stderr)
    sys.exit(5)


def located(spec: str) -> Path:
    path = HOME / spec.removeprefix("/dev/")
    if not path.exists():
        fail(f'  Failed to find logical volume "{spec}"')
    return path


def new(group: str, name: str) -> Path:
    path = HOME / group / name
    if path.exists():
        fail(f'  Logical Volume "{name}" already exists in volume group "{group}"')
    if len(name) > 127 or not set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_.-"):
        fail(f'  Logical volume name "{name}" is invalid')
    return path


def lvcreate(o: argparse.Namespace) -> None:
    if o.type == "thin-pool":
        new(o.place[0], o.n).write_text("pool")
    elif o.s:
        source = located(o.place[0])
        assert o.k == "n", "a thin snapshot is not active unless that is asked for"
        subprocess.run(["cp", "--sparse=always", source, new(source.parent.name, o.n)], check=True)
    else:
        pool = located(o.thinpool)
        with new(pool.parent.name, o.n).open("wb") as file:
            file.truncate(int(o.V.removesuffix("b")))


def lvextend(o: argparse.Namespace) -> None:
    size = int(o.L.removesuffix("b"))
    with located(o.place[0]).open("r+b") as file:
        if os.fstat(file.fileno()).st_size >= size:
            fail("  New size given not larger than existing size")
        file.truncate(size)


def lvrename(o: argparse.Namespace) -> None:
    group, old, name = o.place
    os.rename(located(f"{group}/{old}"), new(group, name))


def lvremove(o: argparse.Namespace) -> None:
    located(o.place[0]).unlink()


def lvs(o: argparse.Namespace) -> None:
    group, _, name = o.place[0].partition("/")
    rows = []
    for path in [located(o.place[0])] if name else sorted((HOME / group).iterdir()):
        pool = path.read_bytes()[:4] == b"pool" if path.stat().st_size == 4 else False
        size = POOL_BYTES if pool else path.stat().st_size
        percent = 100 * path.stat().st_blocks * 512 / size
        row = {"lv_name": path.name, "lv_size": str(size), "data_percent": f"{percent:.2f}"}
        rows.append({**row, "pool_lv": "" if pool else "pileus-pool"})
    print(json.dumps({"report": [{"lv": rows}]}))


parser = argparse.ArgumentParser()
parser.add_argument("command")
parser.add_argument("place", nargs="*")
for flag in ("-y", "-q", "-s", "-f", "--nosuffix"):
    parser.add_argument(flag, action="store_true")
for option in ("--type", "-l", "-Z", "-n", "-V", "--thinpool", "-k", "-L", "--reportformat", "--units", "-o"):
    parser.add_argument(option)
chosen = parser.parse_intermixed_args()
with (HOME / ".lock").open("a") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    {"lvcreate": lvcreate, "lvextend": lvextend, "lvrename": lvrename, "lvremove": lvremove, "lvs": lvs}[chosen.command](chosen)
