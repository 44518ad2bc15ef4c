"""Policies kept for services that ask for them (/v3/policies), and the endpoints, services and regions they are for.

They rule nothing in this cloud, whose rules come from its own policy.yaml.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.identity.service.words import merged, not_found
from pileus.identity.store import places, rows
from pileus.identity.store.records import Endpoint, Policy, Region, Service
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import NotFound


@dataclass(frozen=True)
class Place:
    """What a policy is for: an endpoint, or a service, everywhere or in one region."""

    endpoint_id: str = ""
    service_id: str = ""
    region_id: str = ""

    @property
    def name(self) -> str:
        """The word for it in the names of rules."""
        return "endpoint" if self.endpoint_id else "region_and_service" if self.region_id else "service"


def list_(ctx: Context, where: Mapping[str, Any]) -> list[Policy]:
    """Return policies whose attributes equal those given."""
    ctx.require("identity:list_policies", {})
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, Policy, **where)


def get(ctx: Context, policy_id: str) -> Policy:
    """Return a policy.

    :raises NotFound: when there is none.
    """
    ctx.require("identity:get_policy", {})
    with ctx.cloud.db.read() as tx:
        return _policy(tx, policy_id)


def create(ctx: Context, values: Mapping[str, Any]) -> Policy:
    """Keep a policy."""
    ctx.require("identity:create_policy", {})
    made = Policy(ids.hex_id(), **values)
    with ctx.cloud.db.begin() as tx:
        rows.add(tx, made, "policy", "Duplicate entry.")
    return made


def update(ctx: Context, policy_id: str, values: Mapping[str, Any]) -> Policy:
    """Change a policy."""
    ctx.require("identity:update_policy", {})
    with ctx.cloud.db.begin() as tx:
        old = _policy(tx, policy_id)
        rows.change(tx, Policy, policy_id, merged({"extra": old.extra}, values))
        return _policy(tx, policy_id)


def delete(ctx: Context, policy_id: str) -> None:
    """Delete a policy."""
    ctx.require("identity:delete_policy", {})
    with ctx.cloud.db.begin() as tx:
        _policy(tx, policy_id)
        rows.drop(tx, Policy, id=policy_id)


def associate(ctx: Context, policy_id: str, place: Place) -> None:
    """Have a policy be the one for a place."""
    ctx.require(f"identity:create_policy_association_for_{place.name}", {})
    with ctx.cloud.db.begin() as tx:
        _policy(tx, policy_id)
        _check(tx, place)
        places.put(tx, policy_id, place.endpoint_id, place.service_id, place.region_id)


def check(ctx: Context, policy_id: str, place: Place) -> None:
    """Tell whether a policy is the one for a place.

    :raises NotFound: when it is not.
    """
    ctx.require(f"identity:check_policy_association_for_{place.name}", {})
    with ctx.cloud.db.read() as tx:
        _policy(tx, policy_id)
        _check(tx, place)
        if places.policy_at(tx, place.endpoint_id, place.service_id, place.region_id) != policy_id:
            raise NotFound("Could not find policy association.")


def dissociate(ctx: Context, policy_id: str, place: Place) -> None:
    """Have a policy not be for a place any more."""
    ctx.require(f"identity:delete_policy_association_for_{place.name}", {})
    with ctx.cloud.db.begin() as tx:
        _policy(tx, policy_id)
        _check(tx, place)
        places.take(tx, policy_id, place.endpoint_id, place.service_id, place.region_id)


def for_endpoint(ctx: Context, endpoint_id: str) -> Policy:
    """Return the policy for an endpoint: its own, else that of its service in its region or one above, else its service's.

    :raises NotFound: when there is none.
    """
    ctx.require("identity:get_policy_for_endpoint", {})
    with ctx.cloud.db.read() as tx:
        endpoint = rows.get(tx, Endpoint, endpoint_id)
        if endpoint is None:
            raise not_found("endpoint", endpoint_id)
        found = _policy_of(tx, endpoint)
        if found is None:
            raise NotFound(f"No policy is associated with endpoint {endpoint_id}.")
        return _policy(tx, found)


def endpoints_of(ctx: Context, policy_id: str) -> list[Endpoint]:
    """Return the endpoints that a policy is for."""
    ctx.require("identity:list_endpoints_for_policy", {})
    with ctx.cloud.db.read() as tx:
        _policy(tx, policy_id)
        return [endpoint for endpoint in rows.find(tx, Endpoint) if _policy_of(tx, endpoint) == policy_id]


def _policy_of(tx: Connection, endpoint: Endpoint) -> str | None:
    found = places.policy_at(tx, endpoint.id, "", "")
    region_id = endpoint.region_id
    while found is None and region_id:
        found = places.policy_at(tx, "", endpoint.service_id, region_id)
        region = rows.get(tx, Region, region_id)
        region_id = region.parent_region_id if region else None
    return found or places.policy_at(tx, "", endpoint.service_id, "")


def _check(tx: Connection, place: Place) -> None:
    wanted = (
        (Endpoint, "endpoint", place.endpoint_id),
        (Service, "service", place.service_id),
        (Region, "region", place.region_id),
    )
    for kind, name, id in wanted:
        if id and rows.get(tx, kind, id) is None:
            raise not_found(name, id)


def _policy(tx: Connection, policy_id: str) -> Policy:
    found = rows.get(tx, Policy, policy_id)
    if found is None:
        raise not_found("policy", policy_id)
    return found
