"""Flavors, as they are asked for and shown."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from pileus.compute.schemas.fields import Bool, MetaKey, Name, NotNegative, Positive, read_bool, read_int
from pileus.compute.store.flavors import Flavor
from pileus.kernel.errors import BadRequest

Id = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?! )[a-zA-Z0-9. _-]+(?<! )$(?!\n)")]
Factor = Annotated[float, Meta(gt=0, le=3.40282e38)] | Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?$", max_length=40)]
Description = Annotated[str, Meta(max_length=65535)]


class _New(Struct, forbid_unknown_fields=True):
    name: Name
    ram: Positive
    vcpus: Positive
    disk: NotNegative
    id: Id | int | float | None = None
    swap: NotNegative = 0
    rxtx_factor: Factor = 1.0
    ephemeral: NotNegative = field(default=0, name="OS-FLV-EXT-DATA:ephemeral")
    is_public: Bool = field(default=True, name="os-flavor-access:is_public")


class _NewDescribed(_New, forbid_unknown_fields=True):
    description: Description | None = None


class Create(Struct, forbid_unknown_fields=True):
    flavor: _New


class CreateDescribed(Struct, forbid_unknown_fields=True):
    flavor: _NewDescribed


class _Description(Struct, forbid_unknown_fields=True):
    description: Description | None


class Update(Struct, forbid_unknown_fields=True):
    flavor: _Description


class _Tenant(Struct, forbid_unknown_fields=True):
    tenant: Annotated[str, Meta(min_length=1, max_length=255, pattern="^[a-zA-Z0-9-]*$")]


class Action(Struct, forbid_unknown_fields=True):
    """Exactly one of them."""

    add: _Tenant | UnsetType = field(default=UNSET, name="addTenantAccess")
    remove: _Tenant | UnsetType = field(default=UNSET, name="removeTenantAccess")


SpecValue = Annotated[str, Meta(max_length=255)] | int | float
Specs = dict[MetaKey, SpecValue]


class CreateSpecs(Struct, forbid_unknown_fields=True):
    extra_specs: Specs


def read_create(body: Create | CreateDescribed) -> dict[str, Any]:
    """Return the columns of a new flavor.

    :raises BadRequest: when a value is out of range.
    """
    asked = body.flavor
    factor = float(asked.rxtx_factor)
    if not 0 < factor <= 3.40282e38:
        raise BadRequest("'rxtx_factor' argument must be a float between 0 and 3.40282e+38")
    return {
        "flavor_id": "" if asked.id is None else str(asked.id),
        "name": asked.name.strip(),
        "vcpus": read_int(asked.vcpus),
        "memory_mib": read_int(asked.ram),
        "disk_gib": read_int(asked.disk),
        "ephemeral_gib": read_int(asked.ephemeral),
        "swap_mib": read_int(asked.swap),
        "rxtx_factor": factor,
        "is_public": read_bool(asked.is_public),
        "description": asked.description if isinstance(asked, _NewDescribed) else None,
    }


def read_specs(specs: Mapping[str, Any]) -> dict[str, str]:
    """Return extra specs as text.

    :raises BadRequest: when a number is too long.
    """
    texts = {key: str(value) for key, value in specs.items()}
    if any(len(text) > 255 for text in texts.values()):
        raise BadRequest("extra_specs value has more than 255 characters.")
    return texts


def show(flavor: Flavor, links: list[dict[str, str]], version: tuple[int, int], with_specs: bool) -> dict[str, Any]:
    """Show a flavor in full."""
    shown = {
        "id": flavor.flavor_id,
        "name": flavor.name,
        "ram": flavor.memory_mib,
        "disk": flavor.disk_gib,
        "swap": flavor.swap_mib or (0 if version >= (2, 75) else ""),
        "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral_gib,
        "OS-FLV-DISABLED:disabled": flavor.disabled,
        "vcpus": flavor.vcpus,
        "os-flavor-access:is_public": flavor.is_public,
        "rxtx_factor": flavor.rxtx_factor,
        "links": links,
    }
    if version >= (2, 55):
        shown["description"] = flavor.description
    if version >= (2, 61) and with_specs:
        shown["extra_specs"] = flavor.extra_specs
    return shown


def show_brief(flavor: Flavor, links: list[dict[str, str]], version: tuple[int, int]) -> dict[str, Any]:
    """Show a flavor's name."""
    shown = {"id": flavor.flavor_id, "name": flavor.name, "links": links}
    return {**shown, "description": flavor.description} if version >= (2, 55) else shown


def show_access(flavor_id: str, projects: list[str]) -> dict[str, Any]:
    """Show which projects may use a flavor."""
    return {"flavor_access": [{"flavor_id": flavor_id, "tenant_id": project} for project in projects]}
