"""Volume types: what kinds of volume there are, who may use them, and which one a project's volumes are of by default."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from pileus.identity.service import projects
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound
from pileus.volume.policies.types import ACCESS, DEFAULT, SEES_QOS, SEES_SPECS, SPECS, TYPE
from pileus.volume.service import quotas
from pileus.volume.store import types as store
from pileus.volume.store.types import Type

log = logging.getLogger(__name__)

DEFAULT_NAME = "__DEFAULT__"
VISIBLE_SPECS = frozenset({"RESKEY:availability_zones", "multiattach", "replication_enabled"})
"""Extra specs that users see: what they have to know to choose."""


@dataclass(frozen=True)
class Sight:
    """What a caller sees of a type besides its name."""

    specs: bool
    all_specs: bool
    qos: bool
    access: bool

    def visible(self, specs: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the extra specs that the caller sees."""
        return {key: value for key, value in specs.items() if self.all_specs or key in VISIBLE_SPECS}


def bootstrap(cloud: Cloud) -> None:
    """Write the default type down in a cloud that has none."""
    with cloud.db.begin() as tx:
        if store.get_default(tx) is None:
            store.add(
                tx, id=ids.uuid(), name=DEFAULT_NAME, description="Default Volume Type", is_public=True, is_default=True,
                extra_specs={}, created_at=cloud.clock.now(),
            )  # fmt: skip


def find(tx: Connection, ctx: Context, id_or_name: str) -> Type:
    """Return a type that the caller may use.

    :raises NotFound: VolumeTypeNotFound when there is none, or it is not for the caller's project.
    """
    project_id = None if ctx.is_admin else ctx.project_id
    found = store.get(tx, id_or_name, project_id) or store.get_by_name(tx, id_or_name, project_id)
    if found is None:
        named = id_or_name if ids.is_uuid(id_or_name) else f"with name {id_or_name}"
        raise NotFound(f"Volume type {named} could not be found.", kind="VolumeTypeNotFound")
    return found


def find_by_id(tx: Connection, ctx: Context, type_id: str) -> Type:
    """Return a type that the caller may use.

    :raises NotFound: VolumeTypeNotFound when there is none of that id, or it is not for the caller's project.
    """
    found = store.get(tx, type_id, None if ctx.is_admin else ctx.project_id)
    if found is None:
        raise NotFound(f"Volume type {type_id} could not be found.", kind="VolumeTypeNotFound")
    return found


def default_for(tx: Connection, ctx: Context) -> Type:
    """Return the type that the caller's project gives to volumes that name none: its own default, else the cloud's.

    :raises NotFound: VolumeTypeNotFound when there is none (a bug: the cloud's own cannot be deleted).
    """
    own = store.get_project_default(tx, ctx.project_id)
    found = (store.get(tx, own) if own else None) or store.get_default(tx)
    if found is None:
        raise NotFound("Default volume type can not be found.", kind="VolumeTypeNotFound")
    return found


def sight(ctx: Context) -> Sight:
    """Return what the caller sees of types."""
    return Sight(ctx.can(SEES_SPECS), ctx.can(SPECS + "read_sensitive"), ctx.can(SEES_QOS), ctx.can(ACCESS))


def list_all(ctx: Context, is_public: bool | None, specs: Mapping[str, Any] | None = None, name: str | None = None) -> list[Type]:
    """Return types, the newest first.

    :param is_public: True: those that are, and those that the caller's project may use; None: all.  Only admins may choose.
    :param specs: extra specs that they must have; one that the caller does not see fits none.
    """
    ctx.require(TYPE + "get_all")
    if specs and not sight(ctx).all_specs and not specs.keys() <= VISIBLE_SPECS:
        return []
    with ctx.cloud.db.read() as tx:
        if is_public is False and ctx.is_admin:
            found = store.list_all(tx, is_public=False)
        else:
            found = store.list_all(tx, project_id=None if is_public is None and ctx.is_admin else ctx.project_id)
    return [each for each in found if _fits(each, specs or {}) and name in (None, each.name)]


def get(ctx: Context, type_id: str) -> Type:
    """Return a type that the caller may use.

    :raises NotFound: when there is none.
    """
    ctx.require(TYPE + "get")
    with ctx.cloud.db.read() as tx:
        return find_by_id(tx, ctx, type_id)


def get_default(ctx: Context) -> Type:
    """Return the type of the caller's volumes that name none."""
    ctx.require(TYPE + "get")
    with ctx.cloud.db.read() as tx:
        return default_for(tx, ctx)


def create(ctx: Context, values: Mapping[str, Any]) -> Type:
    """Make a type out of name, description, is_public and extra_specs.

    :raises Conflict: when the name is taken.
    """
    ctx.require(TYPE + "create")
    id = ids.uuid()
    with ctx.cloud.db.begin() as tx:
        _require_free(tx, values["name"])
        store.add(tx, id=id, is_default=False, created_at=ctx.cloud.clock.now(), **values)
        return find_by_id(tx, ctx, id)


def update(ctx: Context, type_id: str, changes: Mapping[str, Any]) -> Type:
    """Change name, description or is_public; what is None stays.

    :raises NotFound: when there is no such type.
    :raises Conflict: when the name is taken.
    """
    ctx.require(TYPE + "update")
    with ctx.cloud.db.begin() as tx:
        found = find_by_id(tx, ctx, type_id)
        wanted = {key: value for key, value in changes.items() if value is not None}
        if wanted.get("name") not in (None, found.name):
            _require_free(tx, wanted["name"])
        store.change(tx, type_id, updated_at=ctx.cloud.clock.now(), **wanted)
        return find_by_id(tx, ctx, type_id)


