"""Kinds of fields, and how a body becomes the values that use cases take."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")]
ShortName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\S")]
Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9-]+$")]
Tag = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^,/]*$")]
Tags = Annotated[list[Tag], Meta(max_length=80)]
Url = Annotated[str, Meta(min_length=1, max_length=225, pattern=r"^[a-zA-Z0-9+.-]+:.+")]
Text = Annotated[str, Meta(max_length=65_535)]


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """Options of projects, domains and roles."""

    immutable: bool | UnsetType | None = UNSET


def options(shown: Any) -> Any:
    """Return options as a plain dictionary."""
    return msgspec.to_builtins(shown) if isinstance(shown, msgspec.Struct) else shown


def given(struct: msgspec.Struct) -> dict[str, Any]:
    """Return the attributes of a body that were given."""
    found = {part.name: getattr(struct, part.name) for part in msgspec.structs.fields(struct)}
    return {name: options(value) for name, value in found.items() if value is not UNSET}


def further(struct: msgspec.Struct, plain: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a body that its type does not name; they are kept and shown as they are."""
    known = {part.encode_name for part in msgspec.structs.fields(struct)} | {"id", "links"}
    return {name: value for name, value in plain.items() if name not in known}


def self_link(base_url: str, path: str) -> dict[str, str]:
    """Return the links of a thing."""
    return {"self": f"{base_url}/v3/{path}"}
