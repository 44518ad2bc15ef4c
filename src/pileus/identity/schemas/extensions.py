"""Endpoint groups, kept policies, limits, and the options of a domain."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.identity.schemas.fields import Id, Name, Text, self_link
from pileus.identity.service.limits import Full
from pileus.identity.store.records import EndpointGroup, Policy, RegisteredLimit

RegionId = Annotated[str, Meta(min_length=1, max_length=255)]
Count = Annotated[int, Meta(ge=-1, le=2**31 - 1)]


class GroupCreate(Struct, kw_only=True):
    """An endpoint group to make."""

    name: Name
    filters: dict[str, str]
    description: Text | UnsetType | None = UNSET


class GroupCreateBody(Struct):
    """The body of a create."""

    endpoint_group: GroupCreate


class GroupUpdate(Struct, kw_only=True):
    """Changes of an endpoint group."""

    name: Name | UnsetType = UNSET
    filters: dict[str, str] | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET


class GroupUpdateBody(Struct):
    """The body of an update."""

    endpoint_group: GroupUpdate


class PolicyCreate(Struct, kw_only=True):
    """A policy to keep."""

    blob: Any
    type: Name


class PolicyCreateBody(Struct):
    """The body of a create."""

    policy: PolicyCreate


class PolicyUpdate(Struct, kw_only=True):
    """Changes of a policy."""

    blob: Any = UNSET
    type: Name | UnsetType = UNSET


class PolicyUpdateBody(Struct):
    """The body of an update."""

    policy: PolicyUpdate


class RegisteredCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """A limit to register."""

    service_id: Id
    resource_name: Name
    default_limit: Count
    region_id: RegionId | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET


class RegisteredCreateBody(Struct):
    """The body of a create."""

    registered_limits: Annotated[list[RegisteredCreate], Meta(min_length=1)]


class RegisteredUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Changes of a registered limit."""

    service_id: Id | UnsetType = UNSET
    resource_name: Name | UnsetType = UNSET
    default_limit: Count | UnsetType = UNSET
    region_id: RegionId | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET


class RegisteredUpdateBody(Struct):
    """The body of an update."""

    registered_limit: RegisteredUpdate


class LimitCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """A limit of a project or domain."""

    service_id: Id
    resource_name: Name
    resource_limit: Count
    project_id: Id | UnsetType = UNSET
    domain_id: Id | UnsetType = UNSET
    region_id: RegionId | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET


class LimitCreateBody(Struct):
    """The body of a create."""

    limits: Annotated[list[LimitCreate], Meta(min_length=1)]


class LimitUpdate(Struct, kw_only=True, forbid_unknown_fields=True):
    """Changes of a limit."""

    resource_limit: Count | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET


class LimitUpdateBody(Struct):
    """The body of an update."""

    limit: LimitUpdate


class ConfigBody(Struct):
    """The options of a domain, by group; where the URL names one option, its value."""

    config: dict[str, Any]


def show_group(group: EndpointGroup, base_url: str) -> dict[str, Any]:
    """Return an endpoint group as shown."""
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "filters": group.filters,
        "links": self_link(base_url, f"OS-EP-FILTER/endpoint_groups/{group.id}"),
    }


def show_policy(policy: Policy, base_url: str) -> dict[str, Any]:
    """Return a policy as shown."""
    return {
        **policy.extra,
        "id": policy.id,
        "type": policy.type,
        "blob": policy.blob,
        "links": self_link(base_url, f"policies/{policy.id}"),
    }


def show_registered(limit: RegisteredLimit, base_url: str) -> dict[str, Any]:
    """Return a registered limit as shown."""
    return {
        "id": limit.id,
        "service_id": limit.service_id,
        "region_id": limit.region_id or None,
        "resource_name": limit.resource_name,
        "default_limit": limit.default_limit,
        "description": limit.description,
        "links": self_link(base_url, f"registered_limits/{limit.id}"),
    }


def show_limit(full: Full, base_url: str) -> dict[str, Any]:
    """Return a limit as shown."""
    limit, registered = full.limit, full.registered
    return {
        "id": limit.id,
        "project_id": limit.project_id or None,
        "domain_id": limit.domain_id or None,
        "service_id": registered.service_id,
        "region_id": registered.region_id or None,
        "resource_name": registered.resource_name,
        "resource_limit": limit.resource_limit,
        "description": limit.description,
        "links": self_link(base_url, f"limits/{limit.id}"),
    }
