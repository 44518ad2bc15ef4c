"""Names of placement: traits and resource classes.  The standard ones are fixed, operators add their own (CUSTOM_...)."""

from sqlalchemy import Connection

from pileus.compute import traits as trait_names
from pileus.compute.policies.placement import CLASS_NAMES, TRAIT_NAMES
from pileus.compute.store import providers as store
from pileus.compute.store.providers import STANDARD_CLASSES
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, NotFound


def list_traits(ctx: Context, associated: bool | None = None) -> list[str]:
    """Return all traits, or only those that some provider has, or only those that none has."""
    ctx.require(TRAIT_NAMES + "list")
    with ctx.cloud.db.read() as tx:
        found = trait_names.STANDARD | store.list_names(tx, "trait")
        if associated is not None:
            held = store.traits_in_use(tx)
            found = found & held if associated else found - held
    return sorted(found)


def check_trait(ctx: Context, name: str) -> None:
    """Check that there is a trait.

    :raises NotFound: when there is none.
    """
    ctx.require(TRAIT_NAMES + "show")
    with ctx.cloud.db.read() as tx:
        if not trait_names.is_known(name, store.list_names(tx, "trait")):
            raise NotFound(f"No such trait: {name}")


def add_trait(ctx: Context, name: str) -> bool:
    """Make a trait; tell whether it is new.

    :raises BadRequest: when its name does not begin with CUSTOM_.
    """
    ctx.require(TRAIT_NAMES + "update")
    _custom(name, "trait")
    with ctx.cloud.db.begin() as tx:
        return store.add_name(tx, "trait", name)


def delete_trait(ctx: Context, name: str) -> None:
    """Delete a trait.

    :raises BadRequest: when it is a standard one.
    :raises Conflict: when a provider has it.
    """
    ctx.require(TRAIT_NAMES + "delete")
    if name in trait_names.STANDARD:
        raise BadRequest(f"Cannot delete standard trait {name}.")
    with ctx.cloud.db.begin() as tx:
        if name in store.traits_in_use(tx):
            raise Conflict(f"The trait {name} is in use by a resource provider.")
        if not store.remove_name(tx, "trait", name):
            raise NotFound(f"No such trait: {name}")


def list_classes(ctx: Context) -> list[str]:
    """Return all resource classes, the standard ones first."""
    ctx.require(CLASS_NAMES + "list")
    with ctx.cloud.db.read() as tx:
        return [*STANDARD_CLASSES, *sorted(store.list_names(tx, "class"))]


def check_class(ctx: Context, name: str) -> None:
    """Check that there is a resource class.

    :raises NotFound: when there is none.
    """
    ctx.require(CLASS_NAMES + "show")
    with ctx.cloud.db.read() as tx:
        if name not in STANDARD_CLASSES and name not in store.list_names(tx, "class"):
            raise NotFound(f"No such resource class {name}.")


def add_class(ctx: Context, name: str, rule: str = "create") -> bool:
    """Make a resource class; tell whether it is new.

    :raises BadRequest: when its name does not begin with CUSTOM_.
    """
    ctx.require(CLASS_NAMES + rule)
    _custom(name, "resource class")
    with ctx.cloud.db.begin() as tx:
        return store.add_name(tx, "class", name)


def rename_class(ctx: Context, name: str, new_name: str) -> None:
    """Rename a resource class that nobody has, as before 1.7.

    :raises Conflict: when there is one of the new name, or the old one is in use.
    """
    ctx.require(CLASS_NAMES + "update")
    _custom(new_name, "resource class")
    with ctx.cloud.db.begin() as tx:
        _remove_class(tx, name)
        if not store.add_name(tx, "class", new_name):
            raise Conflict(f"Resource class already exists: {new_name}")


def delete_class(ctx: Context, name: str) -> None:
    """Delete a resource class.

    :raises BadRequest: when it is a standard one.
    :raises Conflict: when a provider has an inventory of it.
    """
    ctx.require(CLASS_NAMES + "delete")
    with ctx.cloud.db.begin() as tx:
        _remove_class(tx, name)


def _remove_class(tx: Connection, name: str) -> None:
    if name in STANDARD_CLASSES:
        raise BadRequest(f"Cannot delete standard resource class {name}.")
    if store.class_in_use(tx, name):
        raise Conflict(f"Cannot delete resource class {name}: it is in use in inventory.")
    if not store.remove_name(tx, "class", name):
        raise NotFound(f"No such resource class {name}.")


def _custom(name: str, what: str) -> None:
    if not trait_names.CUSTOM.fullmatch(name):
        raise BadRequest(f"The {what} {name} is invalid. A valid name begins with CUSTOM_ and holds A-Z, 0-9 and _.")
