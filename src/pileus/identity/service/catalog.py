"""The catalog: regions, services, endpoints, and the view of them that goes into tokens.

URLs are kept as templates and filled in when read: $(public_url)s is the base URL of the cloud out of the settings,
$(own_url)sPATH|PORT/PATH one of the cloud's own APIs (its path there, and on its well-known port), $(project_id)s the
project of whoever asks.  So a changed listen address needs no change of rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from pileus.identity.service.words import merged, not_found
from pileus.identity.state import state_of
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import Endpoint, EndpointGroup, Region, Service
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden
from pileus.kernel.settings import Settings

INTERFACES = ("public", "internal", "admin")
PUBLIC_URL = "$(public_url)s"
OWN_URL = "$(own_url)s"
PROJECT_VARIABLES = ("$(project_id)s", "%(project_id)s", "$(tenant_id)s", "%(tenant_id)s")


@dataclass(frozen=True)
class Listed:
    """One of the cloud's own services.

    :param path: of its API under the base URL.
    :param classic: port and path on its well-known port.
    """

    type: str
    name: str
    path: str
    classic: str
    description: str = ""


OWN = (
    Listed("identity", "keystone", "/identity", "5000"),
    Listed("image", "glance", "/image", "9292"),
    Listed("compute", "nova", "/compute/v2.1", "8774/v2.1"),
    Listed("network", "neutron", "/network", "9696"),
    Listed("placement", "placement", "/placement", "8778"),
)


def ensure_service(tx: Connection, cloud: Cloud, listed: Listed) -> None:
    """Put one of the cloud's own services into the catalog unless its type is there.  For bundles' bootstraps."""
    if rows.first(tx, Service, type=listed.type) is not None:
        return
    service = Service(ids.hex_id(), listed.type, listed.name, listed.description or None)
    rows.add(tx, service, "service", listed.type)
    region_id = cloud.settings.region
    if rows.get(tx, Region, region_id) is None:
        rows.add(tx, Region(region_id), "region", region_id)
    url = f"{OWN_URL}{listed.path}|{listed.classic}"
    for interface in INTERFACES:
        rows.add(tx, Endpoint(ids.hex_id(), service.id, interface, url, region_id), "endpoint", listed.type)
    revisions.bump(tx)


def base_url(settings: Settings, template: str) -> str:
    """Return an endpoint's URL with the cloud's own address filled in; variables of the caller stay."""
    if template.startswith(OWN_URL):
        path, _, classic = template.removeprefix(OWN_URL).partition("|")
        if settings.classic_ports and classic:
            return f"http://{_host(settings)}:{classic}"
        template = PUBLIC_URL + path
    return template.replace(PUBLIC_URL, public_url(settings))


def resolve(settings: Settings, template: str, project_id: str) -> str | None:
    """Fill in an endpoint's URL; None when it needs a project and there is none."""
    url = base_url(settings, template)
    for variable in PROJECT_VARIABLES:
        if variable in url:
            if not project_id:
                return None
            url = url.replace(variable, project_id)
    return url


def public_url(settings: Settings) -> str:
    """Return the base URL of the cloud."""
    if "://" in settings.public_host:
        return settings.public_host.rstrip("/")
    port = settings.listen.rpartition(":")[2]
    return f"http://{_host(settings)}" + (f":{port}" if ":" not in settings.public_host.rpartition("]")[2] else "")


def _host(settings: Settings) -> str:
    if "://" in settings.public_host:
        return urlsplit(settings.public_host).hostname or "127.0.0.1"
    host = settings.public_host or settings.listen.rpartition(":")[0]
    return "127.0.0.1" if host in ("", "0.0.0.0", "[::]") else host


def for_token(cloud: Cloud, project_id: str) -> list[dict[str, Any]]:
    """Return the catalog as it stands in tokens: enabled endpoints of enabled services."""
    view = state_of(cloud).view(cloud)
    known: list[dict[str, Any]] | None = view.catalogs.get(project_id)
    if known is None:
        with cloud.db.read() as tx:
            known = _build(tx, cloud.settings, project_id)
        view.keep(view.catalogs, project_id, known)
    return known


