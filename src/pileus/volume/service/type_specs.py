"""What volume types ask of back ends (extra specs), and how they encrypt."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound
from pileus.volume.policies.types import ENCRYPTION, SPECS
from pileus.volume.service.types import find_by_id, sight
from pileus.volume.store import types as store
from pileus.volume.store.types import Encryption

YES = "<is> True"


def list_specs(ctx: Context, type_id: str) -> dict[str, Any]:
    """Return those extra specs of a type that the caller sees.

    :raises NotFound: when there is no such type.
    """
    ctx.require(SPECS + "index")
    with ctx.cloud.db.read() as tx:
        return sight(ctx).visible(find_by_id(tx, ctx, type_id).extra_specs)


def get_spec(ctx: Context, type_id: str, key: str) -> Any:
    """Return one extra spec.

    :raises NotFound: when there is no such type, or it has no such spec that the caller sees.
    """
    ctx.require(SPECS + "show")
    with ctx.cloud.db.read() as tx:
        specs = sight(ctx).visible(find_by_id(tx, ctx, type_id).extra_specs)
    if key not in specs:
        raise _no_spec(type_id, key)
    return specs[key]


def set_specs(ctx: Context, type_id: str, specs: Mapping[str, Any], rule: str = "create") -> None:
    """Add extra specs to a type that has no volumes, or change them.

    :raises NotFound: when there is no such type.
    :raises BadRequest: when it has volumes, or the specs contradict each other.
    """
    ctx.require(SPECS + rule)
    with ctx.cloud.db.begin() as tx:
        kind = find_by_id(tx, ctx, type_id)
        _require_unused(tx, type_id, "Volume Type is currently in use.")
        wanted = {**kind.extra_specs, **specs}
        check_specs(wanted)
        store.change(tx, type_id, extra_specs=wanted, updated_at=ctx.cloud.clock.now())


def delete_spec(ctx: Context, type_id: str, key: str) -> None:
    """Take an extra spec from a type that has no volumes.

    :raises NotFound: when there is no such type, or it has no such spec.
    :raises BadRequest: when it has volumes.
    """
    ctx.require(SPECS + "delete")
    with ctx.cloud.db.begin() as tx:
        kind = find_by_id(tx, ctx, type_id)
        _require_unused(tx, type_id, "Volume Type is currently in use.")
        if key not in kind.extra_specs:
            raise _no_spec(type_id, key)
        left = {name: value for name, value in kind.extra_specs.items() if name != key}
        store.change(tx, type_id, extra_specs=left, updated_at=ctx.cloud.clock.now())


def check_specs(specs: Mapping[str, Any]) -> None:
    """Check that extra specs do not contradict each other.

    :raises BadRequest: when volumes were to be cached by a host and attached to several.
    """
    if specs.get("multiattach") == YES and specs.get("cacheable") == YES:
        raise BadRequest("cacheable cannot be set with multiattach.")


def get_encryption(ctx: Context, type_id: str) -> Encryption | None:
    """Return how a type encrypts.

    :raises NotFound: when there is no such type.
    """
    ctx.require(ENCRYPTION + "get")
    with ctx.cloud.db.read() as tx:
        return find_by_id(tx, ctx, type_id).encryption


def create_encryption(ctx: Context, type_id: str, values: Mapping[str, Any]) -> Encryption:
    """Have the volumes of a type that has none yet be encrypted.

    :raises NotFound: when there is no such type.
    :raises BadRequest: when it has volumes, or encrypts already.
    """
    ctx.require(ENCRYPTION + "create")
    with ctx.cloud.db.begin() as tx:
        kind = find_by_id(tx, ctx, type_id)
        _require_unused(tx, type_id, "Cannot create encryption specs. Volume type in use.")
        if kind.encryption:
            text = f"Volume type encryption for type {type_id} already exists."
            raise BadRequest(text, kind="VolumeTypeEncryptionExists")
        made = {"id": ids.uuid(), "created_at": ctx.cloud.clock.now(), **values}
        store.put_encryption(tx, type_id, **made)
    return Encryption(
        made["id"], made["provider"], made.get("cipher"), made.get("key_size"), made["control_location"], made["created_at"]
    )


def update_encryption(ctx: Context, type_id: str, values: Mapping[str, Any]) -> None:
    """Change how the volumes of a type that has none yet are encrypted.

    :raises NotFound: when there is no such type, or it does not encrypt.
    :raises BadRequest: when it has volumes.
    """
    ctx.require(ENCRYPTION + "update")
    with ctx.cloud.db.begin() as tx:
        kind = find_by_id(tx, ctx, type_id)
        _require_unused(tx, type_id, "Cannot update encryption specs. Volume type in use.")
        if kind.encryption is None:
            raise no_encryption(type_id)
        store.put_encryption(tx, type_id, updated_at=ctx.cloud.clock.now(), **values)


def delete_encryption(ctx: Context, type_id: str) -> None:
    """Have the volumes of a type that has none yet be encrypted no longer.

    :raises NotFound: when there is no such type, or it does not encrypt.
    :raises BadRequest: when it has volumes.
    """
    ctx.require(ENCRYPTION + "delete")
    with ctx.cloud.db.begin() as tx:
        kind = find_by_id(tx, ctx, type_id)
        if kind.encryption is None:
            raise no_encryption(type_id)
        _require_unused(tx, type_id, "Cannot delete encryption specs. Volume type in use.")
        store.remove_encryption(tx, type_id)


def no_encryption(type_id: str) -> NotFound:
    """Return the fault of a type that does not encrypt."""
    return NotFound(f"Volume type encryption for type {type_id} does not exist.", kind="VolumeTypeEncryptionNotFound")


def _no_spec(type_id: str, key: str) -> NotFound:
    return NotFound(f"Volume Type {type_id} has no extra specs with key {key}.", kind="VolumeTypeExtraSpecsNotFound")


def _require_unused(tx: Connection, type_id: str, text: str) -> None:
    if store.is_used(tx, type_id, by_groups=False):
        raise BadRequest(text, kind="VolumeTypeInUse")
