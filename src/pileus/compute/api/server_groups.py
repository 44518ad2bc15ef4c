"""/v2.1/os-server-groups"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from pileus.compute.api.queries import MOST, check_names
from pileus.compute.schemas.fields import Name, Positive, read_int
from pileus.compute.service import server_groups
from pileus.compute.store.server_groups import ServerGroup
from pileus.kernel.http import Call, Route
from pileus.kernel.paging import read_limit

Hard = Literal["anti-affinity", "affinity"]
Soft = Literal["anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity"]
ROOT = "/v2.1/os-server-groups"


class _New(Struct, forbid_unknown_fields=True):
    name: Name
    policies: Annotated[list[Hard], Meta(min_length=1, max_length=1)]


class _New215(Struct, forbid_unknown_fields=True):
    name: Name
    policies: Annotated[list[Soft], Meta(min_length=1, max_length=1)]


class _Rules(Struct, forbid_unknown_fields=True):
    max_server_per_host: Positive | None = None


class _New264(Struct, forbid_unknown_fields=True):
    name: Name
    policy: Soft
    rules: _Rules | None = None


class Create(Struct, forbid_unknown_fields=True):
    server_group: _New


class Create215(Struct, forbid_unknown_fields=True):
    server_group: _New215


class Create264(Struct, forbid_unknown_fields=True):
    server_group: _New264


def index(call: Call) -> Any:
    check_names(call, "all_projects", "limit", "offset")
    offset = read_limit(call.query.get("offset")) or 0
    limit = read_limit(call.query.get("limit"), MOST) or MOST
    found = server_groups.list_all(call.ctx, "all_projects" in call.query, min(offset, 2**31), limit)
    return {"server_groups": [_show(call, group) for group in found]}


def show(call: Call) -> Any:
    return {"server_group": _show(call, server_groups.get(call.ctx, call.path["group_id"]))}


def create(call: Call) -> Any:
    asked = call.body.server_group
    if isinstance(asked, _New264):
        most = asked.rules.max_server_per_host if asked.rules else None
        rules = {} if most is None else {"max_server_per_host": read_int(most)}
        group = server_groups.create(call.ctx, asked.name, asked.policy, rules)
    else:
        group = server_groups.create(call.ctx, asked.name, asked.policies[0], {})
    return {"server_group": _show(call, group)}


def delete(call: Call) -> None:
    server_groups.delete(call.ctx, call.path["group_id"])


def _show(call: Call, group: ServerGroup) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": group.id, "name": group.name, "members": list(group.members)}
    if call.since("2.64"):
        shown |= {"policy": group.policy, "rules": group.rules}
    else:
        shown |= {"policies": [group.policy], "metadata": {}}
    if call.since("2.13"):
        shown |= {"project_id": group.project_id, "user_id": group.user_id}
    return shown


routes = (
    Route("GET", ROOT, index),
    Route("POST", ROOT, create, Create, until="2.14"),
    Route("POST", ROOT, create, Create215, since="2.15", until="2.63"),
    Route("POST", ROOT, create, Create264, since="2.64"),
    Route("GET", ROOT + "/{group_id}", show),
    Route("DELETE", ROOT + "/{group_id}", delete, status=204),
)
