"""Placement's bodies: inventories, traits, allocations."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from pileus.compute.placement import Inventory
from pileus.compute.schemas.fields import MAX_INT
from pileus.kernel.errors import BadRequest

Uuid = Annotated[str, Meta(pattern=r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}$(?!\n)")]
ProviderName = Annotated[str, Meta(min_length=1, max_length=200)]
TraitName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[A-Z0-9_]+$(?!\n)")]
ClassName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[A-Z0-9_]+$(?!\n)")]
CustomName = Annotated[str, Meta(min_length=8, max_length=255, pattern=r"^CUSTOM_[A-Z0-9_]+$(?!\n)")]
Count = Annotated[int, Meta(ge=0, le=MAX_INT)]
Amount = Annotated[int, Meta(ge=1, le=MAX_INT)]
Word = Annotated[str, Meta(min_length=1, max_length=255)]
Resources = Annotated[dict[ClassName, Amount], Meta(min_length=1)]


class NewProvider(Struct, forbid_unknown_fields=True):
    name: ProviderName
    uuid: Uuid = ""


class NewProvider114(Struct, forbid_unknown_fields=True):
    name: ProviderName
    uuid: Uuid = ""
    parent_provider_uuid: Uuid | None = None


class ChangeProvider(Struct, forbid_unknown_fields=True):
    name: ProviderName


class ChangeProvider114(Struct, forbid_unknown_fields=True):
    name: ProviderName
    parent_provider_uuid: Uuid | UnsetType | None = UNSET


class OneInventory(Struct, forbid_unknown_fields=True):
    total: Amount
    reserved: Count = 0
    min_unit: Amount = 1
    max_unit: Amount = MAX_INT
    step_size: Amount = 1
    allocation_ratio: Annotated[float, Meta(gt=0, le=3.40282e38)] = 1.0


class ChangeInventory(OneInventory, forbid_unknown_fields=True):
    resource_provider_generation: int | None = None


class NewInventory(ChangeInventory, forbid_unknown_fields=True, kw_only=True):
    resource_class: ClassName


class Inventories(Struct, forbid_unknown_fields=True):
    resource_provider_generation: int
    inventories: dict[ClassName, OneInventory]


class Traits(Struct, forbid_unknown_fields=True):
    traits: list[TraitName]
    resource_provider_generation: int


class Aggregates119(Struct, forbid_unknown_fields=True):
    aggregates: list[Uuid]
    resource_provider_generation: int


class ResourceClass(Struct, forbid_unknown_fields=True):
    name: CustomName


class _ProviderOf(Struct, forbid_unknown_fields=True):
    uuid: Uuid


class _ListedAllocation(Struct, forbid_unknown_fields=True):
    resource_provider: _ProviderOf
    resources: Resources


class Allocations(Struct, forbid_unknown_fields=True):
    allocations: Annotated[list[_ListedAllocation], Meta(min_length=1)]


class Allocations108(Allocations, forbid_unknown_fields=True, kw_only=True):
    project_id: Word
    user_id: Word


class _Allocation(Struct, forbid_unknown_fields=True):
    resources: Resources
    generation: int | None = None


class Allocations112(Struct, forbid_unknown_fields=True):
    allocations: Annotated[dict[Uuid, _Allocation], Meta(min_length=1)]
    project_id: Word
    user_id: Word


class AllocationsMany(Struct, forbid_unknown_fields=True):
    allocations: dict[Uuid, _Allocation]
    project_id: Word
    user_id: Word


class Allocations128(AllocationsMany, forbid_unknown_fields=True, kw_only=True):
    consumer_generation: int | None


class Allocations134(Allocations128, forbid_unknown_fields=True, kw_only=True):
    mappings: dict[str, list[Uuid]] = {}


class Allocations138(Allocations134, forbid_unknown_fields=True, kw_only=True):
    consumer_type: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[A-Z0-9_]+$(?!\n)")]


def read_inventory(asked: OneInventory, may_reserve_all: bool) -> Inventory:
    """Return an inventory.

    :raises BadRequest: when more is reserved than there is, or all where that may not be (before 1.26).
    """
    names = structs.fields(OneInventory)
    found = Inventory(**{each.name: getattr(asked, each.name) for each in names})
    if found.reserved > found.total or (found.reserved == found.total and not may_reserve_all):
        raise BadRequest("Invalid inventory: the reserved value must be less than the total.")
    return found
