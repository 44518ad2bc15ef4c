"""Volume types: what kinds of volume there are, and who may use them."""

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import NotFound
from pileus.volume.store import types as store
from pileus.volume.store.types import Type

DEFAULT_NAME = "__DEFAULT__"


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


def default_for(tx: Connection, ctx: Context) -> Type:
    """Return the type that the caller's project gives to volumes that name none: its own default, else the cloud's.

    :raises NotFound: VolumeTypeNotFound when there is none (a bug: the cloud's own cannot be deleted).
    """
    own = store.get_project_default(tx, ctx.project_id)
    found = (store.get(tx, own) if own else None) or store.get_default(tx)
    if found is None:
        raise NotFound("Default volume type can not be found.", kind="VolumeTypeNotFound")
    return found
