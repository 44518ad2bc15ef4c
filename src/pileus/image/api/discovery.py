"""What this API is and can do: versions, schemas, stores, import methods, usage."""

from typing import Any

from pileus.image import stores
from pileus.image.schemas.documents import SCHEMAS
from pileus.image.schemas.metadefs import METADEF_SCHEMAS
from pileus.image.service import imports, quotas
from pileus.kernel.errors import NotFound
from pileus.kernel.http import Answer, Call, Route

CURRENT = "2.18"
SUPPORTED = (
    "2.17",
    "2.16",
    "2.15",
    "2.14",
    "2.13",
    "2.12",
    "2.11",
    "2.10",
    "2.9",
    "2.8",
    "2.7",
    "2.6",
    "2.5",
    "2.4",
    "2.3",
    "2.2",
    "2.1",
    "2.0",
)


def _versions(call: Call) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{call.base_url}/v2/"}]
    return {
        "versions": [
            {"id": f"v{version}", "status": "CURRENT" if version == CURRENT else "SUPPORTED", "links": links}
            for version in (CURRENT, *SUPPORTED)
        ]
    }


def choices(call: Call) -> Answer:
    """List the versions, as choices."""
    return Answer(_versions(call), status=300)


def versions(call: Call) -> dict[str, Any]:
    """List the versions."""
    return _versions(call)


def schema(call: Call) -> dict[str, Any]:
    """Show a JSON schema."""
    found = SCHEMAS.get(call.path["name"])
    if found is None:
        raise NotFound("The resource could not be found.")
    return found


def import_methods(call: Call) -> dict[str, Any]:
    """Tell how content may be imported."""
    methods = {"description": "Import methods available.", "type": "array", "value": list(imports.METHODS)}
    return {"import-methods": methods}


def list_stores(call: Call) -> dict[str, Any]:
    """List the stores."""
    return {"stores": [_show(call, store) for store in stores.all_of(call.cloud)]}


def list_stores_detail(call: Call) -> dict[str, Any]:
    """List the stores as their operator sees them."""
    call.ctx.require("stores_info_detail")
    shown = [
        {**_show(call, store), "type": store.kind, "properties": store.backend.properties(), "weight": 0}
        for store in stores.all_of(call.cloud)
    ]
    return {"stores": shown}


def _show(call: Call, store: stores.Store) -> dict[str, str]:
    shown = {"id": store.id, "description": store.description}
    if store is stores.default(call.cloud):
        shown["default"] = "true"
    if store.backend.read_only:
        shown["read-only"] = "true"
    return shown


def usage(call: Call) -> dict[str, Any]:
    """Tell what the caller's project uses, and may use."""
    found = quotas.usage(call.ctx)
    return {"usage": {name: {"usage": used, "limit": most} for name, (used, most) in found.items()}}


def metadef_schema(call: Call) -> dict[str, Any]:
    """Show a JSON schema of the metadata catalog."""
    found = METADEF_SCHEMAS.get(call.path["name"])
    if found is None:
        raise NotFound("The resource could not be found.")
    return found


ROUTES = (
    Route("GET", "/", choices, public=True, status=300),
    Route("GET", "/versions", versions, public=True),
    Route("GET", "/v2/schemas/{name}", schema, errors=(401, 404)),
    Route("GET", "/v2/schemas/metadefs/{name}", metadef_schema, errors=(401, 404)),
    Route("GET", "/v2/info/import", import_methods, errors=(401,)),
    Route("GET", "/v2/info/stores", list_stores, errors=(401,)),
    Route("GET", "/v2/info/stores/detail", list_stores_detail, rule="stores_info_detail", errors=(401, 403)),
    Route("GET", "/v2/info/usage", usage, rule="get_images", errors=(401, 403)),
)
