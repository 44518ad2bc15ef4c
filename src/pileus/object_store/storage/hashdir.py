"""What the files in one object's hash directory say together.

Four kinds of file, each TIMESTAMP.KIND.  The newest `data` or `ts` (tombstone) decides whether there is an object.  A `meta`
(the headers of a POST) or a `ctype` (a content type set by a POST) newer than the data adds to it.  Each kind is a register in
which the last write wins, so replicas that exchange files agree whatever the order.

Fragment archives of erasure-coded objects are TIMESTAMP#INDEX.data, and TIMESTAMP#INDEX#d.data once durable.  One that is
durable makes the others of its time count too; those not yet durable lie beside older files and hide nothing.
"""

import os
from dataclasses import dataclass
from functools import lru_cache

from pileus.object_store.storage.durable import SIDECAR
from pileus.object_store.timestamps import Timestamp

KINDS = ("data", "ts", "meta", "ctype")
MARK, DURABLE = "#", "#d.data"


@dataclass(frozen=True, slots=True)
class State:
    """File names by role; obsolete is all that newer files have made superfluous.

    fragments are all archives of the time of data, which is one of them; pending those of later times, not durable yet.
    """

    data: str | None = None
    tombstone: str | None = None
    meta: str | None = None
    content_type: str | None = None
    obsolete: tuple[str, ...] = ()
    fragments: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()

    @property
    def newest(self) -> Timestamp | None:
        """When the data, or the tombstone, was written."""
        name = self.data or self.tombstone
        return stamp_of(name) if name else None

    @property
    def files(self) -> tuple[str, ...]:
        """The files that count."""
        bodies = self.fragments or ((self.data,) if self.data else ())
        return (*bodies, *self.pending, *(name for name in (self.tombstone, self.meta, self.content_type) if name))


@lru_cache(4096)
def stamp_of(name: str) -> Timestamp:
    """Return the time in a file name."""
    return Timestamp.parse(order_of(name))


def fragment_name(at: Timestamp, index: int, durable: bool = False) -> str:
    """Return the file name of a fragment archive."""
    return f"{at.internal}{MARK}{index}{DURABLE if durable else '.data'}"


def index_of(name: str) -> int | None:
    """Return the index in the file name of a fragment archive; None: it is none."""
    text = name.rsplit(".", 1)[0].split(MARK)[1:2]
    return int(text[0]) if text and text[0].isdecimal() else None


def is_sound(name: str) -> bool:
    """Tell whether a file name is in the form that is written here."""
    stem, _, kind = name.rpartition(".")
    try:
        at = stamp_of(name)
    except ValueError:
        return False
    index = index_of(name)
    if index is None:
        return kind in KINDS and stem == at.internal
    return name in (fragment_name(at, index), fragment_name(at, index, durable=True))


def order_of(name: str) -> str:
    """Return what sorts file names by time: the normal form is a prefix of those with an offset."""
    return name.rsplit(".", 1)[0].partition(MARK)[0]


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
    if len(names) == 1 and names[0].endswith(".data") and MARK not in names[0]:
        return State(data=names[0])
    best: dict[str, str] = {}
    obsolete: list[str] = []
    sidecars: list[str] = []
    archives: list[str] = []
    for name in sorted(names, key=order_of):
        kind = name.rsplit(".", 1)[-1]
        if name.endswith(SIDECAR):
            sidecars.append(name)
        elif kind == "data" and MARK in name:
            archives.append(name)
        elif kind in KINDS:
            if kind in best:
                obsolete.append(best[kind])
            best[kind] = name
    fragments = _settled(archives)
    data, tombstone = (fragments[0] if fragments else best.get("data")), best.get("ts")
    if data and tombstone:
        if order_of(data) > order_of(tombstone):
            obsolete.append(tombstone)
            tombstone = None
        else:
            obsolete += fragments or (data,)
            data, fragments = None, ()
    winner = order_of(data or tombstone or "")
    meta, content_type = best.get("meta"), best.get("ctype")
    if meta and order_of(meta) <= winner:
        obsolete.append(meta)
        meta = None
    if content_type and order_of(content_type) <= winner:
        obsolete.append(content_type)
        content_type = None
    obsolete += [name for name in sidecars if name[: -len(SIDECAR)] not in names and order_of(name[: -len(SIDECAR)]) < winner]
    pending = tuple(name for name in archives if name not in fragments and order_of(name) > winner)
    obsolete += [name for name in archives if name not in fragments and order_of(name) <= winner and name not in obsolete]
    return State(data, tombstone, meta, content_type, tuple(obsolete), fragments, pending)


def _settled(archives: list[str]) -> tuple[str, ...]:
    """Return the archives of the newest time at which one is durable, the durable ones first; each index once."""
    at = max((order_of(name) for name in archives if name.endswith(DURABLE)), default=None)
    found: dict[int | None, str] = {}
    for name in sorted(archives, key=lambda name: not name.endswith(DURABLE)):
        if order_of(name) == at:
            found.setdefault(index_of(name), name)
    return tuple(found.values())