def delete(ctx: Context, type_id: str) -> None:
    """Delete a type, and the limits that were set for it.

    :raises NotFound: when there is none.
    :raises BadRequest: when it is in use, or the default of the cloud or of a project.
    """
    ctx.require(TYPE + "delete")
    with ctx.cloud.db.begin() as tx:
        found = find_by_id(tx, ctx, type_id)
        if found.is_default or store.list_project_defaults(tx, type_id):
            text = f"The volume type {type_id} is a default volume type and cannot be deleted."
            raise BadRequest(text, kind="VolumeTypeDefaultDeletionError")
        if store.is_used(tx, type_id):
            raise BadRequest("Target volume type is still in use.", kind="VolumeTypeInUse")
        store.remove(tx, type_id)
        quotas.forget_type(tx, type_id)


def list_projects(ctx: Context, type_id: str) -> list[str]:
    """Return the projects that may use a type that is not public.

    :raises NotFound: when there is no such type, or it is public.
    """
    ctx.require(ACCESS + ":get_all_for_type")
    with ctx.cloud.db.read() as tx:
        if find_by_id(tx, ctx, type_id).is_public:
            raise NotFound("Access list not available for public volume types.", kind="VolumeTypeAccessNotFound")
        return store.list_projects(tx, type_id)


def add_project(ctx: Context, type_id: str, project_id: str) -> None:
    """Let a project use a type that is not public.

    :raises NotFound: when there is no such type.
    :raises BadRequest: when it is public.
    :raises Conflict: when the project may use it already.
    """
    ctx.require(ACCESS + ":addProjectAccess")
    with ctx.cloud.db.begin() as tx:
        _require_private(find_by_id(tx, ctx, type_id))
        if project_id in store.list_projects(tx, type_id):
            text = f"Volume type access for {type_id} / {project_id} combination already exists."
            raise Conflict(text, kind="VolumeTypeAccessExists")
        store.add_project(tx, type_id, project_id)


def remove_project(ctx: Context, type_id: str, project_id: str) -> None:
    """Let a project no longer use a type.

    :raises NotFound: when there is no such type, or the project may not use it.
    :raises BadRequest: when it is public.
    """
    ctx.require(ACCESS + ":removeProjectAccess")
    with ctx.cloud.db.begin() as tx:
        _require_private(find_by_id(tx, ctx, type_id))
        if not store.remove_project(tx, type_id, project_id):
            text = f"Volume type access not found for {type_id} / {project_id} combination."
            raise NotFound(text, kind="VolumeTypeAccessNotFound")


def list_project_defaults(ctx: Context) -> list[tuple[str, str]]:
    """Return project and type of each default that a project has of its own."""
    ctx.require(DEFAULT + "get_all")
    with ctx.cloud.db.read() as tx:
        return [(row.project_id, row.volume_type_id) for row in store.list_project_defaults(tx)]


def get_project_default(ctx: Context, project_id: str) -> str:
    """Return the id of a project's own default type.

    :raises NotFound: when there is no such project, or it has none.
    """
    _require_project(ctx, project_id)
    ctx.require(DEFAULT + "get", {"project_id": project_id})
    with ctx.cloud.db.read() as tx:
        found = store.get_project_default(tx, project_id)
    if found is None:
        raise NotFound(f"Default type for project {project_id} not found.", kind="VolumeTypeProjectDefaultNotFound")
    return found


def set_project_default(ctx: Context, project_id: str, id_or_name: str) -> str:
    """Give a project a default type of its own; returns the type's id.

    :raises NotFound: when there is no such project.
    :raises BadRequest: when there is no such type.
    """
    _require_project(ctx, project_id)
    ctx.require(DEFAULT + "set_or_update", {"project_id": project_id})
    with ctx.cloud.db.begin() as tx:
        try:
            found = find(tx, ctx, id_or_name)
        except NotFound as fault:
            raise BadRequest(fault.message, kind=fault.kind) from None
        store.set_project_default(tx, project_id, found.id)
    return found.id


def unset_project_default(ctx: Context, project_id: str) -> None:
    """Have the cloud's default type hold for a project again; also for one that is gone."""
    ctx.require(DEFAULT + "unset", {"project_id": project_id})
    with ctx.cloud.db.begin() as tx:
        store.unset_project_default(tx, project_id)


def _fits(kind: Type, specs: Mapping[str, Any]) -> bool:
    """Tell whether a type has extra specs; of availability zones it is enough to name one."""
    for key, value in specs.items():
        has = kind.extra_specs.get(key)
        if has is None or (str(value) not in str(has) if key == "RESKEY:availability_zones" else str(has) != str(value)):
            return False
    return True


def _require_free(tx: Connection, name: str) -> None:
    if store.get_by_name(tx, name):
        raise Conflict(f"Volume Type {name} already exists.", kind="VolumeTypeExists")


def _require_private(kind: Type) -> None:
    if kind.is_public:
        text = "Invalid volume type: Type access modification is not applicable to public volume type."
        raise BadRequest(text, kind="InvalidVolumeType")


def _require_project(ctx: Context, project_id: str) -> None:
    if project_id != ctx.project_id and not projects.exists(ctx.cloud, project_id):
        raise NotFound(f"Project with id {project_id} not found.")
