"""Names that the object store makes up for its own things: they begin with a NUL byte, which no caller can send.  Pure."""

from pileus.object_store.timestamps import TICKS_PER_SECOND, Timestamp

RESERVED = "\x00"
FOREVER = 10**10 * TICKS_PER_SECOND - 1


def reserved(*parts: str) -> str:
    """Return a reserved name."""
    return "".join(RESERVED + part for part in parts)


def split(name: str) -> list[str]:
    """Return the parts of a reserved name.  :raises ValueError: when it is none."""
    if not name.startswith(RESERVED):
        raise ValueError("not a reserved name")
    return name[1:].split(RESERVED)


def versions_container(container: str) -> str:
    """Return the name of the container that holds the versions of a container's objects."""
    return reserved("versions", container)


def version_object(name: str, version_id: str) -> str:
    """Return the name of a version of an object; newer versions sort first.  :raises ValueError: when the id is none."""
    ticks = FOREVER - Timestamp.parse(version_id).ticks
    return reserved(name, Timestamp(ticks).normal)


def parse_version(stored: str) -> tuple[str, str]:
    """Return the name of an object and the id of a version out of the version's name.  :raises ValueError: when it is none."""
    name, inverted = split(stored)
    return name, Timestamp(FOREVER - Timestamp.parse(inverted).ticks).normal
