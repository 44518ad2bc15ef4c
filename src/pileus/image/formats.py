"""What a disk image truly is, told from its bytes as they stream by, and whether it is safe to give to a hypervisor.

Knows no image records.  The recognition itself is oslo.utils' format inspector, which reads headers only and never runs a
parser of qemu; it is imported at the first use because that takes 60 ms.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

HEAD_BYTES = 1 << 20
"""Every format shows itself within its first MiB; afterwards only those that matched and want more are fed."""

DiskFormat = Literal["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop", "luks"]
ContainerFormat = Literal["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"]
DISK_FORMATS: tuple[str, ...] = get_args(DiskFormat)
CONTAINER_FORMATS: tuple[str, ...] = get_args(ContainerFormat)
PLAIN_CONTAINERS = ("bare", "ami", "ari", "aki")
"""Containers that are none: the file is the disk itself, so its bytes are looked at."""

WITHIN_RAW = {"raw", "gpt", "iso", "luks"}
"""What a raw disk may hold: nothing known, a partition table, a bootable CD, an encrypted volume."""

NONFATAL_GPT = {"mbr"}


class WrongFormat(Exception):
    """The content is not what its record says, or refers to other files; the message says which."""


@dataclass(frozen=True)
class Verdict:
    """What the content is and how large the disk in it looks to a guest; None: not known."""

    format: str
    virtual_bytes: int | None


class Inspection:
    """Looks at one stream.

    :param disk_format: what the image's record says.
    :param container_format: content inside a true container is not looked at.
    """

    def __init__(self, disk_format: str, container_format: str) -> None:
        self._disk_format = disk_format
        self._seen = 0
        self._wanting: list[Any] = []
        self._all: list[Any] = []
        if container_format in PLAIN_CONTAINERS:
            from oslo_utils.imageutils import format_inspector  # noqa: PLC0415  (slow, and not needed before)

            self._all = [kind() for name, kind in format_inspector.ALL_FORMATS.items() if name != "raw"]
            self._wanting = list(self._all)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if not chunk or (self._seen >= HEAD_BYTES and not self._wanting):
            self._seen += len(chunk)
            return
        self._seen += len(chunk)
        failed = []
        for inspector in self._wanting:
            try:
                inspector.eat_chunk(chunk)
            except Exception:
                failed.append(inspector)
        self._all = [inspector for inspector in self._all if inspector not in failed]
        self._wanting = [inspector for inspector in self._wanting if inspector not in failed]
        if self._seen >= HEAD_BYTES:
            self._wanting = [i for i in self._wanting if not i.complete and _matches(i)]

    def finish(self) -> Verdict:
        """Tell what the content is, once all of it was fed.

        :raises WrongFormat: when it may not be taken.
        """
        for inspector in self._all:
            inspector.finish()
        found = {str(inspector): inspector for inspector in self._all if _matches(inspector)}
        if set(found) == {"iso", "gpt"}:
            found.pop("gpt")  # a CD that boots as a disk, too
        if len(found) > 1:
            raise WrongFormat(f"Multiple formats detected: {', '.join(sorted(found))}")
        name, inspector = next(iter(found.items()), ("raw", None))
        self._require_match(name, inspector is not None)
        if inspector is None:
            return Verdict("raw", self._seen if self._disk_format == "raw" else None)
        _require_safe(name, inspector)
        return Verdict(name, self._seen if self._disk_format == "raw" else int(inspector.virtual_size))

    def _require_match(self, name: str, known: bool) -> None:
        said = self._disk_format
        if not self._all or name == said:
            return
        if said == "raw" and name in WITHIN_RAW:
            return
        if not known and said in ("ami", "ari", "aki", "ploop"):
            return  # nothing is known by which these could be told
        raise WrongFormat(f"Image disk_format {said} does not match stream data {name}")


def _matches(inspector: Any) -> bool:
    try:
        return bool(inspector.format_match)
    except Exception:
        return False


def _require_safe(name: str, inspector: Any) -> None:
    from oslo_utils.imageutils import format_inspector  # noqa: PLC0415

    try:
        inspector.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        if name == "gpt" and set(error.failures) <= NONFATAL_GPT:
            return
        reasons = "; ".join(str(failure) for failure in error.failures.values())
        raise WrongFormat(f"Image failed safety checks: {reasons}") from error
