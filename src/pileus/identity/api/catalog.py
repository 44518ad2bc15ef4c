"""/v3/regions, /v3/services, /v3/endpoints"""

from typing import Any

from pileus.identity.api.parts import page, values, where
from pileus.identity.schemas.catalog import (
    EndpointCreateBody,
    EndpointUpdateBody,
    RegionCreateBody,
    RegionUpdateBody,
    ServiceCreateBody,
    ServiceUpdateBody,
    show_endpoint,
    show_region,
    show_service,
)
from pileus.identity.service import catalog, endpoints
from pileus.identity.store.records import Endpoint, Region
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route


def list_regions(call: Call) -> Any:
    """List regions"""
    found = catalog.list_regions(call.ctx, where(call, "parent_region_id"))
    return page(call, "regions", [show_region(region, call.base_url) for region in found])


def create_region(call: Call) -> Any:
    """Create a region"""
    return _region(call, catalog.create_region(call.ctx, values(call, "region", plain_description=True)))


def create_named_region(call: Call) -> Any:
    """Create a region of a chosen id"""
    given = values(call, "region", plain_description=True)
    if given.setdefault("id", call.path["region_id"]) != call.path["region_id"]:
        raise BadRequest("Conflicting region IDs specified: the one in the URL and the one in the body differ.")
    return _region(call, catalog.create_region(call.ctx, given))


def show_one_region(call: Call) -> Any:
    """Show a region"""
    return _region(call, catalog.get_region(call.ctx, call.path["region_id"]))


def update_region(call: Call) -> Any:
    """Update a region"""
    given = values(call, "region", plain_description=True)
    return _region(call, catalog.update_region(call.ctx, call.path["region_id"], given))


def delete_region(call: Call) -> Any:
    """Delete a region"""
    catalog.delete_region(call.ctx, call.path["region_id"])


def _region(call: Call, region: Region) -> dict[str, Any]:
    return {"region": show_region(region, call.base_url)}


def list_services(call: Call) -> Any:
    """List services"""
    found = endpoints.list_services(call.ctx, where(call, "name", "type"))
    return page(call, "services", [show_service(service, call.base_url) for service in found])


def create_service(call: Call) -> Any:
    """Create a service"""
    return {"service": show_service(endpoints.create_service(call.ctx, values(call, "service")), call.base_url)}


def show_one_service(call: Call) -> Any:
    """Show a service"""
    return {"service": show_service(endpoints.get_service(call.ctx, call.path["service_id"]), call.base_url)}


def update_service(call: Call) -> Any:
    """Update a service"""
    changed = endpoints.update_service(call.ctx, call.path["service_id"], values(call, "service"))
    return {"service": show_service(changed, call.base_url)}


def delete_service(call: Call) -> Any:
    """Delete a service and its endpoints"""
    endpoints.delete_service(call.ctx, call.path["service_id"])


def list_endpoints(call: Call) -> Any:
    """List endpoints"""
    limits = where(call, "interface", "service_id", "region_id")
    if "region" in call.query:
        limits["region_id"] = call.query.get("region")
    return page(call, "endpoints", [_shown(call, found) for found in endpoints.list_endpoints(call.ctx, limits)])


def create_endpoint(call: Call) -> Any:
    """Create an endpoint"""
    return {"endpoint": _shown(call, endpoints.create_endpoint(call.ctx, values(call, "endpoint")))}


def show_one_endpoint(call: Call) -> Any:
    """Show an endpoint"""
    return {"endpoint": _shown(call, endpoints.get_endpoint(call.ctx, call.path["endpoint_id"]))}


def update_endpoint(call: Call) -> Any:
    """Update an endpoint"""
    changed = endpoints.update_endpoint(call.ctx, call.path["endpoint_id"], values(call, "endpoint"))
    return {"endpoint": _shown(call, changed)}


def delete_endpoint(call: Call) -> Any:
    """Delete an endpoint"""
    endpoints.delete_endpoint(call.ctx, call.path["endpoint_id"])


def _shown(call: Call, endpoint: Endpoint) -> dict[str, Any]:
    return show_endpoint(endpoint, catalog.base_url(call.cloud.settings, endpoint.url), call.base_url)


def own_catalog(call: Call) -> Any:
    """Show the catalog of the token's scope"""
    return {"catalog": catalog.own_catalog(call.ctx), "links": {"self": call.path_url}}


ROUTES = (
    Route("GET", "/v3/regions", list_regions, rule="identity:list_regions"),
    Route("POST", "/v3/regions", create_region, body=RegionCreateBody, status=201, rule="identity:create_region"),
    Route("GET", "/v3/regions/{region_id}", show_one_region, rule="identity:get_region"),
    Route(
        "PUT", "/v3/regions/{region_id}", create_named_region, body=RegionCreateBody, status=201, rule="identity:create_region"
    ),
    Route("PATCH", "/v3/regions/{region_id}", update_region, body=RegionUpdateBody, rule="identity:update_region"),
    Route("DELETE", "/v3/regions/{region_id}", delete_region, status=204, rule="identity:delete_region"),
    Route("GET", "/v3/services", list_services, rule="identity:list_services"),
    Route("POST", "/v3/services", create_service, body=ServiceCreateBody, status=201, rule="identity:create_service"),
    Route("GET", "/v3/services/{service_id}", show_one_service, rule="identity:get_service"),
    Route("PATCH", "/v3/services/{service_id}", update_service, body=ServiceUpdateBody, rule="identity:update_service"),
    Route("DELETE", "/v3/services/{service_id}", delete_service, status=204, rule="identity:delete_service"),
    Route("GET", "/v3/endpoints", list_endpoints, rule="identity:list_endpoints"),
    Route("POST", "/v3/endpoints", create_endpoint, body=EndpointCreateBody, status=201, rule="identity:create_endpoint"),
    Route("GET", "/v3/endpoints/{endpoint_id}", show_one_endpoint, rule="identity:get_endpoint"),
    Route("PATCH", "/v3/endpoints/{endpoint_id}", update_endpoint, body=EndpointUpdateBody, rule="identity:update_endpoint"),
    Route("DELETE", "/v3/endpoints/{endpoint_id}", delete_endpoint, status=204, rule="identity:delete_endpoint"),
    Route("GET", "/v3/auth/catalog", own_catalog, rule="identity:get_auth_catalog"),
)
