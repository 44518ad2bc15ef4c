"""The queries of lists of servers: filters, order, pages."""

import re
from typing import Any

from pileus.compute import states
from pileus.compute.api.queries import MOST
from pileus.compute.policies.servers import SERVERS
from pileus.compute.schemas.fields import FALSE, TRUE
from pileus.compute.service.servers import Query
from pileus.compute.store.servers import SORT_KEYS, Search
from pileus.kernel.clock import from_iso
from pileus.kernel.errors import BadRequest, Forbidden
from pileus.kernel.http import Call
from pileus.kernel.paging import Page, read_limit, read_sort

EXACT = {
    "user_id": "user_id", "launch_index": "launch_index", "image": "image_id", "image_ref": "image_id", "vm_state": "vm_state",
    "task_state": "task_state", "host": "host", "node": "host", "uuid": "id", "power_state": "power_state",
    "progress": "progress", "config_drive": "config_drive", "auto_disk_config": "disk_config", "flavor": "flavor_id",
    "reservation_id": "reservation_id", "locked_by": "locked_by",
}  # fmt: skip
PATTERNS = {
    "name": "name", "display_name": "name", "description": "description", "display_description": "description",
    "hostname": "hostname", "key_name": "key_name", "availability_zone": "availability_zone", "access_ip_v4": "access_ipv4",
    "access_ip_v6": "access_ipv6",
}  # fmt: skip
TIMES = {"created_at", "launched_at", "terminated_at"}
TAGS = {"tags": "all", "tags-any": "any", "not-tags": "not-all", "not-tags-any": "not-any"}
JOINED = {"block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups", "pci_devices"}
OTHERS = {
    "project_id", "tenant_id", "kernel_id", "ramdisk_id", "root_device_name", "sort_key", "sort_dir", "all_tenants",
    "soft_deleted", "deleted", "status", "changes-since", "ip", "ip6", "limit", "marker",
}  # fmt: skip
FOR_ALL = {
    "reservation_id", "name", "status", "image", "flavor", "ip", "changes-since", "all_tenants", "limit", "marker", "sort_key",
    "sort_dir",
}  # fmt: skip
SINCE_283 = {
    "availability_zone", "config_drive", "key_name", "created_at", "launched_at", "terminated_at", "power_state", "task_state",
    "vm_state", "progress", "user_id",
}  # fmt: skip
IGNORED_SORTS = {
    "architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device", "deleted", "deleted_at",
    "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id", "key_data", "launched_on", "locked", "memory_mb", "os_type",
    "reservation_id", "root_gb", "shutdown_terminate", "user_data", "vcpus", "vm_mode",
}  # fmt: skip


def read_query(call: Call, detail: bool) -> Query:
    """Return what list is asked for.

    :raises BadRequest: when a filter, a key or a page makes no sense.
    """
    given = _given(call)
    search = Search(
        exact=_exact(given),
        patterns={PATTERNS[name]: _pattern(name, values[-1]).pattern for name, values in given.items() if name in PATTERNS},
        statuses=_statuses(call, given),
        tags={TAGS[name]: values[-1].split(",") for name, values in given.items() if name in TAGS},
        **_times(call, given),
        **_flags(call, given),
    )
    ip = {version: _pattern(name, given[name][-1]) for name, version in (("ip", 4), ("ip6", 6)) if name in given}
    everyone = "all_tenants" in given and _truth("all_tenants", given["all_tenants"][-1] or "1")
    projects = given.get("project_id") or given.get("tenant_id")
    project_id = projects[-1] if projects else None
    return Query(search, _page(call, given), detail, everyone, project_id, ip)


def _given(call: Call) -> dict[str, list[str]]:
    """The parameters that count for this caller in this microversion, with their values."""
    new = ({"ip6"} if call.since("2.5") else set()) | (set(TAGS) if call.since("2.26") else set())
    new |= ({"changes-before"} if call.since("2.66") else set()) | ({"locked"} if call.since("2.73") else set())
    known = {*EXACT, *PATTERNS, *TIMES, *OTHERS} | new
    mine = FOR_ALL | new | (SINCE_283 if call.since("2.83") else set())
    names = call.query.names()
    for name in names:
        if name in JOINED or name.startswith("_"):
            raise BadRequest(f"Invalid filter field: {name}.")
        if name not in known and call.since("2.75"):
            raise BadRequest(f"Additional properties are not allowed ('{name}' was unexpected)")
    if not call.ctx.can(SERVERS + "allow_all_filters"):
        names &= mine
    return {name: call.query.all(name) for name in names & known}


def _exact(given: dict[str, list[str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in given.keys() & EXACT.keys():
        values: list[Any] = given[name]
        if name in ("launch_index", "power_state", "progress"):
            values = [int(value) for value in values if value.isdecimal() and len(value) < 10]
        elif name == "config_drive":
            values = [_truth(name, value) if value else False for value in values]
        found[EXACT[name]] = values
    for name in given.keys() & TIMES:
        found[name] = [_time(name, value) for value in given[name]]
    return found


def _pattern(name: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, RecursionError, OverflowError):
        raise BadRequest(f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'regex'") from None


def _statuses(call: Call, given: dict[str, list[str]]) -> list[str] | None:
    if "status" not in given:
        return None
    words = [word.upper() for word in given["status"]]
    if not states.STATUSES & set(words) and call.since("2.38"):
        raise BadRequest("Invalid status value")
    if words == ["DELETED"] and not call.ctx.is_admin:
        raise Forbidden("Only administrators may list deleted instances")
    return words


def _times(call: Call, given: dict[str, list[str]]) -> dict[str, Any]:
    found = {name: _time(name, given[name][-1]) for name in ("changes-since", "changes-before") if name in given}
    if len(found) == 2 and found["changes-since"] > found["changes-before"]:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    return {name.replace("-", "_"): value for name, value in found.items()}


def _time(name: str, text: str) -> float:
    try:
        return from_iso(text.replace(" ", "+"))
    except (ValueError, OverflowError):
        raise BadRequest(f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'date-time'") from None


def _flags(call: Call, given: dict[str, list[str]]) -> dict[str, Any]:
    deleted: bool | None = None if {"changes-since", "changes-before"} & given.keys() else False
    if "deleted" in given:
        deleted = given["deleted"][-1].lower() in TRUE
    if [word.upper() for word in given.get("status", ())] == ["DELETED"]:
        deleted = True
    return {"deleted": deleted, "locked": _truth("locked", given["locked"][-1]) if "locked" in given else None}


def _truth(name: str, text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise BadRequest(f"Invalid value '{text}' for {name}.")
    return text.lower() in TRUE


def _page(call: Call, given: dict[str, list[str]]) -> Page:
    ignored = set() if call.since("2.75") else IGNORED_SORTS - ({"locked"} if call.since("2.73") else set())
    keys, directions = given.get("sort_key", []), given.get("sort_dir", [])
    allowed = SORT_KEYS.keys() if call.since("2.73") else SORT_KEYS.keys() - {"locked"}
    pairs = read_sort(keys, directions, {*allowed, *ignored})
    if not call.ctx.is_admin and {"host", "node"} & set(keys):
        raise Forbidden("Only administrators can sort servers by " + " and ".join(sorted({"host", "node"} & set(keys))))
    sort = tuple((key, descends) for key, descends in pairs if key in allowed)
    return Page(read_limit(call.query.get("limit"), MOST), call.query.get("marker"), sort)
