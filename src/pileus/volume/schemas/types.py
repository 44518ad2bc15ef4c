"""Volume types, their specs, access and encryption, as they are asked for and shown."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from pileus.kernel.errors import BadRequest
from pileus.volume.schemas.fields import (
    Bool,
    Description,
    Name,
    SpecKey,
    Text255,
    TightKey,
    read_bool,
    read_int,
    show_time,
)
from pileus.volume.service.types import Sight
from pileus.volume.store.types import Encryption, Type

Project = Annotated[str, Meta(min_length=1, max_length=255)]


class _New(Struct, forbid_unknown_fields=True):
    name: Name
    description: Description = None
    extra_specs: dict[SpecKey, Text255 | None] = {}
    is_public: Bool = field(default=True, name="os-volume-type-access:is_public")


class Create(Struct, forbid_unknown_fields=True):
    volume_type: _New


class _Changes(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    description: Description = None
    is_public: Bool | None = None


class Update(Struct, forbid_unknown_fields=True):
    volume_type: _Changes


class _Access(Struct, forbid_unknown_fields=True):
    project: Project


class Action(Struct, forbid_unknown_fields=True):
    """Exactly one of them."""

    add: _Access | UnsetType = field(default=UNSET, name="addProjectAccess")
    remove: _Access | UnsetType = field(default=UNSET, name="removeProjectAccess")


Specs = dict[TightKey, Text255 | None]


class CreateSpecs(Struct, forbid_unknown_fields=True):
    extra_specs: Specs


class _NewEncryption(Struct):
    provider: Text255
    control_location: Literal["front-end", "back-end"]
    cipher: Text255 | None = None
    key_size: int | str | None = None


class CreateEncryption(Struct, forbid_unknown_fields=True):
    encryption: _NewEncryption


class _EncryptionChanges(Struct):
    provider: Text255 | UnsetType = UNSET
    control_location: Literal["front-end", "back-end"] | UnsetType = UNSET
    cipher: Text255 | UnsetType | None = UNSET
    key_size: int | str | UnsetType | None = UNSET


class UpdateEncryption(Struct, forbid_unknown_fields=True):
    encryption: _EncryptionChanges


class _Default(Struct, forbid_unknown_fields=True):
    volume_type: Name


class SetDefault(Struct, forbid_unknown_fields=True):
    default_type: _Default


def read_create(body: Create) -> dict[str, Any]:
    """Return the columns of a new type."""
    asked = body.volume_type
    return {
        "name": asked.name,
        "description": asked.description,
        "is_public": read_bool(asked.is_public),
        "extra_specs": asked.extra_specs,
    }


def read_update(body: Update) -> dict[str, Any]:
    """Return the columns that are to change; None stays.

    :raises BadRequest: when none is, or the name is empty.
    """
    asked = body.volume_type
    if asked.name is not None and not asked.name.strip():
        raise BadRequest("Volume type name can not be empty.")
    if asked.name is None and asked.description is None and asked.is_public is None:
        raise BadRequest("Specify volume type name, description, is_public or a combination thereof.")
    is_public = None if asked.is_public is None else read_bool(asked.is_public)
    return {"name": asked.name, "description": asked.description, "is_public": is_public}


def read_encryption(asked: _NewEncryption | _EncryptionChanges) -> dict[str, Any]:
    """Return the columns of a type's encryption that are given.

    :raises BadRequest: when the size of the key is no number.
    """
    names = ("provider", "control_location", "cipher", "key_size")
    given = {name: getattr(asked, name) for name in names if getattr(asked, name) is not UNSET}
    if given.get("key_size") is not None:
        given["key_size"] = read_int(given["key_size"], "key_size")
    return given


def show(kind: Type, sight: Sight) -> dict[str, Any]:
    """Show what a caller sees of a type."""
    shown: dict[str, Any] = {
        "id": kind.id,
        "name": kind.name,
        "is_public": kind.is_public,
        "description": kind.description,
    }
    if sight.specs:
        shown["extra_specs"] = sight.visible(kind.extra_specs)
    if sight.qos:
        shown["qos_specs_id"] = kind.qos_specs_id
    if sight.access:
        shown["os-volume-type-access:is_public"] = kind.is_public
    return shown


def show_changed(kind: Type) -> dict[str, Any]:
    """Show a type to who made or changed it."""
    return {
        "id": kind.id,
        "name": kind.name,
        "is_public": kind.is_public,
        "description": kind.description,
        "extra_specs": kind.extra_specs,
    }


def show_encryption(type_id: str, encryption: Encryption) -> dict[str, Any]:
    """Show how a type encrypts."""
    return {
        **show_made_encryption(type_id, encryption),
        "created_at": show_time(encryption.created_at),
        "updated_at": show_time(encryption.updated_at),
        "deleted_at": None,
        "deleted": False,
    }


def show_made_encryption(type_id: str, encryption: Encryption) -> dict[str, Any]:
    """Show what was made of a wish for encryption."""
    return {
        "volume_type_id": type_id,
        "encryption_id": encryption.id,
        "provider": encryption.provider,
        "cipher": encryption.cipher,
        "key_size": encryption.key_size_bits,
        "control_location": encryption.control_location,
    }


def show_default(project_id: str, type_id: str) -> Mapping[str, str]:
    """Show a project's own default type."""
    return {"project_id": project_id, "volume_type_id": type_id}
