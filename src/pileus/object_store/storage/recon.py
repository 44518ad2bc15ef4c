"""What a storage node tells of itself: /recon for all figures at once, /recon/... by subject, as swift-recon asks for them."""

import glob
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pileus.object_store.storage.layout import Device, names_in

VERSION = "2.38.0"  # the release of Swift whose recon this is
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Recon:
    """The devices of a process.

    :param expected: all devices that the rings give to it, also those that are not mounted.
    """

    devices: Mapping[str, Device]
    rings_dir: str = ""
    expected: tuple[str, ...] = ()

    def answer(self, path: str) -> bytes | None:
        """Return the answer to a path ("recon", "recon/async", ...) as JSON; None: there is no such."""
        subject = path.removeprefix("recon").strip("/")
        ask = _SUBJECTS.get(subject)
        return msgspec.json.encode(ask(self)) if ask else None

    def everything(self) -> dict[str, dict[str, Any]]:
        """Return the figures that daemons left of their last passes, by device and daemon, and the room that is left."""
        found: dict[str, dict[str, Any]] = {}
        for name, device in self.devices.items():
            space = os.statvfs(device.root)
            found[name] = {"size_bytes": space.f_blocks * space.f_frsize, "free_bytes": space.f_bavail * space.f_frsize}
            found[name] |= _passes(device)
        return found

    def passes(self, daemon: str) -> list[Figures]:
        """Return the last passes of a daemon, one a device."""
        return [found[daemon] for found in (_passes(device) for device in self.devices.values()) if daemon in found]


def _passes(device: Device) -> dict[str, Any]:
    found = {}
    for path in glob.glob(f"{device.root}/recon/*.json"):
        try:
            with open(path, "rb") as file:
                found[os.path.basename(path)[:-5]] = msgspec.json.decode(file.read())
        except (FileNotFoundError, msgspec.DecodeError):
            continue  # the device was emptied, or taken away, meanwhile
    return found


def _last(passes: list[Figures]) -> float | None:
    """Return when the oldest of the last passes ended; None when there was none."""
    return min((one["started_at"] + one["seconds"] for one in passes), default=None)


def _minutes(passes: list[Figures]) -> float | None:
    return max((one["seconds"] / 60 for one in passes), default=None)


def _seconds(passes: list[Figures]) -> float | None:
    return max((one["seconds"] for one in passes), default=None)


