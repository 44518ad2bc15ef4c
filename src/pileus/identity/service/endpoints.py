"""Services and endpoints of the catalog, as an operator edits them."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.identity.service.words import merged, not_found
from pileus.identity.store import revisions, rows
from pileus.identity.store.records import Endpoint, Region, Service
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest

VARIABLE = re.compile(r"[$%]\(([^)]*)\)")
VARIABLES = {"public_url", "project_id", "tenant_id", "user_id", "own_url"}


def list_services(ctx: Context, where: Mapping[str, Any]) -> list[Service]:
    """Return services whose attributes equal those given."""
    ctx.require("identity:list_services")
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, Service, **where)


def get_service(ctx: Context, service_id: str) -> Service:
    """Return a service.

    :raises NotFound: when there is none.
    """
    ctx.require("identity:get_service")
    with ctx.cloud.db.read() as tx:
        return _service(tx, service_id)


def create_service(ctx: Context, values: Mapping[str, Any]) -> Service:
    """Make a service."""
    ctx.require("identity:create_service")
    service = Service(ids.hex_id(), **values)
    with ctx.cloud.db.begin() as tx:
        rows.add(tx, service, "service", service.type)
        revisions.bump(tx)
    return service


def update_service(ctx: Context, service_id: str, values: Mapping[str, Any]) -> Service:
    """Change a service."""
    ctx.require("identity:update_service")
    with ctx.cloud.db.begin() as tx:
        service = _service(tx, service_id)
        rows.change(tx, Service, service_id, merged({"extra": service.extra}, values))
        revisions.bump(tx)
        return _service(tx, service_id)


def delete_service(ctx: Context, service_id: str) -> None:
    """Delete a service and its endpoints."""
    ctx.require("identity:delete_service")
    with ctx.cloud.db.begin() as tx:
        _service(tx, service_id)
        rows.drop(tx, Service, id=service_id)
        revisions.bump(tx)


def list_endpoints(ctx: Context, where: Mapping[str, Any]) -> list[Endpoint]:
    """Return endpoints whose attributes equal those given."""
    ctx.require("identity:list_endpoints")
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, Endpoint, **where)


def get_endpoint(ctx: Context, endpoint_id: str) -> Endpoint:
    """Return an endpoint.

    :raises NotFound: when there is none.
    """
    ctx.require("identity:get_endpoint")
    with ctx.cloud.db.read() as tx:
        return _endpoint(tx, endpoint_id)


def create_endpoint(ctx: Context, values: Mapping[str, Any]) -> Endpoint:
    """Make an endpoint; a region named by the older attribute is made when it is missing.

    :raises BadRequest: when the service or region is not there, or the URL cannot be filled in.
    """
    ctx.require("identity:create_endpoint")
    given = dict(values)
    with ctx.cloud.db.begin() as tx:
        given["region_id"] = _settle_region(tx, given)
        endpoint = Endpoint(ids.hex_id(), **given)
        _check(tx, endpoint)
        rows.add(tx, endpoint, "endpoint", endpoint.url)
        revisions.bump(tx)
    return endpoint


def update_endpoint(ctx: Context, endpoint_id: str, values: Mapping[str, Any]) -> Endpoint:
    """Change an endpoint."""
    ctx.require("identity:update_endpoint")
    given = dict(values)
    with ctx.cloud.db.begin() as tx:
        endpoint = _endpoint(tx, endpoint_id)
        if "region" in given or "region_id" in given:
            given["region_id"] = _settle_region(tx, given)
        rows.change(tx, Endpoint, endpoint_id, merged({"extra": endpoint.extra}, given))
        endpoint = _endpoint(tx, endpoint_id)
        _check(tx, endpoint)
        revisions.bump(tx)
        return endpoint


def delete_endpoint(ctx: Context, endpoint_id: str) -> None:
    """Delete an endpoint."""
    ctx.require("identity:delete_endpoint")
    with ctx.cloud.db.begin() as tx:
        _endpoint(tx, endpoint_id)
        rows.drop(tx, Endpoint, id=endpoint_id)
        revisions.bump(tx)


def _settle_region(tx: Connection, given: dict[str, Any]) -> str | None:
    older = given.pop("region", None)
    if given.get("region_id"):
        return str(given["region_id"])
    if older and rows.get(tx, Region, older) is None:
        rows.add(tx, Region(older), "region", older)
    return str(older) if older else None


def _check(tx: Connection, endpoint: Endpoint) -> None:
    if rows.get(tx, Service, endpoint.service_id) is None:
        raise BadRequest(f"Could not find service: {endpoint.service_id}.")
    if endpoint.region_id and rows.get(tx, Region, endpoint.region_id) is None:
        raise BadRequest(f"Could not find region: {endpoint.region_id}.")
    if unknown := set(VARIABLE.findall(endpoint.url)) - VARIABLES:
        raise BadRequest(f"Cannot create an endpoint with an invalid URL: {endpoint.url} ({', '.join(sorted(unknown))}).")


def _service(tx: Connection, service_id: str) -> Service:
    service = rows.get(tx, Service, service_id)
    if service is None:
        raise not_found("service", service_id)
    return service


def _endpoint(tx: Connection, endpoint_id: str) -> Endpoint:
    endpoint = rows.get(tx, Endpoint, endpoint_id)
    if endpoint is None:
        raise not_found("endpoint", endpoint_id)
    return endpoint
