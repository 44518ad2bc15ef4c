"""/v3/volumes/{volume_id}/metadata"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pileus.kernel.http import Answer, Call, Route
from pileus.volume.schemas.volumes import MetaBody, MetadataBody
from pileus.volume.service import volume_metadata as service

ALL = "/v3/volumes/{volume_id}/metadata"
ONE = ALL + "/{key}"


def index(call: Call) -> Any:
    found = service.get(call.ctx, call.path["volume_id"])
    headers = {"Etag": f'"{etag(found)}"'} if call.since("3.15") else {}
    return Answer({"metadata": found}, headers=headers)


def create(call: Call) -> Any:
    return {"metadata": service.put(call.ctx, call.path["volume_id"], call.body.metadata, rule="create")}


def replace(call: Call) -> Any:
    expected = _expected(call)
    return {"metadata": service.put(call.ctx, call.path["volume_id"], call.body.metadata, replace=True, expected=expected)}


def show(call: Call) -> Any:
    key = call.path["key"]
    return {"meta": {key: service.get_one(call.ctx, call.path["volume_id"], key)}}


def update(call: Call) -> Any:
    call.require_one(call.body.meta)
    service.put(call.ctx, call.path["volume_id"], call.body.meta, expected=_expected(call))
    return {"meta": call.body.meta}


def delete(call: Call) -> None:
    service.drop(call.ctx, call.path["volume_id"], call.path["key"])


def etag(metadata: Mapping[str, str]) -> str:
    """Return what tells one state of the metadata from another."""
    return hashlib.md5(json.dumps(metadata, sort_keys=True).encode(), usedforsecurity=False).hexdigest()


def _expected(call: Call) -> dict[str, str] | None:
    """Return the metadata that the caller wants to change (3.15), or None where any will do."""
    wanted = call.headers.get("if-match", "")
    if not wanted or wanted.strip() == "*" or not call.since("3.15"):
        return None
    found = service.get(call.ctx, call.path["volume_id"])
    return found if etag(found) in [part.strip().strip('"') for part in wanted.split(",")] else {"": ""}


routes = (
    Route("GET", ALL, index),
    Route("POST", ALL, create, MetadataBody),
    Route("PUT", ALL, replace, MetadataBody),
    Route("GET", ONE, show),
    Route("PUT", ONE, update, MetaBody),
    Route("DELETE", ONE, delete),
)
