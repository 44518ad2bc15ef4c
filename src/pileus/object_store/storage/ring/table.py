"""A finished ring: for every replica and partition, a device.

The file NAME.ring.gz is gzip of: `PILEUS RING 1\n`; the length of the header (4 bytes, big-endian); the header, JSON
{part_power, version, salt, devices, lengths}; then for each replica its devices' ids, 2 bytes each (big-endian), `lengths`
telling how many partitions that replica covers (a fractional replica count gives a last, shorter row).
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from pileus.object_store.places import Node
from pileus.object_store.storage.layout import Salt, partition_of

MAGIC = b"PILEUS RING 1\n"
NO_DEVICE = 0xFFFF


class Header(msgspec.Struct, frozen=True):
    """The head of a ring file."""

    part_power: int
    version: int
    salt: Salt
    devices: list[Node | None]
    lengths: list[int]


@dataclass(frozen=True)
class Table:
    """A ring that can be asked; devices by id, None where one was removed."""

    part_power: int
    salt: Salt
    devices: Sequence[Node | None]
    rows: Sequence[array[int]]
    version: int = 0

    @property
    def replicas(self) -> float:
        """How many copies."""
        return sum(len(row) for row in self.rows) / self.partition_count

    @property
    def partition_count(self) -> int:
        """How many partitions."""
        return 1 << self.part_power

    def partition(self, account: str, container: str | None = None, object_name: str | None = None) -> int:
        """Return the partition of a name."""
        return partition_of(self.salt.hash(account, container, object_name), self.part_power)

    def nodes(self, partition: int) -> Sequence[Node]:
        """Return the primary nodes of a partition, each once."""
        ids = dict.fromkeys(row[partition] for row in self.rows if partition < len(row))
        return [node for node in (self.devices[number] for number in ids if number != NO_DEVICE) if node]

    def handoffs(self, partition: int) -> Iterator[Node]:
        """Return all other nodes: other regions first, then other zones, other servers; among equals by a fixed chance."""
        used = list(self.nodes(partition))
        taken = {node.id for node in used}
        left = [node for node in self.devices if node and node.id not in taken and node.weight > 0]
        left.sort(key=lambda node: hashlib.md5(f"{partition}/{node.id}".encode(), usedforsecurity=False).digest())
        regions = {node.region for node in used}
        zones = {(node.region, node.zone) for node in used}
        hosts = {(node.region, node.zone, node.ip) for node in used}
        while left:
            best = min(
                left,
                key=lambda node: (
                    node.region in regions,
                    (node.region, node.zone) in zones,
                    (node.region, node.zone, node.ip) in hosts,
                ),
            )
            left.remove(best)
            regions.add(best.region)
            zones.add((best.region, best.zone))
            hosts.add((best.region, best.zone, best.ip))
            yield best

    def save(self, path: str) -> None:
        """Write the ring file in one step."""
        header = Header(self.part_power, self.version, self.salt, list(self.devices), [len(row) for row in self.rows])
        head = msgspec.json.encode(header)
        fresh = f"{path}.tmp"
        with open(fresh, "wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
                file.write(MAGIC + struct.pack(">I", len(head)) + head)
                for row in self.rows:
                    file.write(pack_row(row))
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(fresh, path)


def pack_row(row: array[int]) -> bytes:
    """Return a row's bytes, big-endian."""
    if sys.byteorder == "big":
        return row.tobytes()
    turned = array("H", row)
    turned.byteswap()
    return turned.tobytes()


def unpack_row(data: bytes) -> array[int]:
    """Return a row of big-endian bytes."""
    row = array("H")
    row.frombytes(data)
    if sys.byteorder == "little":
        row.byteswap()
    return row


def load_table(path: str) -> Table:
    """Read a ring file.

    :raises ValueError: when it is none.
    """
    with gzip.open(path, "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"{path} is not a ring file")
        (size,) = struct.unpack(">I", file.read(4))
        header = msgspec.json.decode(file.read(size), type=Header)
        rows = [unpack_row(file.read(length * 2)) for length in header.lengths]
    return Table(header.part_power, header.salt, header.devices, rows, header.version)
