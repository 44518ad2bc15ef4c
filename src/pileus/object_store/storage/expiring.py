"""What expires when: one file of lines for each hour, DEVICE/expiring/HOUR, appended to as objects are written.

A line is only a hint; the object itself says whether it has expired.  So lines may be stale or doubled, and replicas keep
each their own.
"""

import os
from collections.abc import Iterator

import msgspec

from pileus.object_store.backend import ObjectName
from pileus.object_store.storage.layout import Device, append

SECONDS_PER_BUCKET = 3600


class Due(msgspec.Struct, frozen=True, array_like=True):
    """One line."""

    delete_at: int
    policy: int
    directory: str
    name: ObjectName


def note(device: Device, delete_at: int, policy: int, directory: str, name: ObjectName) -> None:
    """Note that an object is to expire."""
    line = msgspec.json.encode(Due(delete_at, policy, os.path.relpath(directory, device.root), name)) + b"\n"
    append(f"{device.root}/expiring/{delete_at // SECONDS_PER_BUCKET}", line)


def due(device: Device, now: float) -> Iterator[tuple[int, list[Due]]]:
    """Return the hours that have begun, the oldest first, each with what is due by now."""
    try:
        hours = sorted(int(name) for name in os.listdir(f"{device.root}/expiring") if name.isdecimal())
    except FileNotFoundError:
        return
    for hour in hours:
        if hour * SECONDS_PER_BUCKET > now:
            return
        found = []
        with open(f"{device.root}/expiring/{hour}", "rb") as log:
            for line in log:
                try:
                    one = msgspec.json.decode(line, type=Due)
                except msgspec.DecodeError:
                    continue  # a line cut short by a crash
                if one.delete_at <= now:
                    found.append(one)
        yield hour, found


def forget(device: Device, hour: int, now: float) -> None:
    """Remove an hour's file, once it lies wholly in the past and all of it is done."""
    if (hour + 1) * SECONDS_PER_BUCKET <= now:
        os.unlink(f"{device.root}/expiring/{hour}")
