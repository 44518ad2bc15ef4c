"""Bodies and answers about volumes."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest
from pileus.volume.schemas.fields import Bool, Description, LooseName, SpecKey, Text255, read_int, read_uuid, show_time
from pileus.volume.service.volume_create import Wanted
from pileus.volume.service.volumes import Shown

Metadata = dict[SpecKey, Text255]
Size = Annotated[int, Meta(ge=1, le=2**31 - 1)] | Annotated[str, Meta(pattern=r"^[0-9]+\Z", min_length=1, max_length=10)]
Version = tuple[int, int]


class NewVolume(Struct):
    """The volume to be made; before 3.53 further fields are let pass."""

    name: LooseName = None
    description: Description = None
    display_name: LooseName = None
    display_description: Description = None
    volume_type: LooseName = None
    metadata: Metadata | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    consistencygroup_id: str | None = None
    size: Size | None = None
    availability_zone: LooseName = None
    multiattach: Bool | None = None
    image_id: LooseName = None
    image_ref: LooseName = field(default=None, name="imageRef")
    group_id: LooseName = None
    backup_id: str | None = None


class StrictVolume(NewVolume, forbid_unknown_fields=True):
    """The volume to be made (3.53)."""


class Create(Struct, forbid_unknown_fields=True):
    """POST /volumes"""

    volume: NewVolume
    hints: dict[str, Any] | None = field(default=None, name="OS-SCH-HNT:scheduler_hints")


class CreateStrict(Struct, forbid_unknown_fields=True):
    """POST /volumes (3.53)"""

    volume: StrictVolume
    hints: dict[str, Any] | None = field(default=None, name="OS-SCH-HNT:scheduler_hints")


class Changes(Struct, forbid_unknown_fields=True):
    """What may be changed."""

    name: LooseName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    display_name: LooseName | UnsetType = UNSET
    display_description: Description | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class Update(Struct, forbid_unknown_fields=True):
    """PUT /volumes/{volume_id}"""

    volume: Changes


class MetadataBody(Struct, forbid_unknown_fields=True):
    """All metadata, or some to be added."""

    metadata: Metadata


class MetaBody(Struct, forbid_unknown_fields=True):
    """One metadata."""

    meta: Metadata


def read_create(body: Create | CreateStrict, version: Version) -> Wanted:
    """Return the volume that is asked for.  :raises BadRequest: when a field makes no sense."""
    given = body.volume
    if given.multiattach is not None and str(given.multiattach).lower() in ("true", "1", "t", "yes", "y", "on"):
        raise BadRequest(
            "multiattach parameter has been removed. The default behavior is to use multiattach enabled volume types. "
            "Contact your administrator to create a multiattach enabled volume type and use it to create multiattach volumes."
        )
    for name in ("snapshot_id", "source_volid", "consistencygroup_id", "backup_id"):
        if getattr(given, name):
            read_uuid(getattr(given, name), name)
    image = given.image_ref or given.image_id
    return Wanted(
        size_gib=None if given.size is None else read_int(given.size, "size", 1),
        name=_cleaned(given.name if given.name is not None else given.display_name),
        description=_cleaned(given.description if given.description is not None else given.display_description),
        volume_type=given.volume_type or None,
        availability_zone=given.availability_zone or None,
        image_id=_image_reference(image) if image else None,
        snapshot_id=given.snapshot_id or None,
        source_volume_id=given.source_volid or None,
        backup_id=(given.backup_id or None) if version >= (3, 47) else None,
        group_id=((given.group_id if version >= (3, 13) else None) or given.consistencygroup_id) or None,
        metadata=given.metadata or {},
        scheduler_hints=body.hints or {},
        follows_images=version >= (3, 46),
    )


def _image_reference(text: str) -> str:
    """Return the id of an image, which may be the end of its URL, or its name."""
    last = text.rstrip("/").rpartition("/")[2]
    return last if ids.is_uuid(last) else text


def read_changes(given: Changes, version: Version) -> tuple[dict[str, Any], dict[str, str] | None]:
    """Return the columns to be changed, and the metadata (None: they stay).

    :raises BadRequest: when nothing is asked for (3.53).
    """
    names = {"name": given.name, "description": given.description}
    for old, name in (("display_name", "name"), ("display_description", "description")):
        if names[name] is UNSET:
            names[name] = getattr(given, old)
    values = {name: _cleaned(value) for name, value in names.items() if value is not UNSET}
    if version >= (3, 53) and not values and given.metadata is UNSET:
        raise BadRequest("Invalid input for field/attribute volume. At least one field is to be given.")
    return values, None if given.metadata is UNSET else given.metadata


def _cleaned(text: Any) -> str | None:
    return text.strip() if isinstance(text, str) else None


SHOWN_STATUSES = {"managing": "creating", "error_managing": "error", "error_managing_deleting": "deleting"}


def status_of(shown: Shown) -> str:
    """Return the status that users see: a volume that is moved and not locked looks as it did before."""
    volume = shown.volume
    if volume.status == "maintenance" and (volume.aside or {}).get("unlocked"):
        return str(volume.before)
    return str(SHOWN_STATUSES.get(volume.status, volume.status))


def show(ctx: Context, shown: Shown, version: Version, links: list[dict[str, str]]) -> dict[str, Any]:
    """Show a volume as the answers to POST and PUT do."""
    volume = shown.volume
    found = {
        "id": volume.id,
        "status": status_of(shown),
        "size": volume.size_gib,
        "availability_zone": volume.availability_zone or None,
        "created_at": show_time(volume.created_at),
        "updated_at": show_time(volume.updated_at),
        "name": volume.name,
        "description": volume.description,
        "volume_type": shown.type_name,
        "snapshot_id": volume.snapshot_id,
        "source_volid": volume.source_volume_id,
        "metadata": _metadata(shown),
        "links": links,
        "user_id": volume.user_id,
        "bootable": "true" if volume.bootable else "false",
        "encrypted": volume.encryption_key_id is not None,
        "replication_status": volume.replication_status,
        "consistencygroup_id": volume.group_id if shown.in_consistency_group else None,
        "multiattach": volume.multiattach,
        "attachments": [_attachment(ctx, volume, row) for row in shown.attachments],
    }
    if ctx.is_admin:
        found["migration_status"] = volume.migration_status
    _add_newer(ctx, shown, version, found)
    return found


def _add_newer(ctx: Context, shown: Shown, version: Version, found: dict[str, Any]) -> None:
    volume = shown.volume
    if version >= (3, 13):
        found["group_id"] = volume.group_id
    if version >= (3, 21) and ctx.is_admin:
        found["provider_id"] = None
    if version >= (3, 48):
        found["shared_targets"] = False
        found["service_uuid"] = shown.service_id
    if version >= (3, 61) and ctx.is_admin:
        found["cluster_name"] = None
    if version >= (3, 63):
        found["volume_type_id"] = volume.volume_type_id
    if version >= (3, 64) and volume.encryption_key_id is not None:
        found["encryption_key_id"] = volume.encryption_key_id
    if version >= (3, 65):
        found["consumes_quota"] = volume.counts


def _metadata(shown: Shown) -> dict[str, str]:
    found = dict(shown.metadata)
    if shown.volume.read_only is not None:
        found["readonly"] = str(shown.volume.read_only)
    if shown.attachments:
        found["attached_mode"] = shown.attachments[0].mode
    return found


def _attachment(ctx: Context, volume: Any, row: Any) -> dict[str, Any]:
    return {
        "id": volume.id,
        "attachment_id": row.id,
        "volume_id": volume.id,
        "server_id": row.server_id,
        "host_name": row.host if ctx.is_admin or "service" in ctx.roles else None,
        "device": row.mountpoint,
        "attached_at": show_time(row.attached_at),
    }


class Sight:
    """What the caller may see of volumes, beside what everyone sees."""

    def __init__(self, ctx: Context, project_id: str | None = None) -> None:
        target = {"project_id": project_id or ctx.project_id}
        self.host = ctx.can("volume_extension:volume_host_attribute", target)
        self.tenant = ctx.can("volume_extension:volume_tenant_attribute", target)
        self.migration = ctx.can("volume_extension:volume_mig_status_attribute", target)
        self.image = ctx.can("volume_extension:volume_image_metadata:show", target)


def extend(found: dict[str, Any], shown: Shown, sight: Sight) -> dict[str, Any]:
    """Add to a volume what the answers to GET have, too."""
    volume = shown.volume
    if sight.host:
        found["os-vol-host-attr:host"] = volume.host
    if sight.tenant:
        found["os-vol-tenant-attr:tenant_id"] = volume.project_id
    if sight.migration:
        found["os-vol-mig-status-attr:migstat"] = volume.migration_status
        found["os-vol-mig-status-attr:name_id"] = None
    if sight.image and shown.image_metadata:
        found["volume_image_metadata"] = dict(shown.image_metadata)
    return found
