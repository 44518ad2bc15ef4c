"""Bodies and answers of transfers."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.volume.schemas.fields import Bool, show_time
from pileus.volume.store.transfers import Transfer

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")] | None


class NewTransfer(Struct, forbid_unknown_fields=True):
    """The volume that is offered.  no_snapshots: since 3.55, of /volume-transfers."""

    volume_id: str
    name: Name = None
    no_snapshots: Bool | UnsetType = UNSET


class Create(Struct, forbid_unknown_fields=True):
    """The body that offers a volume."""

    transfer: NewTransfer


class Acceptance(Struct, forbid_unknown_fields=True):
    """The key that goes with the offer."""

    auth_key: str | int


class Accept(Struct, forbid_unknown_fields=True):
    """The body that accepts a volume."""

    accept: Acceptance


def show_brief(transfer: Transfer, links: list[dict[str, str]]) -> dict[str, Any]:
    """Show a transfer with few words."""
    return {"id": transfer.id, "volume_id": transfer.volume_id, "name": transfer.name, "links": links}


def show(transfer: Transfer, links: list[dict[str, str]], version: tuple[int, int]) -> dict[str, Any]:
    """Show all of a transfer."""
    found = show_brief(transfer, links) | {"created_at": show_time(transfer.created_at)}
    if version >= (3, 55):
        found["no_snapshots"] = transfer.no_snapshots
    if version >= (3, 57):
        found |= {"source_project_id": transfer.project_id, "destination_project_id": None, "accepted": False}
    return found
