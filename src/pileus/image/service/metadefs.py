"""Use cases on the metadata catalog: namespaces that define which properties, objects and tags resources may have."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pileus.image.store import metadefs as store
from pileus.image.store.metadefs import Definition, Namespace
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden, NotFound

RESOURCE_TYPES = (
    "OS::Cinder::Volume", "OS::Glance::Image", "OS::Nova::Aggregate", "OS::Nova::Flavor", "OS::Nova::Server",
    "OS::Trove::Instance",
)  # fmt: skip
READ_ALL = {
    "object": "get_metadef_objects",
    "property": "get_metadef_properties",
    "tag": "get_metadef_tags",
    "resource_type": "get_metadef_resource_type",
}
REMOVE = {
    "object": "delete_metadef_object",
    "property": "remove_metadef_property",
    "tag": "delete_metadef_tag",
    "resource_type": "remove_metadef_resource_type_association",
}
ADD = {
    "object": "add_metadef_object",
    "property": "add_metadef_property",
    "tag": "add_metadef_tag",
    "resource_type": "add_metadef_resource_type_association",
}
Given = tuple[str, str, dict[str, Any]]
"""A kind, a name, and further attributes."""


@dataclass(frozen=True)
class Listing:
    """Which namespaces are asked for."""

    visibility: str | None = None
    resource_types: tuple[str, ...] = ()
    marker: str | None = None
    limit: int | None = None
    sort_key: str = "created_at"
    descends: bool = True


def list_namespaces(ctx: Context, listing: Listing) -> list[tuple[Namespace, list[Definition]]]:
    """Return the namespaces that the caller sees, each with the types of resources it is meant for.

    :raises NotFound: when the marker is none of them.
    """
    ctx.require("get_metadef_namespaces")
    with ctx.cloud.db.read() as tx:
        found = [one for one in store.list_namespaces(tx) if _is_seen(ctx, one)]
        types: dict[str, list[Definition]] = {one.id: [] for one in found}
        for association in store.list_definitions(tx, kind="resource_type"):
            if association.namespace_id in types:
                types[association.namespace_id].append(association)
    if listing.visibility:
        found = [one for one in found if one.visibility == listing.visibility]
    if listing.resource_types:
        found = [one for one in found if any(a.name in listing.resource_types for a in types[one.id])]
    found.sort(key=lambda one: (getattr(one, listing.sort_key) or "", one.namespace), reverse=listing.descends)
    if listing.marker is not None:
        names = [one.namespace for one in found]
        if listing.marker not in names:
            raise _missing(listing.marker)
        found = found[names.index(listing.marker) + 1 :]
    return [(one, types[one.id]) for one in found[: listing.limit]]


def get_namespace(ctx: Context, name: str) -> tuple[Namespace, list[Definition]]:
    """Return a namespace and all it defines.

    :raises NotFound: when there is none that the caller sees.
    """
    with ctx.cloud.db.read() as tx:
        found = _find(ctx, tx, name, "get_metadef_namespace")
        return found, store.list_definitions(tx, [found.id])


def create_namespace(ctx: Context, values: Mapping[str, Any], definitions: Iterable[Given]) -> Namespace:
    """Make a namespace with what it defines.

    :raises Conflict: when there is one of its name.
    """
    now = ctx.cloud.clock.now()
    given = {"display_name": None, "description": None, "visibility": "private", "protected": False, "owner": ctx.project_id}
    made = Namespace(ids.uuid(), created_at=now, updated_at=now, **{**given, **values})
    ctx.require("add_metadef_namespace", _target(made))
    with ctx.cloud.db.begin() as tx:
        if store.get_namespace(tx, made.namespace):
            raise Conflict(f"The metadata definition namespace={made.namespace} already exists.")
        store.put_namespace(tx, made)
        for kind, name, body in definitions:
            store.add_definition(tx, Definition(made.id, kind, name, body, now, now))
    return made


def update_namespace(ctx: Context, name: str, values: Mapping[str, Any]) -> Namespace:
    """Change a namespace.

    :raises Conflict: when its new name is taken.
    """
    with ctx.cloud.db.begin() as tx:
        found = _find(ctx, tx, name, "modify_metadef_namespace")
        other = store.get_namespace(tx, values.get("namespace", name))
        if other is not None and other.id != found.id:
            raise Conflict(f"The metadata definition namespace={other.namespace} already exists.")
        changed = replace(found, **{**values, "updated_at": ctx.cloud.clock.now()})
        store.put_namespace(tx, changed)
    return changed


def delete_namespace(ctx: Context, name: str) -> None:
    """Delete a namespace and all it defines.

    :raises Forbidden: when it is protected.
    """
    with ctx.cloud.db.begin() as tx:
        found = _find(ctx, tx, name, "delete_metadef_namespace")
        _require_unprotected(found)
        store.remove_namespace(tx, found.id)


def list_definitions(ctx: Context, namespace: str, kind: str) -> list[Definition]:
    """Return what a namespace defines of one kind."""
    with ctx.cloud.db.read() as tx:
        found = _find(ctx, tx, namespace, READ_ALL[kind])
        return store.list_definitions(tx, [found.id], kind)


def get_definition(ctx: Context, namespace: str, kind: str, name: str) -> Definition:
    """Return one definition.

    :raises NotFound: when the namespace has it not.
    """
    with ctx.cloud.db.read() as tx:
        found = _find(ctx, tx, namespace, f"get_metadef_{kind}")
        return _one(tx, found, kind, name)


def define(ctx: Context, namespace: str, kind: str, name: str, body: dict[str, Any]) -> Definition:
    """Add a definition to a namespace.

    :raises Conflict: when it has one of that name.
    """
    now = ctx.cloud.clock.now()
    with ctx.cloud.db.begin() as tx:
        found = _find(ctx, tx, namespace, ADD[kind])
        if kind == "resource_type":  # named again it is changed
            store.remove_definitions(tx, found.id, kind, name)
        elif any(one.name == name for one in store.list_definitions(tx, [found.id], kind)):
            raise _taken(found, kind, name)
        made = Definition(found.id, kind, name, body, now, now)
        store.add_definition(tx, made)
    return made


def set_tags(ctx: Context, namespace: str, names: list[str], *, keep: bool) -> list[Definition]:
    """Write the tags of a namespace.

    :param keep: beside those that are there.
    """
    if len(set(names)) != len(names):
        raise Conflict("A tag is named twice.")
    now = ctx.cloud.clock.now()
    with ctx.cloud.db.begin() as tx:
        found = _find(ctx, tx, namespace, "add_metadef_tags")
        if not keep:
            store.remove_definitions(tx, found.id, "tag")
        there = {one.name for one in store.list_definitions(tx, [found.id], "tag")}
        for name in names:
            if name not in there:
                store.add_definition(tx, Definition(found.id, "tag", name, {}, now, now))
        return store.list_definitions(tx, [found.id], "tag")


def redefine(ctx: Context, namespace: str, kind: str, name: str, new_name: str, body: dict[str, Any]) -> Definition:
    """Change a definition, perhaps its name.

    :raises NotFound: when the namespace has it not.
    :raises Conflict: when its new name is taken.
    """
    with ctx.cloud.db.begin() as tx:
        found = _find(ctx, tx, namespace, f"modify_metadef_{kind}")
        old = _one(tx, found, kind, name)
        store.remove_definitions(tx, found.id, kind, name)
        if any(one.name == new_name for one in store.list_definitions(tx, [found.id], kind)):
            raise _taken(found, kind, new_name)
        changed = replace(old, name=new_name, body=body, updated_at=ctx.cloud.clock.now())
        store.add_definition(tx, changed)
    return changed


def undefine(ctx: Context, namespace: str, kind: str, name: str | None = None) -> None:
    """Take a definition away, or (name None) all of a kind.

    :raises NotFound: when the namespace has it not.
    :raises Forbidden: when the namespace is protected.
    """
    with ctx.cloud.db.begin() as tx:
        found = _find(ctx, tx, namespace, "delete_metadef_tags" if kind == "tag" and name is None else REMOVE[kind])
        _require_unprotected(found)
        if not store.remove_definitions(tx, found.id, kind, name) and name is not None:
            raise _not_there(found, kind, name)


def list_resource_types(ctx: Context) -> list[str]:
    """Return the types of resources there are definitions for: the well-known ones and those that namespaces name."""
    ctx.require("list_metadef_resource_types")
    with ctx.cloud.db.read() as tx:
        named = {one.name for one in store.list_definitions(tx, kind="resource_type")}
    return sorted(named | set(RESOURCE_TYPES))


def read_listing(pairs: Mapping[str, str], limit: int | None) -> Listing:
    """Read what is asked for.

    :raises BadRequest: when it is not understood.
    """
    key, direction, visibility = pairs.get("sort_key", "created_at"), pairs.get("sort_dir", "desc"), pairs.get("visibility")
    if key not in ("namespace", "created_at", "updated_at", "display_name") or direction not in ("asc", "desc"):
        raise BadRequest(f"Invalid sort: {key} {direction}.")
    if visibility not in (None, "public", "private"):
        raise BadRequest(f"Invalid visibility value: {visibility}")
    types = tuple(name for name in pairs.get("resource_types", "").split(",") if name)
    return Listing(visibility, types, pairs.get("marker"), limit, key, direction == "desc")


def _find(ctx: Context, tx: Connection, name: str, rule: str) -> Namespace:
    """Return a namespace that the caller sees, after checking a rule for it."""
    found = store.get_namespace(tx, name)
    if found is None or not _is_seen(ctx, found):
        raise _missing(name)
    ctx.require(rule, _target(found))
    return found


def _is_seen(ctx: Context, found: Namespace) -> bool:
    return ctx.can("get_metadef_namespace", _target(found))


def _target(found: Namespace) -> dict[str, Any]:
    return {"project_id": found.owner, "owner": found.owner, "visibility": found.visibility}


def _require_unprotected(found: Namespace) -> None:
    if found.protected:
        raise Forbidden(f"Metadata definition namespace={found.namespace} is protected and cannot be deleted.")


def _missing(name: str) -> NotFound:
    return NotFound(f"Metadata definition namespace={name} was not found.")


def _one(tx: Connection, found: Namespace, kind: str, name: str) -> Definition:
    for one in store.list_definitions(tx, [found.id], kind):
        if one.name == name:
            return one
    raise _not_there(found, kind, name)


def _not_there(found: Namespace, kind: str, name: str) -> NotFound:
    return NotFound(f"The metadata definition {kind} with name={name} was not found in namespace={found.namespace}.")


def _taken(found: Namespace, kind: str, name: str) -> Conflict:
    return Conflict(f"A metadata definition {kind} with name={name} already exists in namespace={found.namespace}.")
