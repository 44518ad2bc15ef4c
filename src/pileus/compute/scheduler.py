"""Which host a server goes to.  Pure: facts about hosts in, an order of hosts out, and why each other one was ruled out.

Filters and weighers have the names and the meaning that they have in nova.  A filter looks at the request once and
returns a check of hosts, or None when it has nothing to ask; a check returns the reason why a host will not do.

    select(hosts, request)  ->  Choice(hosts in order, reasons by name)

Not here: where the facts come from (store.hosts), and the claim, which is a write that counts again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pileus.compute import spec_match

DEFAULT_ZONE = "nova"
AFFINITY, ANTI_AFFINITY = "affinity", "anti-affinity"
SOFT_AFFINITY, SOFT_ANTI_AFFINITY = "soft-affinity", "soft-anti-affinity"


@dataclass(frozen=True, slots=True)
class Room:
    """How much of a resource a host has, and how much its servers take."""

    total: int
    used: int = 0
    reserved: int = 0
    ratio: float = 1.0

    @property
    def capacity(self) -> int:
        """What may be given out."""
        return int((self.total - self.reserved) * self.ratio)

    @property
    def free(self) -> int:
        return self.capacity - self.used


@dataclass(frozen=True, slots=True)
class HostState:
    """One host's facts.  aggregates holds the metadata of those it is in; busy counts servers with work under way."""

    name: str
    vcpus: Room
    memory_mib: Room
    disk_gib: Room
    up: bool = True
    disabled: bool = False
    disabled_reason: str = ""
    zone: str = DEFAULT_ZONE
    uuid: str = ""
    servers: int = 0
    busy: int = 0
    arch: str = "x86_64"
    hypervisor_type: str = "QEMU"
    hypervisor_version: int = 0
    virt_type: str = "qemu"
    traits: frozenset[str] = frozenset()
    aggregates: tuple[Mapping[str, str], ...] = ()
    others: Mapping[str, Room] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What one server needs.

    :param only: the hosts that are allowed by name (forced, or asked for); empty: any.
    :param avoid: the hosts that will not do, such as those that failed before.
    :param policy: of its server group; group_hosts counts the group's members by host.
    :param same_hosts: hosts of the servers it is to be with (None: no such wish), different_hosts of those it is to avoid.
    """

    vcpus: int
    memory_mib: int
    disk_gib: int
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    image_properties: Mapping[str, object] = field(default_factory=dict)
    zone: str = ""
    only: frozenset[str] = frozenset()
    avoid: frozenset[str] = frozenset()
    policy: str = ""
    max_server_per_host: int = 1
    group_hosts: Mapping[str, int] = field(default_factory=dict)
    same_hosts: frozenset[str] | None = None
    different_hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    """The hosts that will do, best first, and what ruled out each of the others."""

    hosts: tuple[HostState, ...]
    rejected: Mapping[str, str]

    def explain(self) -> str:
        """Word it for the fault of a server that found no host."""
        reasons = "; ".join(f"{name}: {reason}" for name, reason in sorted(self.rejected.items()))
        return "No valid host was found. " + (reasons + "." if reasons else "There are no hosts.")


Check = Callable[[HostState], str]
Filter = Callable[[Request], Check | None]
Weigher = Callable[[Request], Callable[[HostState], float] | None]


def select(hosts: Iterable[HostState], request: Request) -> Choice:
    """Return the hosts that will do, best first."""
    checks = [check for each in FILTERS if (check := each(request)) is not None]
    fit: list[HostState] = []
    rejected: dict[str, str] = {}
    for host in hosts:
        for check in checks:
            if reason := check(host):
                rejected[host.name] = reason
                break
        else:
            fit.append(host)
    return Choice(tuple(_weigh(fit, request)), rejected)


def wanted(request: Request) -> dict[str, int]:
    """Return what a server takes, by resource class; extra specs such as resources:VCPU=4 replace or add."""
    needs = {"VCPU": request.vcpus, "MEMORY_MB": request.memory_mib, "DISK_GB": request.disk_gib}
    for key, value in request.extra_specs.items():
        scope, _, name = key.partition(":")
        if scope == "resources" and value.isdecimal():
            needs[name] = int(value)
    return needs


def host_filter(request: Request) -> Check | None:
    """The hosts asked for by name, and those that failed."""
    if not request.only and not request.avoid:
        return None

    def check(host: HostState) -> str:
        if request.only and host.name not in request.only:
            return "is not the host asked for"
        return "failed to take the server before" if host.name in request.avoid else ""

    return check


def compute_filter(request: Request) -> Check:
    """ComputeFilter: the host is up and takes servers."""

    def check(host: HostState) -> str:
        if host.disabled:
            return f"disabled: {host.disabled_reason or 'no reason given'}"
        return "" if host.up else "down"

    return check


def availability_zone_filter(request: Request) -> Check | None:
    """AvailabilityZoneFilter."""
    if not request.zone:
        return None
    return lambda host: "" if host.zone == request.zone else f"in zone {host.zone}, not {request.zone}"


def resource_filter(request: Request) -> Check:
    """What placement does: enough of everything, and no more for one server than there is at all."""
    needs = wanted(request)
    vcpus, memory_mib, disk_gib = needs.pop("VCPU"), needs.pop("MEMORY_MB"), needs.pop("DISK_GB")

    def check(host: HostState) -> str:
        if memory_mib > host.memory_mib.free or memory_mib > host.memory_mib.total:
            return _short("memory", "MiB", memory_mib, host.memory_mib)
        if vcpus > host.vcpus.free or vcpus > host.vcpus.total:
            return _short("vCPUs", "", vcpus, host.vcpus)
        if disk_gib > host.disk_gib.free or disk_gib > host.disk_gib.total:
            return _short("disk", "GiB", disk_gib, host.disk_gib)
        for name, amount in needs.items():
            room = host.others.get(name, NOTHING)
            if amount > room.free:
                return _short(name, "", amount, room)
        return ""

    return check


NOTHING = Room(0)


def _short(what: str, unit: str, amount: int, room: Room) -> str:
    unit = unit and " " + unit
    return f"not enough {what} ({amount}{unit} wanted, {max(room.free, 0)}{unit} free of {room.capacity}{unit})"


def traits_filter(request: Request) -> Check | None:
    """The traits that the flavor or the image requires or forbids, as trait:HW_CPU_X86_AVX2=required."""
    asked = {**request.image_properties, **request.extra_specs}
    traits = {key[6:]: value for key, value in asked.items() if key.startswith("trait:")}
    required = {name for name, value in traits.items() if value == "required"}
    forbidden = {name for name, value in traits.items() if value == "forbidden"}
    if not traits:
        return None

    def check(host: HostState) -> str:
        if missing := required - host.traits:
            return f"lacks the trait {', '.join(sorted(missing))}"
        if present := forbidden & host.traits:
            return f"has the forbidden trait {', '.join(sorted(present))}"
        return ""

    return check


def compute_capabilities_filter(request: Request) -> Check | None:
    """ComputeCapabilitiesFilter: extra specs capabilities:KEY and those without a scope.

    One without a scope may be met by an aggregate of the host as well, as both filters are in force here.
    """
    specs = {key: value for key, value in request.extra_specs.items() if spec_match.is_capability(key)}
    if not specs:
        return None

    def check(host: HostState) -> str:
        for key, value in specs.items():
            name = key.removeprefix("capabilities:")
            seen = spec_match.capability(host, name)
            if seen is not None and spec_match.matches(seen, value):
                continue
            if ":" not in key and spec_match.matches_any(spec_match.values_of(host.aggregates, name), value):
                continue
            return f"does not meet the extra spec {key}={value}"
        return ""

    return check


def aggregate_extra_specs_filter(request: Request) -> Check | None:
    """AggregateInstanceExtraSpecsFilter: extra specs aggregate_instance_extra_specs:KEY."""
    scope = "aggregate_instance_extra_specs:"
    specs = {key.removeprefix(scope): value for key, value in request.extra_specs.items() if key.startswith(scope)}
    if not specs:
        return None

    def check(host: HostState) -> str:
        for key, value in specs.items():
            if not spec_match.matches_any(spec_match.values_of(host.aggregates, key), value):
                return f"no aggregate has {key}={value}"
        return ""

    return check


def image_properties_filter(request: Request) -> Check | None:
    """ImagePropertiesFilter: architecture, hypervisor type and version, kind of machine."""
    props = request.image_properties
    arch = str(props.get("hw_architecture") or props.get("architecture") or "")
    kind = str(props.get("img_hv_type") or props.get("hypervisor_type") or "").lower()
    mode = str(props.get("hw_vm_mode") or props.get("vm_mode") or "").lower()
    version = str(props.get("img_hv_requested_version") or props.get("hypervisor_version_requires") or "")
    if not (arch or kind or mode or version):
        return None

    def check(host: HostState) -> str:
        if arch and arch not in (host.arch, {"x86_64": "amd64", "aarch64": "arm64"}.get(host.arch)):
            return f"is {host.arch}, the image wants {arch}"
        if kind and kind not in (host.virt_type, host.hypervisor_type.lower(), "qemu"):
            return f"runs {host.hypervisor_type}, the image wants {kind}"
        if mode and mode != "hvm":
            return f"has no machines of kind {mode}"
        if version and not spec_match.version_matches(host.hypervisor_version, version):
            return f"has the hypervisor version {host.hypervisor_version}, the image wants {version}"
        return ""

    return check


def aggregate_image_filter(request: Request) -> Check:
    """AggregateImagePropertiesIsolation: where an aggregate names a property of images, images that have it must match."""
    props = request.image_properties

    def check(host: HostState) -> str:
        for metadata in host.aggregates:
            for key in metadata.keys() & props.keys():
                options = [option.strip() for option in metadata[key].split(",")]
                if str(props[key]) not in options:
                    return f"an aggregate takes only images with {key}={metadata[key]}"
        return ""

    return check


def same_host_filter(request: Request) -> Check | None:
    """SameHostFilter."""
    hosts = request.same_hosts
    if hosts is None:
        return None
    return lambda host: "" if host.name in hosts else "is not the host of the servers to be with (same_host)"


def different_host_filter(request: Request) -> Check | None:
    """DifferentHostFilter."""
    hosts = request.different_hosts
    if not hosts:
        return None
    return lambda host: "is the host of a server to be apart from (different_host)" if host.name in hosts else ""


def affinity_filter(request: Request) -> Check | None:
    """ServerGroupAffinityFilter."""
    members = {name for name, count in request.group_hosts.items() if count}
    if request.policy != AFFINITY or not members:
        return None
    return lambda host: "" if host.name in members else "the server group is on another host (affinity)"


def anti_affinity_filter(request: Request) -> Check | None:
    """ServerGroupAntiAffinityFilter: at most max_server_per_host members of the group."""
    most = request.max_server_per_host
    if request.policy != ANTI_AFFINITY or not request.group_hosts:
        return None

    def check(host: HostState) -> str:
        count = request.group_hosts.get(host.name, 0)
        return "" if count < most else f"has {count} of the server group already, {most} allowed (anti-affinity)"

    return check


FILTERS: tuple[Filter, ...] = (
    host_filter, compute_filter, availability_zone_filter, resource_filter, traits_filter, compute_capabilities_filter,
    aggregate_extra_specs_filter, image_properties_filter, aggregate_image_filter, same_host_filter, different_host_filter,
    affinity_filter, anti_affinity_filter,
)  # fmt: skip

WEIGHERS: tuple[tuple[str, float, Weigher], ...] = (
    ("RAMWeigher", 1.0, lambda request: lambda host: float(host.memory_mib.free)),
    ("CPUWeigher", 1.0, lambda request: lambda host: float(host.vcpus.free)),
    ("DiskWeigher", 1.0, lambda request: lambda host: float(host.disk_gib.free)),
    ("IoOpsWeigher", -1.0, lambda request: lambda host: float(host.busy)),
    ("ServerGroupSoftAffinityWeigher", 10.0, lambda request: _members(request, SOFT_AFFINITY)),
    ("ServerGroupSoftAntiAffinityWeigher", -10.0, lambda request: _members(request, SOFT_ANTI_AFFINITY)),
)  # fmt: skip


def _members(request: Request, policy: str) -> Callable[[HostState], float] | None:
    if request.policy != policy:
        return None
    return lambda host: float(request.group_hosts.get(host.name, 0))


def _weigh(hosts: Sequence[HostState], request: Request) -> list[HostState]:
    """Order hosts by the sum of their weights, each brought to 0..1 among these hosts; equals go by name."""
    if len(hosts) < 2:
        return list(hosts)
    totals = [0.0] * len(hosts)
    for _, multiplier, make in WEIGHERS:
        if (weigh := make(request)) is None:
            continue
        weights = [weigh(host) for host in hosts]
        least, span = min(weights), max(weights) - min(weights)
        if span:
            totals = [total + multiplier * (weight - least) / span for total, weight in zip(totals, weights, strict=True)]
    order = sorted(range(len(hosts)), key=lambda index: (-totals[index], hosts[index].name))
    return [hosts[index] for index in order]
