"""What the files in one object's hash directory say together.

Four kinds of file, each TIMESTAMP.KIND.  The newest `data` or `ts` (tombstone) decides whether there is an object.  A `meta`
(the headers of a POST) or a `ctype` (a content type set by a POST) newer than the data adds to it.  Each kind is a register in
which the last write wins, so replicas that exchange files agree whatever the order.
"""

import os
from dataclasses import dataclass
from functools import lru_cache

from pileus.object_store.storage.durable import SIDECAR
from pileus.object_store.timestamps import Timestamp

KINDS = ("data", "ts", "meta", "ctype")


@dataclass(frozen=True, slots=True)
class State:
    """File names by role; obsolete is all that newer files have made superfluous."""

    data: str | None = None
    tombstone: str | None = None
    meta: str | None = None
    content_type: str | None = None
    obsolete: tuple[str, ...] = ()

    @property
    def newest(self) -> Timestamp | None:
        """When the data, or the tombstone, was written."""
        name = self.data or self.tombstone
        return stamp_of(name) if name else None

    @property
    def files(self) -> tuple[str, ...]:
        """The files that count."""
        return tuple(name for name in (self.data, self.tombstone, self.meta, self.content_type) if name)


@lru_cache(4096)
def stamp_of(name: str) -> Timestamp:
    """Return the time in a file name."""
    return Timestamp.parse(name.rsplit(".", 1)[0])


def order_of(name: str) -> str:
    """Return what sorts file names by time: the normal form is a prefix of those with an offset."""
    return name.rsplit(".", 1)[0]


EMPTY = State()


def read_state(directory: str) -> State:
    """Return what lies in a hash directory; EMPTY when it is not there."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return EMPTY
    return judge(names)


def judge(names: list[str]) -> State:
    """Return what file names say together."""
    if len(names) == 1 and names[0].endswith(".data"):
        return State(data=names[0])
    best: dict[str, str] = {}
    obsolete: list[str] = []
    sidecars: list[str] = []
    for name in sorted(names, key=order_of):
        kind = name.rsplit(".", 1)[-1]
        if name.endswith(SIDECAR):
            sidecars.append(name)
        elif kind in KINDS:
            if kind in best:
                obsolete.append(best[kind])
            best[kind] = name
    data, tombstone = best.get("data"), best.get("ts")
    if data and tombstone:
        if order_of(data) > order_of(tombstone):
            obsolete.append(tombstone)
            tombstone = None
        else:
            obsolete.append(data)
            data = None
    winner = order_of(data or tombstone or "")
    meta, content_type = best.get("meta"), best.get("ctype")
    if meta and order_of(meta) <= winner:
        obsolete.append(meta)
        meta = None
    if content_type and order_of(content_type) <= winner:
        obsolete.append(content_type)
        content_type = None
    obsolete += [name for name in sidecars if name[: -len(SIDECAR)] not in names and order_of(name[: -len(SIDECAR)]) < winner]
    return State(data, tombstone, meta, content_type, tuple(obsolete))
