"""Back ends by name, as the setting volume_backends lists them: NAME, or NAME=KIND, or NAME=KIND:WHERE, with commas.

file                         volumes in state_dir/volumes/file
file,fast=file:/srv/fast     a second one elsewhere
tape=nfs:/mnt/share          a directory that several hosts mount
"""

from dataclasses import dataclass
from pathlib import Path

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
    """Return where a back end that keeps files keeps them."""
    return Path(named.where) if named.where else state_dir / "volumes" / named.name


def build(named: Named, state_dir: Path, cloud_name: str, host: str = "", netns: str = "") -> VolumeBackend:
    """Build a back end of a host.

    `cloud_name` goes into names that all clouds of one machine share; `netns` is the network namespace of the guests' processes.
    """
    if named.kind in ("file", "nfs"):
        from pileus.volume.drivers.file import FileBackend  # noqa: PLC0415

        run_directory = state_dir / "volumes" / "run" / named.name
        return FileBackend(directory(named, state_dir), run_directory, host, shared=named.kind == "nfs")
    if named.kind == "iscsi":
        from pileus.volume.drivers.iscsi import IscsiBackend  # noqa: PLC0415

        return IscsiBackend(directory(named, state_dir), state_dir / "volumes" / "run" / named.name, host, netns=netns)
    if named.kind == "fake":
        from pileus.volume.drivers.fake import FakeBackend  # noqa: PLC0415  (each kind loads only what it needs)

        return FakeBackend()
    raise ValueError(f"there is no back end of kind {named.kind} yet")
