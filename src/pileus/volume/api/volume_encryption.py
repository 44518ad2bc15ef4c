"""/v3/volumes/{volume_id}/encryption"""

from typing import Any

from pileus.kernel.errors import NotFound
from pileus.kernel.http import Call, Route
from pileus.volume.service import volume_encryption

ALL = "/v3/volumes/{volume_id}/encryption"


def index(call: Call) -> Any:
    return volume_encryption.show(call.ctx, call.path["volume_id"])


def show(call: Call) -> Any:
    found = volume_encryption.show(call.ctx, call.path["volume_id"])
    if call.path["key"] not in found:
        raise NotFound(f"There is no encryption metadata {call.path['key']}.")
    return found[call.path["key"]]


routes = (
    Route("GET", ALL, index),
    Route("GET", ALL + "/{key}", show),
)
