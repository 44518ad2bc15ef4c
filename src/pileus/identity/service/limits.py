"""Unified limits: how much of a resource a project may use, registered by service, with exceptions for projects and domains.

They are kept for services that ask for them: oslo.limit over the API, this cloud's images by `effective`.  Compute, network and
volumes have quotas of their own, unless the setting `unified_limits` names them (`unified`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.identity.service.words import not_found
from pileus.identity.store import rows
from pileus.identity.store.records import Limit, Project, Region, RegisteredLimit, Service
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Forbidden


@dataclass(frozen=True)
class Full:
    """A limit and the registered one that it is an exception of."""

    limit: Limit
    registered: RegisteredLimit


def require_model(ctx: Context) -> None:
    """Check that the caller may know how limits are enforced."""
    ctx.require("identity:get_limit_model", {})


def list_registered(ctx: Context, where: Mapping[str, Any]) -> list[RegisteredLimit]:
    """Return registered limits whose attributes equal those given."""
    ctx.require("identity:list_registered_limits", {})
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, RegisteredLimit, **where)


def get_registered(ctx: Context, limit_id: str) -> RegisteredLimit:
    """Return a registered limit.

    :raises NotFound: when there is none.
    """
    ctx.require("identity:get_registered_limit", {})
    with ctx.cloud.db.read() as tx:
        return _registered(tx, limit_id)


def register(ctx: Context, wanted: Sequence[Mapping[str, Any]]) -> list[RegisteredLimit]:
    """Register limits: all of them or none.

    :raises Conflict: when one is registered.
    """
    ctx.require("identity:create_registered_limits", {})
    made = [RegisteredLimit(ids.hex_id(), **_plain(values)) for values in wanted]
    with ctx.cloud.db.begin() as tx:
        for limit in made:
            _check_place(tx, limit)
            rows.add(tx, limit, "registered_limit", "Duplicate entry.")
    return made


def update_registered(ctx: Context, limit_id: str, values: Mapping[str, Any]) -> RegisteredLimit:
    """Change a registered limit; what it is of only while it has no exceptions.

    :raises Forbidden: when it has.
    """
    ctx.require("identity:update_registered_limit", {})
    with ctx.cloud.db.begin() as tx:
        _registered(tx, limit_id)
        if set(values) - {"default_limit", "description"}:
            _require_alone(tx, limit_id)
        rows.change(tx, RegisteredLimit, limit_id, _plain(values), "registered_limit", "Duplicate entry.")
        changed = _registered(tx, limit_id)
        _check_place(tx, changed)
        return changed


def unregister(ctx: Context, limit_id: str) -> None:
    """Delete a registered limit.

    :raises Forbidden: when it has exceptions.
    """
    ctx.require("identity:delete_registered_limit", {})
    with ctx.cloud.db.begin() as tx:
        _registered(tx, limit_id)
        _require_alone(tx, limit_id)
        rows.drop(tx, RegisteredLimit, id=limit_id)


def list_(ctx: Context, where: Mapping[str, Any]) -> list[Full]:
    """Return limits whose attributes equal those given, of those the caller may see: all, or their own project's or domain's."""
    ctx.require("identity:list_limits", {})
    own = {name: where[name] for name in ("project_id", "domain_id") if name in where}
    others = {name: value for name, value in where.items() if name not in own}
    with ctx.cloud.db.read() as tx:
        known = {limit.id: limit for limit in rows.find(tx, RegisteredLimit, **others)}
        found = [Full(limit, known[limit.registered_limit_id]) for limit in rows.find(tx, Limit, **own)
                 if limit.registered_limit_id in known]  # fmt: skip
    return [full for full in found if ctx.can("identity:get_limit", _target(full.limit))]


def get(ctx: Context, limit_id: str) -> Full:
    """Return a limit.

    :raises NotFound: when there is none.
    """
    with ctx.cloud.db.read() as tx:
        limit = rows.get(tx, Limit, limit_id)
        ctx.require("identity:get_limit", _target(limit) if limit else {})
        return _full(tx, limit_id)


def create(ctx: Context, wanted: Sequence[Mapping[str, Any]]) -> list[Full]:
    """Make exceptions of registered limits: all of them or none.

    :raises Forbidden: when there is no such registered limit.
    :raises Conflict: when there is one of that project or domain.
    """
    ctx.require("identity:create_limits", {})
    made = []
    with ctx.cloud.db.begin() as tx:
        for values in wanted:
            given = _plain(values)
            place = {name: given.pop(name, "") for name in ("service_id", "region_id", "resource_name")}
            if bool(given.get("project_id")) == bool(given.get("domain_id")):
                raise BadRequest("Exactly one of project_id and domain_id is to be given.")
            for name in ("project_id", "domain_id"):
                owner = rows.get(tx, Project, given[name]) if given.get(name) else None
                if given.get(name) and (owner is None or owner.is_domain != (name == "domain_id")):
                    raise not_found(name.removesuffix("_id"), given[name])
            registered = rows.first(tx, RegisteredLimit, **place)
            if registered is None:
                raise Forbidden("Unable to create a limit that has no corresponding registered limit.")
            limit = Limit(ids.hex_id(), registered_limit_id=registered.id, **given)
            rows.add(tx, limit, "limit", "Duplicate entry.")
            made.append(Full(limit, registered))
    return made


def update(ctx: Context, limit_id: str, values: Mapping[str, Any]) -> Full:
    """Change a limit."""
    ctx.require("identity:update_limit", {})
    with ctx.cloud.db.begin() as tx:
        _full(tx, limit_id)
        rows.change(tx, Limit, limit_id, dict(values))
        return _full(tx, limit_id)


def delete(ctx: Context, limit_id: str) -> None:
    """Delete a limit: the registered one holds again."""
    ctx.require("identity:delete_limit", {})
    with ctx.cloud.db.begin() as tx:
        _full(tx, limit_id)
        rows.drop(tx, Limit, id=limit_id)


def effective(tx: Connection, service_type: str, region_id: str, project_id: str) -> dict[str, int]:
    """Return the limits that hold for a project in a service, by resource; those not registered are not limited.

    Limits of the region come before those of every region, the project's own before the registered.  For other services: checks
    no rule.
    """
    services = [service.id for service in rows.find(tx, Service, type=service_type)]
    registered = rows.find(tx, RegisteredLimit, service_id=services, region_id=["", region_id]) if services else []
    if not registered:
        return {}
    own = {limit.registered_limit_id: limit.resource_limit for limit in rows.find(tx, Limit, project_id=project_id)}
    every_region_first = sorted(registered, key=lambda limit: limit.region_id != "")
    found = {limit.resource_name: limit.default_limit for limit in every_region_first}
    return found | {limit.resource_name: own[limit.id] for limit in every_region_first if limit.id in own}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return columns for values: every region is "" (so that unique constraints hold)."""
    return {name: ("" if name == "region_id" and value is None else value) for name, value in values.items()}


def _target(limit: Limit) -> dict[str, str | None]:
    return {"target.limit.project_id": limit.project_id or None, "target.limit.domain_id": limit.domain_id or None}


def _check_place(tx: Connection, limit: RegisteredLimit) -> None:
    if rows.get(tx, Service, limit.service_id) is None:
        raise BadRequest(f"Could not find service: {limit.service_id}.")
    if limit.region_id and rows.get(tx, Region, limit.region_id) is None:
        raise BadRequest(f"Could not find region: {limit.region_id}.")


def _require_alone(tx: Connection, limit_id: str) -> None:
    if rows.find(tx, Limit, registered_limit_id=limit_id):
        raise Forbidden(
            f"Unable to update or delete registered limit {limit_id} because there are project limits associated with it."
        )


def _registered(tx: Connection, limit_id: str) -> RegisteredLimit:
    found = rows.get(tx, RegisteredLimit, limit_id)
    if found is None:
        raise not_found("registered limit", limit_id)
    return found


def _full(tx: Connection, limit_id: str) -> Full:
    found = rows.get(tx, Limit, limit_id)
    if found is None:
        raise not_found("limit", limit_id)
    return Full(found, _registered(tx, found.registered_limit_id))