def _build(tx: Connection, settings: Settings, project_id: str) -> list[dict[str, Any]]:
    services = {service.id: service for service in rows.find(tx, Service, enabled=True)}
    found: dict[str, dict[str, Any]] = {
        service.id: {"id": service.id, "type": service.type, "name": service.name, "endpoints": []}
        for service in services.values()
    }
    chosen = filtered(tx, project_id)
    for endpoint in rows.find(tx, Endpoint, enabled=True):
        if chosen is not None and endpoint.id not in chosen:
            continue
        url = resolve(settings, endpoint.url, project_id)
        if url is not None and endpoint.service_id in found:
            found[endpoint.service_id]["endpoints"].append(
                {
                    "id": endpoint.id,
                    "interface": endpoint.interface,
                    "region_id": endpoint.region_id,
                    "region": endpoint.region_id,
                    "url": url,
                }
            )
    return list(found.values())


def filtered(tx: Connection, project_id: str) -> set[str] | None:
    """Return the endpoints that a project was given, alone or by groups; None: none in particular, so that it sees all."""
    if not project_id:
        return None
    given, group_ids = links.project_endpoint_ids(tx, project_id), links.project_group_ids(tx, project_id)
    if not given and not group_ids:
        return None
    groups = rows.find(tx, EndpointGroup, id=group_ids)
    return {*given, *(endpoint.id for group in groups for endpoint in rows.find(tx, Endpoint, **group.filters))}


def url_for(cloud: Cloud, type: str, project_id: str = "", interface: str = "public", region: str = "") -> str | None:
    """Return the URL of a service; None when it is not in the catalog.  For other services: checks no rule.

    :param region: the region that it is to be in; empty: any.
    """
    for entry in for_token(cloud, project_id):
        if entry["type"] == type:
            for endpoint in entry["endpoints"]:
                if endpoint["interface"] == interface and region in ("", endpoint["region"]):
                    return str(endpoint["url"])
    return None


def own_catalog(ctx: Context) -> list[dict[str, Any]]:
    """Return the catalog of the caller's scope.

    :raises Forbidden: when their token is for no project.
    """
    ctx.require("identity:get_auth_catalog")
    if not ctx.project_id:
        raise Forbidden("A project-scoped token is required to produce a service catalog.")
    return for_token(ctx.cloud, ctx.project_id)


# regions


def list_regions(ctx: Context, where: Mapping[str, Any]) -> list[Region]:
    """Return the regions."""
    ctx.require("identity:list_regions")
    with ctx.cloud.db.read() as tx:
        return rows.find(tx, Region, **where)


def get_region(ctx: Context, region_id: str) -> Region:
    """Return a region.

    :raises NotFound: when there is none.
    """
    ctx.require("identity:get_region")
    with ctx.cloud.db.read() as tx:
        return _region(tx, region_id)


def create_region(ctx: Context, values: Mapping[str, Any]) -> Region:
    """Make a region.

    :raises Conflict: when there is one of that id.
    """
    ctx.require("identity:create_region")
    given = dict(values)
    region = Region(given.pop("id", None) or ids.hex_id(), **given)
    with ctx.cloud.db.begin() as tx:
        if rows.get(tx, Region, region.id):
            raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {region.id}.")
        if region.parent_region_id:
            _region(tx, region.parent_region_id)
        rows.add(tx, region, "region", f"Duplicate ID, {region.id}.")
        revisions.bump(tx)
    return region


def update_region(ctx: Context, region_id: str, values: Mapping[str, Any]) -> Region:
    """Change a region.

    :raises BadRequest: when its parent would lie below it.
    """
    ctx.require("identity:update_region")
    with ctx.cloud.db.begin() as tx:
        region = _region(tx, region_id)
        parent_id = values.get("parent_region_id")
        while parent_id:
            if parent_id == region_id:
                raise BadRequest(
                    f"The specified parent region {values['parent_region_id']} would create a circular region hierarchy."
                )
            parent_id = _region(tx, parent_id).parent_region_id
        rows.change(tx, Region, region_id, merged({"extra": region.extra}, values))
        revisions.bump(tx)
        return _region(tx, region_id)


def delete_region(ctx: Context, region_id: str) -> None:
    """Delete a region and those below it.

    :raises Forbidden: when one of them has endpoints.
    """
    ctx.require("identity:delete_region")
    with ctx.cloud.db.begin() as tx:
        _region(tx, region_id)
        doomed = [region_id]
        for parent_id in doomed:
            doomed.extend(region.id for region in rows.find(tx, Region, parent_region_id=parent_id))
        if rows.find(tx, Endpoint, region_id=doomed):
            raise Forbidden(f"Unable to delete region {region_id} because it or its child regions have associated endpoints.")
        rows.drop(tx, Region, id=doomed)
        revisions.bump(tx)


def _region(tx: Connection, region_id: str) -> Region:
    region = rows.get(tx, Region, region_id)
    if region is None:
        raise not_found("region", region_id)
    return region
