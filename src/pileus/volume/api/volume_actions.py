"""POST /v3/volumes/{volume_id}/action"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Route
from pileus.volume.api import attach_actions
from pileus.volume.api.actions import Action, dispatcher
from pileus.volume.schemas.fields import Bool, LooseName, Text255, read_bool, read_int, read_uuid, show_time
from pileus.volume.schemas.volumes import Metadata, Size
from pileus.volume.service import adoption, volume_metadata, volumes
from pileus.volume.service import volume_actions as service

Filled = Annotated[str, Meta(min_length=1, max_length=255)]


class Extend(Struct, forbid_unknown_fields=True):
    """os-extend"""

    new_size: Size


class Retype(Struct, forbid_unknown_fields=True):
    """os-retype"""

    new_type: str
    migration_policy: Literal["on-demand", "never"] | None = None


class Bootable(Struct, forbid_unknown_fields=True):
    """os-set_bootable"""

    bootable: Bool


class ReadOnly(Struct, forbid_unknown_fields=True):
    """os-update_readonly_flag"""

    readonly: Bool


class Upload(Struct, forbid_unknown_fields=True):
    """os-volume_upload_image"""

    image_name: Filled
    force: Bool = False
    disk_format: Literal["raw", "vmdk", "vdi", "qcow2", "vhd", "vhdx", "ploop"] = "raw"
    container_format: Text255 | None = None
    visibility: Literal["community", "public", "private", "shared"] | None = None
    protected: Bool | None = None


class Reimage(Struct, forbid_unknown_fields=True):
    """os-reimage"""

    image_id: str
    reimage_reserved: Bool = False


class Revert(Struct):
    """revert"""

    snapshot_id: str | None = None


class Reset(Struct, forbid_unknown_fields=True):
    """os-reset_status"""

    status: str | None = None
    attach_status: str | None = None
    migration_status: str | None = None


class Migrate(Struct, forbid_unknown_fields=True):
    """os-migrate_volume"""

    host: Text255 | None = None
    force_host_copy: Bool = False
    lock_volume: Bool = False
    cluster: LooseName = None


class Complete(Struct, forbid_unknown_fields=True):
    """os-migrate_volume_completion"""

    new_volume: str
    error: str | bool | None = None


class CompleteExtension(Struct, forbid_unknown_fields=True):
    """os-extend_volume_completion"""

    error: str | bool | None = None


class SetMetadata(Struct, forbid_unknown_fields=True):
    """os-set_image_metadata"""

    metadata: Metadata


class UnsetMetadata(Struct, forbid_unknown_fields=True):
    """os-unset_image_metadata"""

    key: Filled


STATUSES = frozenset({
    "creating", "available", "deleting", "error", "error_deleting", "error_managing", "managing", "attaching", "in-use",
    "detaching", "maintenance", "restoring-backup", "error_restoring", "reserved", "awaiting-transfer", "backing-up",
    "error_backing-up", "error_extending", "downloading", "uploading", "retyping", "extending",
})  # fmt: skip
ATTACH_STATUSES = frozenset({"attached", "detached"})
MIGRATION_STATUSES = frozenset({"migrating", "error", "success", "completing", "none", "starting"})


def extend(call: Call, id: str, given: Extend) -> None:
    """Make it larger."""
    service.extend(call.ctx, id, read_int(given.new_size, "new_size", 1), online=call.since("3.42"))


def retype(call: Call, id: str, given: Retype) -> None:
    """Give it another type."""
    service.retype(call.ctx, id, given.new_type, given.migration_policy or "never")


def set_bootable(call: Call, id: str, given: Bootable) -> None:
    """Say whether servers can boot from it."""
    service.set_bootable(call.ctx, id, read_bool(given.bootable))


def set_read_only(call: Call, id: str, given: ReadOnly) -> None:
    """Say whether it may only be read."""
    service.set_read_only(call.ctx, id, read_bool(given.readonly))


def upload(call: Call, id: str, given: Upload) -> Any:
    """Upload it as an image."""
    newer = call.since("3.1")
    if not newer and (given.visibility is not None or given.protected is not None):
        raise BadRequest("Additional properties are not allowed ('visibility' and 'protected' came with 3.1)")
    read_bool(given.force)
    protected = read_bool(given.protected) if given.protected is not None else False
    wanted = service.Upload(
        given.image_name, given.disk_format, given.container_format or "bare", given.visibility or "private", protected
    )
    volume, kind, image_id = service.upload(call.ctx, id, wanted)
    found: dict[str, Any] = {
        "id": volume.id,
        "updated_at": show_time(volume.updated_at),
        "status": volume.status,
        "display_description": volume.description,
        "size": volume.size_gib,
        "volume_type": None if kind is None else _type(kind),
        "image_id": image_id,
        "container_format": wanted.container_format,
        "disk_format": wanted.disk_format,
        "image_name": wanted.image_name,
    }
    if newer:
        found |= {"visibility": wanted.visibility, "protected": wanted.protected}
    return {"os-volume_upload_image": found}


def _type(kind: Any) -> dict[str, Any]:
    return {
        "id": kind.id,
        "name": kind.name,
        "description": kind.description,
        "is_public": kind.is_public,
        "qos_specs_id": kind.qos_specs_id,
        "extra_specs": dict(kind.extra_specs),
        "created_at": show_time(kind.created_at),
        "updated_at": show_time(kind.updated_at),
        "deleted": False,
        "deleted_at": None,
    }


def reimage(call: Call, id: str, given: Reimage) -> None:
    """Make it of an image again."""
    image_id = read_uuid(given.image_id, "image_id")
    service.reimage(call.ctx, id, image_id, reserved=read_bool(given.reimage_reserved))


def revert(call: Call, id: str, given: Revert) -> None:
    """Give it the content of its latest snapshot again."""
    service.revert(call.ctx, id, given.snapshot_id)


def reset(call: Call, id: str, given: Reset) -> None:
    """Say what its state is."""
    words = {name: (getattr(given, name) or "").lower() for name in ("status", "attach_status", "migration_status")}
    if not any(words.values()):
        raise BadRequest("Must specify 'status', 'attach_status' or 'migration_status' for update.")
    for name, allowed in (
        ("status", STATUSES), ("attach_status", ATTACH_STATUSES), ("migration_status", MIGRATION_STATUSES),
    ):  # fmt: skip
        if words[name] and words[name] not in allowed:
            raise BadRequest(f"Invalid input for field/attribute {name}. Value: {words[name]}. It is none of {sorted(allowed)}")
    service.reset(
        call.ctx, id, words["status"] or None, detached=words["attach_status"] == "detached",
        migration_status=words["migration_status"] or None,
    )  # fmt: skip


def force_delete(call: Call, id: str, _: Any) -> None:
    """Delete it, whatever its state."""
    volumes.force_delete(call.ctx, id)


def migrate(call: Call, id: str, given: Migrate) -> None:
    """Carry it to another back end."""
    if given.cluster and call.since("3.16"):
        if given.host:
            raise BadRequest("Invalid input received: One and only one of cluster and host must be set.", kind="InvalidInput")
        raise BadRequest(f"Invalid host: No available service named {given.cluster}", kind="InvalidHost")
    if not given.host:
        raise BadRequest("Invalid input received: Host field is missing.", kind="InvalidInput")
    read_bool(given.force_host_copy)
    service.migrate(call.ctx, id, given.host, lock=read_bool(given.lock_volume))


def unmanage(call: Call, id: str, _: Any) -> None:
    """Let go of it, so that it stays on its back end."""
    adoption.unmanage(call.ctx, id)


def complete_migration(call: Call, id: str, given: Complete) -> None:
    """Say that someone copied it."""
    service.complete_migration(call.ctx, id, read_uuid(given.new_volume, "new_volume"))


def complete_extension(call: Call, id: str, given: CompleteExtension) -> None:
    """Say that compute made it larger."""
    service.complete_extension(call.ctx, id)


def set_image_metadata(call: Call, id: str, given: SetMetadata) -> Any:
    """Change what it keeps of its image."""
    return {"metadata": volume_metadata.put_image(call.ctx, id, given.metadata)}


def unset_image_metadata(call: Call, id: str, given: UnsetMetadata) -> None:
    """Forget something that it keeps of its image."""
    volume_metadata.drop_image(call.ctx, id, given.key)


def show_image_metadata(call: Call, id: str, _: Any) -> Any:
    """Show what it keeps of its image."""
    return {"metadata": volume_metadata.get_image(call.ctx, id)}


ACTIONS = {
    **attach_actions.ACTIONS,
    "os-extend": Action(extend, Extend),
    "os-retype": Action(retype, Retype),
    "os-set_bootable": Action(set_bootable, Bootable, status=200),
    "os-update_readonly_flag": Action(set_read_only, ReadOnly),
    "os-volume_upload_image": Action(upload, Upload),
    "os-reimage": Action(reimage, Reimage, since="3.68"),
    "revert": Action(revert, Revert, since="3.40"),
    "os-reset_status": Action(reset, Reset),
    "os-force_delete": Action(force_delete),
    "os-unmanage": Action(unmanage),
    "os-migrate_volume": Action(migrate, Migrate),
    "os-migrate_volume_completion": Action(complete_migration, Complete),
    "os-extend_volume_completion": Action(complete_extension, CompleteExtension, since="3.71"),
    "os-set_image_metadata": Action(set_image_metadata, SetMetadata, status=200),
    "os-unset_image_metadata": Action(unset_image_metadata, UnsetMetadata, status=200),
    "os-show_image_metadata": Action(show_image_metadata, status=200),
}

routes = (
    Route(
        "POST", "/v3/volumes/{volume_id}/action", dispatcher("volume_id", ACTIONS), status=202, errors=(400, 401, 403, 404, 409)
    ),
)
