"""How extra specs are compared with what a host or an aggregate says of itself.

The operators are nova's: `s== s!= s< s<= s> s>=` compare text, `= == != <= >=` numbers, `<in>` looks for a part, `<all-in>`
for all parts, `<or>` takes any of several; without one the values are equal.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pileus.compute.scheduler import HostState

NUMBERS: dict[str, Callable[[float, float], bool]] = {
    "=": operator.ge, "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
TEXTS: dict[str, Callable[[str, str], bool]] = {
    "s==": operator.eq, "s!=": operator.ne, "s<": operator.lt, "s<=": operator.le, "s>": operator.gt, "s>=": operator.ge,
}  # fmt: skip

UNSCOPED_OTHERS = {"hide_hypervisor_id", "group_policy"}


def matches(seen: str, wanted: str) -> bool:
    """Tell whether a value is as an extra spec wants it."""
    words = wanted.split()
    first = words[0] if words else ""
    if first in TEXTS:
        return TEXTS[first](seen, " ".join(words[1:]))
    if first in NUMBERS:
        try:
            return NUMBERS[first](float(seen), float(words[1]))
        except (ValueError, IndexError):
            return False
    if first == "<in>":
        return " ".join(words[1:]) in seen
    if first == "<all-in>":
        return all(word in seen for word in words[1:])
    if first == "<or>":
        return seen in [choice.strip() for choice in wanted.split("<or>")[1:]]
    return seen == wanted


def matches_any(seen: Iterable[str], wanted: str) -> bool:
    """Tell whether one of several values is as an extra spec wants it."""
    return any(matches(value, wanted) for value in seen)


def values_of(aggregates: Iterable[Mapping[str, str]], key: str) -> list[str]:
    """Return the values of a key in the metadata of aggregates; a comma parts several."""
    return [value.strip() for metadata in aggregates if key in metadata for value in metadata[key].split(",")]


def is_capability(key: str) -> bool:
    """Tell whether an extra spec speaks of the host itself."""
    return key.startswith("capabilities:") or (":" not in key and key not in UNSCOPED_OTHERS)


def capability(host: "HostState", name: str) -> str | None:
    """Return what a host says of itself under a name of nova's host state."""
    facts: dict[str, Any] = {
        "host": host.name, "hypervisor_hostname": host.name, "hypervisor_type": host.hypervisor_type,
        "hypervisor_version": host.hypervisor_version, "free_ram_mb": host.memory_mib.free, "vcpus_total": host.vcpus.total,
        "free_disk_mb": host.disk_gib.free * 1024, "vcpus_used": host.vcpus.used, "num_instances": host.servers,
        "num_io_ops": host.busy, "total_usable_ram_mb": host.memory_mib.total, "cpu_info:arch": host.arch,
    }  # fmt: skip
    found = facts.get(name)
    return None if found is None else str(found)


def version_matches(version: int, wanted: str) -> bool:
    """Tell whether a version as a number, such as 7002000, meets requirements such as ">=6.0,<8"."""
    compare: dict[str, Callable[[int, int], bool]] = {
        ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt,
    }  # fmt: skip
    for part in wanted.split(","):
        text = part.strip()
        sign = next((each for each in compare if text.startswith(each)), "==")
        numbers = [*text.removeprefix(sign).strip().split("."), "0", "0"][:3]
        if not all(number.isdecimal() for number in numbers):
            return False
        major, minor, patch = (int(number) for number in numbers)
        if not compare[sign](version, major * 1_000_000 + minor * 1_000 + patch):
            return False
    return True
