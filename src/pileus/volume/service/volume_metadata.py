"""What users say of volumes, and what their images said, key by key."""

from collections.abc import Mapping

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound, PreconditionFailed
from pileus.volume import states
from pileus.volume.service.access import find_volume
from pileus.volume.store import volumes as store


def get(ctx: Context, volume_id: str) -> dict[str, str]:
    """Return the metadata of a volume.  :raises NotFound: when there is no such volume."""
    with ctx.cloud.db.read() as tx:
        find_volume(tx, ctx, volume_id, "volume:get_volume_metadata")
        return _of(tx, volume_id)


def get_one(ctx: Context, volume_id: str, key: str) -> str:
    """Return one metadata.  :raises NotFound: when the volume has none of that key."""
    found = get(ctx, volume_id)
    if key not in found:
        raise _unknown(volume_id, key)
    return found[key]


def put(
    ctx: Context, volume_id: str, pairs: Mapping[str, str], *, rule: str = "update", replace: bool = False,
    expected: Mapping[str, str] | None = None,
) -> dict[str, str]:  # fmt: skip
    """Add metadata or change it; returns all there is then.

    :param rule: create or update.
    :param replace: forget what is not named.
    :param expected: the metadata that there must be before (None: any).
    :raises NotFound: when there is no such volume.
    :raises BadRequest: when the volume is being moved.
    :raises PreconditionFailed: when the metadata are not as expected.
    """
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id, f"volume:{rule}_volume_metadata")
        _require_at_rest(volume.status)
        if expected is not None and expected != _of(tx, volume_id):
            raise PreconditionFailed("The metadata are not those of the ETag.")
        store.put_metadata(tx, volume_id, pairs, replace=replace)
        store.describe(tx, volume_id, updated_at=ctx.cloud.clock.now())
        return _of(tx, volume_id)


def drop(ctx: Context, volume_id: str, key: str) -> None:
    """Forget one metadata.  :raises NotFound: when the volume has none of that key."""
    with ctx.cloud.db.begin() as tx:
        volume = find_volume(tx, ctx, volume_id, "volume:delete_volume_metadata")
        _require_at_rest(volume.status)
        if not store.drop_metadata(tx, volume_id, key):
            raise _unknown(volume_id, key)


def _of(tx: Connection, volume_id: str) -> dict[str, str]:
    return store.metadata_of(tx, [volume_id]).get(volume_id, {})


def _require_at_rest(status: str) -> None:
    if status in (states.MAINTENANCE, states.UPLOADING):
        raise BadRequest(f"Invalid volume: The volume metadata cannot be changed while it is {status}.", kind="InvalidVolume")


def _unknown(volume_id: str, key: str) -> NotFound:
    return NotFound(f"Volume {volume_id} has no metadata with key {key}.", kind="VolumeMetadataNotFound")


# ---- image metadata


def get_image(ctx: Context, volume_id: str) -> dict[str, str]:
    """Return what a volume keeps of what its image said.  :raises NotFound: when there is no such volume."""
    with ctx.cloud.db.read() as tx:
        find_volume(tx, ctx, volume_id, "volume_extension:volume_image_metadata:show")
        return store.image_metadata_of(tx, [volume_id]).get(volume_id, {})


def put_image(ctx: Context, volume_id: str, pairs: Mapping[str, str]) -> dict[str, str]:
    """Add to what a volume keeps of its image, or change it; returns all there is then.

    :raises NotFound: when there is no such volume.
    """
    with ctx.cloud.db.begin() as tx:
        find_volume(tx, ctx, volume_id, "volume_extension:volume_image_metadata:set")
        store.put_image_metadata(tx, volume_id, pairs)
        return store.image_metadata_of(tx, [volume_id]).get(volume_id, {})


def drop_image(ctx: Context, volume_id: str, key: str) -> None:
    """Forget something that a volume keeps of its image.  :raises NotFound: when it is not there."""
    with ctx.cloud.db.begin() as tx:
        find_volume(tx, ctx, volume_id, "volume_extension:volume_image_metadata:remove")
        if not store.drop_image_metadata(tx, volume_id, key):
            raise NotFound(f"Metadata {key} of the image could not be found.", kind="GlanceMetadataNotFound")
