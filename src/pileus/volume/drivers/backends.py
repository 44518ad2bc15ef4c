"""Back ends by name, as the setting volume_backends lists them: NAME, or NAME=KIND, or NAME=KIND:WHERE, with commas.

file                         volumes in state_dir/volumes/file
file,fast=file:/srv/fast     a second one elsewhere
tape=nfs:/mnt/share          a directory that several hosts mount
far=lvm:vg0                  logical volumes of a volume group
ceph=rbd:me@volumes:/etc/ceph/ceph.conf    images in a pool of Ceph: [USER@]POOL[:CONFIGURATION]
"""

from dataclasses import dataclass
from pathlib import Path

from pileus.certificates import Identity
from pileus.volume.driver import VolumeBackend

KINDS = ("file", "iscsi", "lvm", "nfs", "rbd", "fake")


@dataclass(frozen=True)
class Named:
    """A back end that the settings name.  `where` is a directory, a volume group or a pool; empty: the kind's default."""

    name: str
    kind: str
    where: str = ""


def read(text: str) -> tuple[Named, ...]:
    """Read the setting.  :raises ValueError: when a kind is unknown or a name is there twice."""
    found = []
    for part in (part.strip() for part in text.split(",") if part.strip()):
        name, _, rest = part.partition("=")
        kind, _, where = (rest or name).partition(":")
        if kind not in KINDS:
            raise ValueError(f"{part}: there is no kind of back end {kind}; there are {', '.join(KINDS)}")
        found.append(Named(name, kind, where))
    if len({named.name for named in found}) < len(found):
        raise ValueError(f"{text}: a name is there twice")
    return tuple(found)


def directory(named: Named, state_dir: Path) -> Path:
    """Return where a back end keeps its files: volumes, or what it knows of them."""
    holds_files = named.kind in ("file", "nfs", "iscsi") and named.where
    return Path(named.where) if holds_files else state_dir / "volumes" / named.name


def build(
    named: Named, state_dir: Path, cloud_name: str, host: str = "", netns: str = "", identity: Identity | None = None
) -> VolumeBackend:
    """Build a back end of a host.

    `cloud_name` goes into names that all clouds of one machine share; `netns` is the network namespace of the guests' processes;
    `identity` what this host is known by to others, in a cloud of many.
    """
    where, run = directory(named, state_dir), state_dir / "volumes" / "run" / named.name
    if named.kind in ("file", "nfs"):
        from pileus.volume.drivers.file import FileBackend  # noqa: PLC0415

        return FileBackend(where, run, host, identity, shared=named.kind == "nfs")
    if named.kind == "iscsi":
        from pileus.volume.drivers.iscsi import IscsiBackend  # noqa: PLC0415

        return IscsiBackend(where, run, host, identity, netns=netns)
    if named.kind == "lvm":
        from pileus.volume.drivers.lvm import LvmBackend, store_in  # noqa: PLC0415

        return LvmBackend(store_in(named.where), where, run, host, identity, netns=netns)
    if named.kind == "rbd":
        from pileus.volume.drivers.rbd import RbdBackend, store_at  # noqa: PLC0415

        return RbdBackend(store_at(named.where), where, run, host, identity)
    from pileus.volume.drivers.fake import FakeBackend  # noqa: PLC0415  (each kind loads only what it needs)

    return FakeBackend()
