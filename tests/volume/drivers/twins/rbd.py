"""The programs `rbd` and `ceph`: images are files in $TWIN/POOL, and what else is known of them is in $TWIN/known.json.

known: image -> {"id", "parent" (id of the image that it stands on), "snapshots" (name -> file)}; trash: id -> {"name", ...}
"""

import argparse
import fcntl
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

HOME = Path(os.environ["TWIN"])
LINKED = "image has snapshots with linked clones - these must be deleted or flattened before the image can be removed."


def fail(text: str, code: int) -> None:
    print(f"rbd: {text}", file=sys.stderr)
    sys.exit(code)


class Cluster:
    def __init__(self) -> None:
        path = HOME / "known.json"
        self.known, self.trash = json.loads(path.read_text()) if path.exists() else ({}, {})

    def save(self) -> None:
        (HOME / "known.json").write_text(json.dumps([self.known, self.trash]))

    def image(self, spec: str) -> tuple[str, dict]:
        pool, _, name = spec.partition("/")
        if not (HOME / pool).is_dir():
            fail(f"error opening pool '{pool}': (2) No such file or directory", 2)
        if name not in self.known:
            fail(f"error opening image {name}: (2) No such file or directory", 2)
        return name, self.known[name]

    def add(self, spec: str, parent: str = "") -> Path:
        pool, _, name = spec.partition("/")
        if name in self.known:
            fail(f"create error: (17) File exists: {name}", 17)
        self.known[name] = {"id": uuid.uuid4().hex, "parent": parent, "snapshots": {}}
        return HOME / pool / name

    def has_children(self, id: str) -> bool:
        return any(image["parent"] == id for image in (*self.known.values(), *self.trash.values()))


def at(spec: str) -> Path:
    return HOME / spec


def ls(c: Cluster, o: argparse.Namespace) -> None:
    if not at(o.words[0]).is_dir():
        fail(f"error opening pool '{o.words[0]}': (2) No such file or directory", 2)
    print(json.dumps(sorted(c.known)))


def du(c: Cluster, o: argparse.Namespace) -> None:
    sizes = [{"name": n, "used_size": (HOME / o.p / n).stat().st_blocks * 512} for n in c.known]
    print(json.dumps({"images": sizes}))


def info(c: Cluster, o: argparse.Namespace) -> None:
    name, _ = c.image(o.words[0])
    print(json.dumps({"name": name, "size": at(o.words[0]).stat().st_size}))


def create(c: Cluster, o: argparse.Namespace) -> None:
    size = int(o.size.removesuffix("B"))
    with c.add(o.words[0]).open("wb") as file:
        file.truncate(size)
        if o.thick_provision:
            os.posix_fallocate(file.fileno(), 0, size)


def snap(c: Cluster, o: argparse.Namespace) -> None:
    what, spec = o.words
    place, _, snapshot = spec.partition("@")
    _, image = c.image(place)
    kept = HOME / f"snapshot.{image['id']}.{snapshot}"
    if what == "create":
        if snapshot in image["snapshots"]:
            fail("failed to create snapshot: (17) File exists", 17)
        subprocess.run(["cp", "--sparse=always", at(place), kept], check=True)
        image["snapshots"][snapshot] = str(kept)
    elif what == "rm":
        if snapshot not in image["snapshots"]:
            fail("failed to remove snapshot: (2) No such file or directory", 2)
        Path(image["snapshots"].pop(snapshot)).unlink()
    else:
        for path in image["snapshots"].values():
            Path(path).unlink()
        image["snapshots"].clear()


def clone(c: Cluster, o: argparse.Namespace) -> None:
    assert o.rbd_default_clone_format == "2"
    place, _, snapshot = o.words[0].partition("@")
    _, image = c.image(place)
    if snapshot not in image["snapshots"]:
        fail("clone error: (2) No such file or directory", 2)
    subprocess.run(["cp", "--sparse=always", image["snapshots"][snapshot], c.add(o.words[1], image["id"])], check=True)


def resize(c: Cluster, o: argparse.Namespace) -> None:
    c.image(o.words[0])
    size = int(o.size.removesuffix("B"))
    if size < at(o.words[0]).stat().st_size:
        fail("shrinking an image is only allowed with the --allow-shrink flag", 22)
    os.truncate(at(o.words[0]), size)


def rename(c: Cluster, o: argparse.Namespace) -> None:
    name, _ = c.image(o.words[0])
    target = o.words[1].partition("/")[2]
    if target in c.known:
        fail("rename error: (17) File exists", 17)
    c.known[target] = c.known.pop(name)
    os.rename(at(o.words[0]), at(o.words[1]))


def rm(c: Cluster, o: argparse.Namespace) -> None:
    name, image = c.image(o.words[0])
    if image["snapshots"] or c.has_children(image["id"]):
        fail(LINKED, 39)
    del c.known[name]
    at(o.words[0]).unlink()


def trash(c: Cluster, o: argparse.Namespace) -> None:
    what, spec = o.words
    if what == "ls":
        print(json.dumps([{"id": id, "name": image["name"]} for id, image in c.trash.items()]))
    elif what == "mv":
        name, image = c.image(spec)
        del c.known[name]
        c.trash[image["id"]] = {**image, "name": name}
        os.rename(at(spec), HOME / f"trash.{image['id']}")
    else:
        id = spec.partition("/")[2]
        if c.has_children(id):
            fail(LINKED, 39)
        del c.trash[id]
        (HOME / f"trash.{id}").unlink()


def df(c: Cluster, o: argparse.Namespace) -> None:
    pools = [{"name": path.name, "stats": {"stored": 0, "max_avail": 1 << 40}} for path in HOME.iterdir() if path.is_dir()]
    print(json.dumps({"pools": pools}))


COMMANDS = {f.__name__: f for f in (ls, du, info, create, snap, clone, resize, rename, rm, trash, df)}
parser = argparse.ArgumentParser()
parser.add_argument("command")
parser.add_argument("words", nargs="*")
for flag in ("--no-progress", "--thick-provision"):
    parser.add_argument(flag, action="store_true")
for option in ("--conf", "--id", "--format", "--size", "-p", "--rbd-default-clone-format"):
    parser.add_argument(option)
chosen = parser.parse_intermixed_args()
with (HOME / ".lock").open("a") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    cluster = Cluster()
    COMMANDS[chosen.command](cluster, chosen)
    cluster.save()
