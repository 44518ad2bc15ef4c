"""The specs that things on the host were made from, one file each, so that another process can tell what it finds.

A record is begun before anything is changed and sealed when all is done; one that is not sealed is of something made in part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from pileus.network.driver import GroupSpec, Kind, NetworkSpec, PortSpec, RouterSpec, Spec, fingerprint

_TYPES: dict[Kind, type[Spec]] = {"network": NetworkSpec, "port": PortSpec, "router": RouterSpec, "group": GroupSpec}
_KINDS: dict[type, Kind] = {type: kind for kind, type in _TYPES.items()}

AnySpec = TypeVar("AnySpec", bound=Spec)


@dataclass
class _Record:
    spec: Spec
    whole: bool


class Records:
    """The records of one host."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._records: dict[Kind, dict[str, _Record]] = {kind: {} for kind in _TYPES}
        for kind, type in _TYPES.items():
            for file in (directory / kind).glob("*.json"):
                self._load(kind, type, file)

    def get(self, type: type[AnySpec], id: str) -> AnySpec | None:
        """The spec that a thing was last made from, in whole or in part."""
        record = self._records[_KINDS[type]].get(id)
        return record.spec if record and isinstance(record.spec, type) else None

    def is_whole(self, spec: Spec) -> bool:
        """Whether exactly this has been made, and nothing is known to be damaged."""
        record = self._records[_KINDS[type(spec)]].get(spec.id)
        return record is not None and record.whole and (record.spec is spec or record.spec == spec)

    def all(self, kind: Kind) -> Iterator[tuple[Spec, bool]]:
        """Every spec of a kind, and whether it is whole."""
        return iter([(record.spec, record.whole) for record in list(self._records[kind].values())])

    def begin(self, spec: Spec) -> None:
        """Something is about to be made so."""
        kind = _KINDS[type(spec)]
        self._records[kind][spec.id] = _Record(spec, whole=False)
        self._write(kind, spec, "")

    def seal(self, spec: Spec) -> None:
        """All of it is done."""
        kind = _KINDS[type(spec)]
        self._records[kind][spec.id] = _Record(spec, whole=True)
        self._write(kind, spec, fingerprint(spec))

    def doubt(self, kind: Kind, id: str) -> None:
        """It has been found damaged."""
        if record := self._records[kind].get(id):
            record.whole = False

    def forget(self, kind: Kind, id: str) -> None:
        """It is gone."""
        self._records[kind].pop(id, None)
        self._file(kind, id).unlink(missing_ok=True)

    def clear(self) -> None:
        """Nothing is there any more."""
        for kind, records in self._records.items():
            for id in list(records):
                self.forget(kind, id)

    def _file(self, kind: Kind, id: str) -> Path:
        return self._directory / kind / f"{id}.json"

    def _write(self, kind: Kind, spec: Spec, seal: str) -> None:
        self._file(kind, spec.id).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file(kind, spec.id).write_bytes(seal.encode() + b"\n" + msgspec.json.encode(spec))

    def _load(self, kind: Kind, type: type[Spec], file: Path) -> None:
        try:
            seal, _, body = file.read_bytes().partition(b"\n")
            spec = msgspec.json.decode(body, type=type)
        except msgspec.DecodeError:  # cut off by a crash, or of another version
            file.unlink()
            return
        self._records[kind][spec.id] = _Record(spec, whole=seal.decode() == fingerprint(spec))
