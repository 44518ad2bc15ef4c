"""Qualities of service, as they are asked for and shown."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from pileus.kernel.errors import BadRequest
from pileus.volume.schemas.fields import SpecKey, Text255
from pileus.volume.store.qos import Qos

CONSUMER = "back-end"
"""Who keeps a promise when it does not say."""


class Create(Struct, forbid_unknown_fields=True):
    """qos_specs holds a name, perhaps a consumer, and the specs themselves."""

    qos_specs: dict[str, Any]


class Update(Struct, forbid_unknown_fields=True):
    qos_specs: dict[SpecKey, Text255 | None]


class DeleteKeys(Struct, forbid_unknown_fields=True):
    keys: list[Annotated[str, Meta(min_length=1, max_length=255)]]


def read_create(body: Create) -> tuple[str, str, dict[str, str]]:
    """Return name, consumer and specs.

    :raises BadRequest: when one is not as it should be.
    """
    asked = dict(body.qos_specs)
    name = asked.pop("name", None)
    if not isinstance(name, str) or not name.strip():
        raise BadRequest("Invalid input received: An invalid 'name' value was provided. The 'name' can not be empty.")
    if len(name.strip()) > 255:
        raise BadRequest("Invalid input received: The 'name' can not be greater than 255 characters.")
    consumer = asked.pop("consumer", None) or CONSUMER
    return name.strip(), str(consumer), _read_specs(asked)


def read_update(body: Update) -> tuple[str | None, dict[str, str]]:
    """Return consumer and specs that are to change."""
    asked = dict(body.qos_specs)
    consumer = asked.pop("consumer", None)
    return consumer, _read_specs(asked)


def read_keys(body: DeleteKeys) -> list[str]:
    """Return the keys that are to go.

    :raises BadRequest: when one is named twice.
    """
    if len(set(body.keys)) != len(body.keys):
        raise BadRequest(f"Invalid input for field/attribute keys. Value: {body.keys}. {body.keys} has non-unique elements")
    return body.keys


def _read_specs(asked: dict[str, Any]) -> dict[str, str]:
    for key, value in asked.items():
        if not 1 <= len(key) <= 255:
            raise BadRequest(f"Invalid input received: Key '{key}' is not of 1 to 255 characters.")
        if value is not None and (not isinstance(value, str) or len(value) > 255):
            raise BadRequest(f"Invalid input received: The value of '{key}' is not a text of at most 255 characters.")
    return asked


def show(row: Qos) -> dict[str, Any]:
    """Show specs."""
    return {"id": row.id, "name": row.name, "consumer": row.consumer, "specs": row.specs}


def show_types(types: list[tuple[str, str]]) -> dict[str, Any]:
    """Show which types have specs."""
    shown = [{"association_type": "volume_type", "name": name, "id": id} for id, name in types]
    return {"qos_associations": shown}
