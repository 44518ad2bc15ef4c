"""Key pairs, as they are asked for and shown."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.compute.schemas.fields import show_time
from pileus.compute.store.keypairs import Keypair

KeyName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?! )[-_ a-zA-Z0-9]*[-_a-zA-Z0-9]$(?!\n)")]
KeyName292 = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?! )[-_@. a-zA-Z0-9]*[-_@.a-zA-Z0-9]$(?!\n)")]
Kind = Literal["ssh", "x509"]


class _New(Struct, forbid_unknown_fields=True):
    name: KeyName
    public_key: str | UnsetType = UNSET


class _New202(_New, forbid_unknown_fields=True):
    type: Kind = "ssh"


class _New210(_New202, forbid_unknown_fields=True):
    user_id: str = ""


class _New292(Struct, forbid_unknown_fields=True):
    name: KeyName292
    public_key: str
    type: Kind = "ssh"
    user_id: str = ""


class Create(Struct, forbid_unknown_fields=True):
    keypair: _New


class Create202(Struct, forbid_unknown_fields=True):
    keypair: _New202


class Create210(Struct, forbid_unknown_fields=True):
    keypair: _New210


class Create292(Struct, forbid_unknown_fields=True):
    keypair: _New292


def show_brief(key: Keypair, version: tuple[int, int]) -> dict[str, Any]:
    """Show a key pair in a list."""
    shown = {"name": key.name, "public_key": key.public_key, "fingerprint": key.fingerprint}
    return {**shown, "type": key.type} if version >= (2, 2) else shown


def show_created(key: Keypair, private_key: str, version: tuple[int, int]) -> dict[str, Any]:
    """Show a new key pair, with the private half that was made."""
    shown = {**show_brief(key, version), "user_id": key.user_id}
    return {"keypair": {**shown, "private_key": private_key} if private_key else shown}


def show(key: Keypair, version: tuple[int, int]) -> dict[str, Any]:
    """Show a key pair in full."""
    never = {"deleted": False, "deleted_at": None, "updated_at": None}
    facts = {"id": key.id, "user_id": key.user_id, "created_at": show_time(key.created_at), **never}
    return {"keypair": {**show_brief(key, version), **facts}}
