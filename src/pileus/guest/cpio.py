"""A writer of cpio archives in the `newc` form, which the kernel unpacks as its initial file system.

The form is the kernel's Documentation/driver-api/early-userspace/buffer-format.rst: 13 fields of 8 hexadecimal digits after the
magic, then the name and the data, each padded to 4 bytes.
"""

import stat
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A file, folder or symbolic link (its content is the target), owned by root."""

    name: str
    mode: int
    content: bytes = b""


def folder(name: str) -> Entry:
    """Return a folder entry."""
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, content: bytes, mode: int = 0o644) -> Entry:
    """Return a file entry."""
    return Entry(name, stat.S_IFREG | mode, content)


def link(name: str, target: str) -> Entry:
    """Return a symbolic link entry."""
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def archive(entries: list[Entry]) -> bytes:
    """Return the archive of the entries, in their order."""
    records = [record(number, entry) for number, entry in enumerate(entries, start=1)]
    return b"".join(records) + record(0, Entry("TRAILER!!!", 0))


def record(inode: int, entry: Entry) -> bytes:
    """Return one entry with its header."""
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (inode, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % value for value in fields)
    return padded(header + name) + padded(entry.content)


def padded(data: bytes) -> bytes:
    """Fill up to a multiple of 4 bytes."""
    return data + bytes(-len(data) % 4)
