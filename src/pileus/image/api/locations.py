"""Where images' content is: places on the web that are added, stores that have it."""

from typing import Any

from pileus.image.schemas.images import show_location
from pileus.image.service import locations
from pileus.kernel.http import Call, Route


def index(call: Call) -> list[dict[str, Any]]:
    """List the places of an image's content, for services."""
    return [show_location(location) for location in locations.list_(call.ctx, call.path["image_id"])]


def add(call: Call) -> None:
    """Have an image's content be what a place on the web holds."""
    locations.add(call.ctx, call.path["image_id"], call.body)


def delete_from_store(call: Call) -> None:
    """Remove an image's content from one store."""
    locations.delete_from_store(call.ctx, call.path["image_id"], call.path["store_id"])


AT = "/v2/images/{image_id}/locations"
ERRORS = (400, 401, 403, 404, 409)

ROUTES = (
    Route("GET", AT, index, rule="fetch_image_location", errors=(401, 403, 404)),
    Route("POST", AT, add, body=locations.NewPlace, status=202, rule="add_image_location", errors=ERRORS),
    Route(
        "DELETE", "/v2/stores/{store_id}/{image_id}", delete_from_store, status=204, rule="delete_image_location", errors=ERRORS
    ),
)