def _sum(passes: list[Figures]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in passes:
        for word, count in one["counts"].items():
            total[word] = total.get(word, 0) + count
    return total


def _replication(daemon: str, prefix: str = "") -> Callable[[Recon], Any]:
    def ask(recon: Recon) -> Any:
        passes = recon.passes(daemon)
        found = {"replication_time": _minutes(passes), "replication_stats": _sum(passes), "replication_last": _last(passes)}
        if prefix:
            found |= {f"{prefix}_replication_time": _minutes(passes), f"{prefix}_replication_last": _last(passes)}
        return found

    return ask


def _reconstruction(recon: Recon) -> Any:
    passes = recon.passes("object-reconstructor")
    return {
        "object_reconstruction_time": _minutes(passes),
        "object_reconstruction_last": _last(passes),
        "object_reconstruction_stats": _sum(passes),
    }


def _sharding(recon: Recon) -> Any:
    passes = recon.passes("container-sharder")
    return {"sharding_time": _seconds(passes), "sharding_stats": _sum(passes), "sharding_last": _last(passes)}


def _updater(daemon: str) -> Callable[[Recon], Any]:
    key = daemon.replace("-", "_") + "_sweep"
    return lambda recon: {key: _seconds(recon.passes(daemon))}


def _expirer(recon: Recon) -> Any:
    passes = recon.passes("object-expirer")
    return {"object_expiration_pass": _seconds(passes), "expired_last_pass": _sum(passes).get("expired", 0)}


def _audited(daemon: str) -> Callable[[Recon], Any]:
    def ask(recon: Recon) -> Any:
        return {f"{daemon}_auditor_pass_completed": _seconds(recon.passes("index-auditor")), **_index_audit(recon, daemon)}

    return ask


def _index_audit(recon: Recon, kind: str) -> dict[str, Any]:
    passes = recon.passes("index-auditor")
    total = _sum(passes)
    return {f"{kind}_audits_passed": total.get("sound", 0), f"{kind}_audits_failed": total.get("quarantined", 0)}


def _object_audit(recon: Recon) -> Any:
    found = {}
    for key, daemon in (("ALL", "object-auditor"), ("ZBF", "object-auditor-zbf")):
        passes = recon.passes(daemon)
        total = _sum(passes)
        found[f"object_auditor_stats_{key}"] = {
            "passes": total.get("seen", 0),
            "bytes_processed": total.get("bytes", 0),
            "quarantined": total.get("quarantined", 0),
            "audit_time": _seconds(passes),
            "start_time": min((one["started_at"] for one in passes), default=None),
        }
    return found


def _async(recon: Recon) -> Any:
    tops = [f"{device.root}/async_pending" for device in recon.devices.values()]
    count = sum(len(names_in(f"{top}/{suffix}")) for top in tops for suffix in names_in(top))
    return {"async_pending": count, "async_pending_last": time.time()}


def _quarantined(recon: Recon) -> Any:
    found: dict[str, Any] = {"accounts": 0, "containers": 0, "objects": 0, "policies": {}}
    for device in recon.devices.values():
        shelf = f"{device.root}/quarantined"
        for kind in names_in(shelf):
            count, (name, _, policy) = len(names_in(f"{shelf}/{kind}")), kind.partition("-")
            found[name] = found.get(name, 0) + count
            if name == "objects":
                kept = found["policies"].setdefault(policy or "0", {"objects": 0})
                kept["objects"] += count
    return found


def _disk_usage(recon: Recon) -> Any:
    rows = []
    for name in sorted({*recon.expected, *recon.devices}):
        device = recon.devices.get(name)
        if device is None or not os.path.isdir(device.root):
            rows.append({"device": name, "mounted": False, "size": "", "used": "", "avail": ""})
            continue
        space = os.statvfs(device.root)
        size, free = space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize
        rows.append({"device": name, "mounted": True, "size": size, "used": size - free, "avail": free})
    return rows


def _unmounted(recon: Recon) -> Any:
    return [{"device": row["device"], "mounted": False} for row in _disk_usage(recon) if not row["mounted"]]


def _ring_digests(recon: Recon) -> Any:
    found = {}
    for path in sorted(glob.glob(f"{recon.rings_dir}/*.ring.gz")) if recon.rings_dir else []:
        with open(path, "rb") as file:
            found[path] = hashlib.md5(file.read(), usedforsecurity=False).hexdigest()
    return found


def _load(recon: Recon) -> Any:
    with open("/proc/loadavg", encoding="ascii") as file:
        one, five, fifteen, tasks, last = file.read().split()
    return {"1m": float(one), "5m": float(five), "15m": float(fifteen), "tasks": tasks, "processes": int(last)}


def _memory(recon: Recon) -> Any:
    with open("/proc/meminfo", encoding="ascii") as file:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}


_SUBJECTS: dict[str, Callable[[Recon], Any]] = {
    "": Recon.everything,
    "version": lambda recon: {"version": VERSION},
    "time": lambda recon: time.time(),
    "load": _load,
    "mem": _memory,
    "async": _async,
    "replication": _replication("object-replicator", "object"),
    "replication/object": _replication("object-replicator", "object"),
    "replication/container": _replication("index-replicator"),
    "replication/account": _replication("index-replicator"),
    "reconstruction/object": _reconstruction,
    "sharding": _sharding,
    "updater/object": _updater("object-updater"),
    "updater/container": _updater("container-updater"),
    "expirer/object": _expirer,
    "auditor/object": _object_audit,
    "auditor/container": _audited("container"),
    "auditor/account": _audited("account"),
    "quarantined": _quarantined,
    "diskusage": _disk_usage,
    "unmounted": _unmounted,
    "ringmd5": _ring_digests,
    "devices": lambda recon: {"devices": sorted({*recon.expected, *recon.devices})},
}
