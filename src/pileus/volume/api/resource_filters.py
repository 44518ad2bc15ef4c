"""/v3/resource_filters: by what each kind of list may be filtered, and the check of it."""

from collections.abc import MutableMapping
from typing import Any

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route

FILTERS = {
    "volume": (
        "name", "status", "metadata", "bootable", "migration_status", "availability_zone", "group_id", "size", "created_at",
        "updated_at", "consumes_quota",
    ),
    "backup": ("name", "status", "volume_id"),
    "snapshot": ("name", "status", "volume_id", "metadata", "availability_zone", "consumes_quota"),
    "group": ("name",),
    "group_snapshot": ("name", "status", "group_id"),
    "attachment": ("volume_id", "status", "instance_id", "attach_status"),
    "message": ("resource_uuid", "resource_type", "event_id", "request_id", "message_level"),
    "pool": ("name", "volume_type"),
    "volume_type": ("is_public", "extra_specs"),
}  # fmt: skip
"""What users may filter by; a trailing ~ of a parameter's name (3.34) means "has this in it"."""


def check_filters(call: Call, resource: str, filters: MutableMapping[str, str]) -> None:
    """Refuse filters that users may not use, from 3.31 on; drops all_tenants, which clients always send.

    :raises BadRequest: when there is such a filter.
    """
    if any(not name.isascii() for name in filters):
        raise BadRequest("Filter keys can only contain ASCII characters.")
    if call.ctx.is_admin and resource != "pool":
        return
    alike = call.since("3.34")
    wrong = [name for name in filters if (name.removesuffix("~") if alike else name) not in FILTERS[resource]]
    if "all_tenants" in wrong:
        wrong.remove("all_tenants")
        del filters["all_tenants"]
    if wrong:
        raise BadRequest(f"Invalid filters {','.join(wrong)} are found in query options.")


def index(call: Call) -> Any:
    wanted = call.query.get("resource")
    return {
        "resource_filters": [
            {"resource": name, "filters": list(filters)} for name, filters in FILTERS.items() if wanted in (None, name)
        ]
    }


routes = (Route("GET", "/v3/resource_filters", index, since="3.33"),)
