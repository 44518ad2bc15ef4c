"""Quotas, limits and usage, as they are asked for and shown."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType, structs

from pileus.compute.schemas.fields import Bool, Limit, read_bool, read_int, show_time
from pileus.compute.store.usage import Span

Version = tuple[int, int]
Details = Mapping[str, Mapping[str, int]]

NETWORK = frozenset({"fixed_ips", "floating_ips", "security_groups", "security_group_rules"})
FILES = frozenset({"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"})
GROUPS = frozenset({"server_groups", "server_group_members"})

Number = Limit | UnsetType


class _Limits257(Struct, forbid_unknown_fields=True):
    instances: Number = UNSET
    cores: Number = UNSET
    ram: Number = UNSET
    metadata_items: Number = UNSET
    key_pairs: Number = UNSET
    server_groups: Number = UNSET
    server_group_members: Number = UNSET


class _Limits236(_Limits257, forbid_unknown_fields=True):
    injected_files: Number = UNSET
    injected_file_content_bytes: Number = UNSET
    injected_file_path_bytes: Number = UNSET


class _Limits(_Limits236, forbid_unknown_fields=True):
    fixed_ips: Number = UNSET
    floating_ips: Number = UNSET
    security_groups: Number = UNSET
    security_group_rules: Number = UNSET


class _Set257(_Limits257, forbid_unknown_fields=True):
    force: Bool = False


class _Set236(_Limits236, forbid_unknown_fields=True):
    force: Bool = False


class _Set(_Limits, forbid_unknown_fields=True):
    force: Bool = False


class Update(Struct, forbid_unknown_fields=True):
    quota_set: _Set


class Update236(Struct, forbid_unknown_fields=True):
    quota_set: _Set236


class Update257(Struct, forbid_unknown_fields=True):
    quota_set: _Set257


class UpdateClass(Struct, forbid_unknown_fields=True):
    quota_class_set: _Limits


class UpdateClass250(Struct, forbid_unknown_fields=True):
    quota_class_set: _Limits236


class UpdateClass257(Struct, forbid_unknown_fields=True):
    quota_class_set: _Limits257


def read_limits(asked: Struct) -> dict[str, int]:
    """Return the limits that a body names."""
    given = structs.asdict(asked)
    return {name: read_int(value) for name, value in given.items() if name != "force" and value is not UNSET}


def read_force(asked: _Set | _Set236 | _Set257) -> bool:
    """Tell whether a body says force."""
    return read_bool(asked.force)


def hidden(version: Version) -> frozenset[str]:
    """Return the resources that a microversion no longer shows."""
    if version >= (2, 57):
        return NETWORK | FILES
    return NETWORK if version >= (2, 36) else frozenset()


def show_set(values: Mapping[str, Any], version: Version, project_id: str = "") -> dict[str, Any]:
    """Show limits, or limits with usage, as a quota set."""
    shown = {name: value for name, value in values.items() if name not in hidden(version)}
    return {"quota_set": {"id": project_id, **shown} if project_id else shown}


def only_limits(details: Details) -> dict[str, int]:
    """Return the limits out of limits with usage."""
    return {name: facts["limit"] for name, facts in details.items()}


def show_class(values: Mapping[str, int], version: Version, name: str = "") -> dict[str, Any]:
    """Show limits as a quota class set."""
    gone = GROUPS if version < (2, 50) else NETWORK | FILES if version >= (2, 57) else NETWORK
    shown = {key: value for key, value in values.items() if key not in gone}
    return {"quota_class_set": {"id": name, **shown} if name else shown}


LIMIT_NAMES = (
    ("maxServerMeta", "metadata_items"), ("maxImageMeta", "metadata_items"), ("maxPersonality", "injected_files"),
    ("maxPersonalitySize", "injected_file_content_bytes"), ("maxTotalInstances", "instances"), ("maxTotalCores", "cores"),
    ("maxTotalRAMSize", "ram"), ("maxTotalKeypairs", "key_pairs"), ("maxTotalFloatingIps", "floating_ips"),
    ("maxSecurityGroups", "security_groups"), ("maxSecurityGroupRules", "security_group_rules"),
    ("maxServerGroups", "server_groups"), ("maxServerGroupMembers", "server_group_members"),
)  # fmt: skip
USED_NAMES = (
    ("totalRAMUsed", "ram"), ("totalCoresUsed", "cores"), ("totalInstancesUsed", "instances"),
    ("totalFloatingIpsUsed", "floating_ips"), ("totalSecurityGroupsUsed", "security_groups"),
    ("totalServerGroupsUsed", "server_groups"),
)  # fmt: skip


def show_limits(details: Details, version: Version) -> dict[str, Any]:
    """Show limits and usage of a project."""
    gone = hidden(version)
    absolute = {name: details[key]["limit"] for name, key in LIMIT_NAMES if key not in gone}
    if version >= (2, 39):
        del absolute["maxImageMeta"]
    absolute |= {name: details[key]["in_use"] for name, key in USED_NAMES if key not in gone}
    return {"limits": {"rate": [], "absolute": absolute}}


def show_usage(spans: list[Span], start: float, stop: float, now: float, detailed: bool) -> list[dict[str, Any]]:
    """Add up what servers used, by project."""
    projects: dict[str, dict[str, Any]] = {}
    for span in spans:
        one = _server_usage(span, start, stop, now)
        empty = {
            "tenant_id": span.project_id, "start": show_time(start), "stop": show_time(stop), "total_hours": 0.0,
            "total_vcpus_usage": 0.0, "total_memory_mb_usage": 0.0, "total_local_gb_usage": 0.0,
        }  # fmt: skip
        total = projects.setdefault(span.project_id, {**empty, **({"server_usages": []} if detailed else {})})
        hours = one["hours"]
        total["total_hours"] += hours
        for name in ("vcpus", "memory_mb", "local_gb"):
            total[f"total_{name}_usage"] += one[name] * hours
        if detailed:
            total["server_usages"].append(one)
    return list(projects.values())


def _server_usage(span: Span, start: float, stop: float, now: float) -> dict[str, Any]:
    ended = span.terminated_at
    seconds = max(min(ended or stop, stop) - max(span.launched_at, start), 0.0)
    flavor = span.flavor
    return {
        "instance_id": span.id,
        "name": span.name,
        "tenant_id": span.project_id,
        "flavor": flavor.get("name", ""),
        "hours": seconds / 3600,
        "vcpus": span.vcpus,
        "memory_mb": span.memory_mib,
        "local_gb": int(flavor.get("disk", 0)) + int(flavor.get("ephemeral", 0)),
        "started_at": show_time(span.launched_at),
        "ended_at": show_time(ended),
        "state": "terminated" if ended else span.vm_state,
        "uptime": int((ended or now) - span.launched_at),
    }
