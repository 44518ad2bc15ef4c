"""Regions, services and endpoints."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.identity.schemas.fields import Id, Name, Text, Url, self_link
from pileus.identity.store.records import Endpoint, Region, Service

RegionId = Annotated[str, Meta(max_length=255)]
Interface = Literal["public", "internal", "admin"]


class RegionCreate(Struct, kw_only=True):
    """A region to make."""

    id: RegionId | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    parent_region_id: RegionId | UnsetType | None = UNSET


class RegionCreateBody(Struct):
    """The body of a create."""

    region: RegionCreate


class RegionUpdate(Struct, kw_only=True):
    """Changes of a region."""

    description: Text | UnsetType | None = UNSET
    parent_region_id: RegionId | UnsetType | None = UNSET


class RegionUpdateBody(Struct):
    """The body of an update."""

    region: RegionUpdate


class ServiceCreate(Struct, kw_only=True):
    """A service to make."""

    type: Name
    name: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class ServiceCreateBody(Struct):
    """The body of a create."""

    service: ServiceCreate


class ServiceUpdate(Struct, kw_only=True):
    """Changes of a service."""

    type: Name | UnsetType = UNSET
    name: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class ServiceUpdateBody(Struct):
    """The body of an update."""

    service: ServiceUpdate


class EndpointCreate(Struct, kw_only=True):
    """An endpoint to make."""

    service_id: Id
    interface: Interface
    url: Url
    region_id: RegionId | UnsetType | None = UNSET
    region: RegionId | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class EndpointCreateBody(Struct):
    """The body of a create."""

    endpoint: EndpointCreate


class EndpointUpdate(Struct, kw_only=True):
    """Changes of an endpoint."""

    service_id: Id | UnsetType = UNSET
    interface: Interface | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    region_id: RegionId | UnsetType | None = UNSET
    region: RegionId | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class EndpointUpdateBody(Struct):
    """The body of an update."""

    endpoint: EndpointUpdate


def show_region(region: Region, base_url: str) -> dict[str, Any]:
    """Return a region as shown."""
    return {
        **region.extra,
        "id": region.id,
        "description": region.description,
        "parent_region_id": region.parent_region_id,
        "links": self_link(base_url, f"regions/{region.id}"),
    }


def show_service(service: Service, base_url: str) -> dict[str, Any]:
    """Return a service as shown."""
    shown = {
        **service.extra,
        "id": service.id,
        "type": service.type,
        "name": service.name,
        "enabled": service.enabled,
        "links": self_link(base_url, f"services/{service.id}"),
    }
    return shown | ({"description": service.description} if service.description is not None else {})


def show_endpoint(endpoint: Endpoint, url: str, base_url: str) -> dict[str, Any]:
    """Return an endpoint as shown."""
    return {
        **endpoint.extra,
        "id": endpoint.id,
        "interface": endpoint.interface,
        "service_id": endpoint.service_id,
        "region": endpoint.region_id,
        "region_id": endpoint.region_id,
        "url": url,
        "enabled": endpoint.enabled,
        "links": self_link(base_url, f"endpoints/{endpoint.id}"),
    }
