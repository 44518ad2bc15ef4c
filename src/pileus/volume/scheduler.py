"""Which back end a volume goes to: pure, of what the back ends say they have and what the volume asks for.

A pool must be there, enabled, in the zone, fit the extra specs of the volume's type, be where the hints say, and have room;
of those, the one with the most room is chosen.  The words of extra specs are cinder's:

    volume_backend_name=fast    multiattach=<is> True    capabilities:vendor_name=<or> A <or> B    free_capacity_gb=>= 10
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pileus.volume.driver import Capacity

NOT_FOR_BACKENDS = ("key", "cacheable")


@dataclass(frozen=True, slots=True)
class Pool:
    """A place for volumes.  `host` is HOST@BACKEND#POOL; `provisioned_gib` what the volumes written down take."""

    host: str
    zone: str
    capacity: Capacity
    provisioned_gib: float
    overcommit_ratio: float
    disabled: bool = False

    @property
    def name(self) -> str:
        """The back end's name."""
        return self.host.rpartition("#")[2]

    @property
    def room_gib(self) -> float:
        """How much more volumes may be given, together."""
        if not self.capacity.thin:
            return min(self.capacity.free_gib, self.capacity.total_gib - self.provisioned_gib)
        virtual = self.capacity.total_gib * self.overcommit_ratio - self.provisioned_gib
        return min(virtual, self.capacity.free_gib * self.overcommit_ratio)


@dataclass(frozen=True, slots=True)
class Request:
    """What a volume asks for.  only: hosts that alone may be chosen (None: any); refused: those that said no, and why."""

    size_gib: int
    zones: Sequence[str] = ()
    specs: Mapping[str, Any] = field(default_factory=dict)
    only: frozenset[str] | None = None
    avoid: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen host, or None and why."""

    host: str | None
    zone: str = ""
    why: str = ""


def pick(pools: Sequence[Pool], request: Request) -> Choice:
    """Choose a pool."""
    reasons = {pool.host: explain_unfit(pool, request) for pool in pools}
    fit = [pool for pool in pools if not reasons[pool.host]]
    if not fit:
        told = "; ".join(f"{host}: {why}" for host, why in sorted(reasons.items())) or "there are no back ends"
        return Choice(None, why=f"No valid back end was found. {told}")
    best = min(fit, key=lambda pool: (-pool.room_gib, pool.host))
    return Choice(best.host, best.zone)


def explain_unfit(pool: Pool, request: Request) -> str:
    """Say why a pool cannot take a volume; empty: it can."""
    if pool.disabled:
        return "it is disabled"
    if pool.host in request.refused:
        return request.refused[pool.host]
    if request.zones and pool.zone not in request.zones:
        return f"it is in zone {pool.zone}"
    if request.only is not None and pool.host not in request.only:
        return "it is not where the volume has to be"
    if pool.host in request.avoid:
        return "it is where the volume must not be"
    if missing := explain_specs(capabilities(pool), request.specs):
        return missing
    if pool.room_gib < request.size_gib:
        return f"it has room for {max(pool.room_gib, 0):.0f} GiB"
    return ""


def capabilities(pool: Pool) -> dict[str, Any]:
    """Return what a pool says of itself, under cinder's names."""
    has = pool.capacity
    return {
        "pool_name": pool.name,
        "volume_backend_name": pool.name,
        "vendor_name": has.vendor,
        "driver_version": has.driver_version,
        "storage_protocol": has.storage_protocol,
        "total_capacity_gb": round(has.total_gib, 2),
        "free_capacity_gb": round(has.free_gib, 2),
        "allocated_capacity_gb": round(pool.provisioned_gib, 2),
        "provisioned_capacity_gb": round(pool.provisioned_gib, 2),
        "reserved_percentage": 0,
        "max_over_subscription_ratio": pool.overcommit_ratio,
        "thin_provisioning_support": has.thin,
        "thick_provisioning_support": not has.thin,
        "multiattach": has.multiattach,
        "online_extend_support": has.extend_online,
        "QoS_support": False,
        "replication_enabled": False,
        "consistencygroup_support": has.together,
        "consistent_group_snapshot_enabled": has.together,
        "filter_function": None,
        "goodness_function": None,
    }


def explain_specs(has: Mapping[str, Any], specs: Mapping[str, Any]) -> str:
    """Say which extra spec is not met; empty: all are.  Specs of other scopes are not the scheduler's."""
    for key, wanted in specs.items():
        scope, colon, name = key.partition(":")
        if colon and scope != "capabilities":
            continue
        name = name if colon else key
        if name in NOT_FOR_BACKENDS:
            continue
        if not matches(has.get(name), str(wanted)):
            return f"its {name} is {has.get(name)}, not {wanted}"
    return ""


def matches(value: Any, wanted: str) -> bool:
    """Tell whether a capability is as an extra spec says."""
    words = wanted.split()
    if value is None or not words:
        return False
    operator, rest = words[0], words[1:]
    if operator == "<is>":
        return bool(rest) and (str(value).lower() in TRUE) == (rest[0].lower() in TRUE)
    if operator == "<or>":
        return str(value) in [word for word in rest if word != "<or>"]
    if operator == "<in>":
        return bool(rest) and rest[0] in str(value)
    if operator == "<all-in>":
        return all(word in str(value) for word in rest)
    if operator in TEXT and rest:
        return bool(TEXT[operator](str(value), rest[0]))
    if operator in NUMBER and rest:
        return _compare(operator, value, rest[0])
    if isinstance(value, bool):
        return wanted.strip().lower() in ("true", "false") and (wanted.strip().lower() == "true") == value
    return str(value) == wanted


TRUE = ("true", "1", "yes", "on", "t", "y")
TEXT = {
    "s==": lambda a, b: a == b, "s!=": lambda a, b: a != b, "s>=": lambda a, b: a >= b, "s>": lambda a, b: a > b,
    "s<=": lambda a, b: a <= b, "s<": lambda a, b: a < b,
}  # fmt: skip
NUMBER = {
    "=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}


def _compare(operator: str, value: Any, wanted: str) -> bool:
    try:
        return bool(NUMBER[operator](float(value), float(wanted)))
    except (TypeError, ValueError):
        return False
