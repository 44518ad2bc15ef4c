"""Where backups are kept: a store of objects by container and name.  This is all that backups ask of one.

An object appears whole or not at all, is never changed but by being put again, and is small (some 16 MiB).  Every call may be
repeated.  Nothing here knows what a backup is; what a target returns is believed by nobody: whoever reads it checks it.
"""

import re
from collections.abc import Iterator
from typing import Protocol

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*")
"""What names of objects are made of: no empty part, none that starts with a dot."""


class TargetError(Exception):
    """The target could not do it.  The message says what it told."""


class ObjectMissing(TargetError):
    """There is no such object."""


class TargetFull(TargetError):
    """There is no room left."""


class BackupTarget(Protocol):
    """One target.  Safe to call from many threads."""

    @property
    def service(self) -> str:
        """The name of its kind, in the form of cinder's drivers."""

    def put(self, container: str, name: str, data: bytes) -> None:
        """Store an object, in place of one that is there; it is on the disk when this returns.

        :raises TargetFull: when there is no room; what was there stays.
        :raises TargetError: when the target cannot.
        """

    def get(self, container: str, name: str) -> bytes:
        """Return an object.  :raises ObjectMissing: when there is none.  :raises TargetError: when the target cannot."""

    def delete(self, container: str, name: str) -> None:
        """Delete an object; nothing happens when there is none.  :raises TargetError: when the target cannot."""

    def list(self, container: str, prefix: str) -> Iterator[str]:
        """Yield the names of the objects under a folder, in order.  :raises TargetError: when the target cannot."""


def check_name(name: str) -> str:
    """Return the name of an object.  :raises TargetError: when it is none."""
    if not NAME.fullmatch(name):
        raise TargetError(f"{name!r} cannot be the name of an object.")
    return name
