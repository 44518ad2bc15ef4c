"""Roles, implied roles and role assignments."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from pileus.identity.schemas.fields import Id, Name, Options, Text, self_link
from pileus.identity.service.assignments import Held, Names
from pileus.identity.store.records import Role


class RoleCreate(Struct, kw_only=True):
    """A role to make."""

    name: Name
    domain_id: Id | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    options: Options | UnsetType = UNSET


class RoleCreateBody(Struct):
    """The body of a create."""

    role: RoleCreate


class RoleUpdate(Struct, kw_only=True):
    """Changes of a role."""

    name: Name | UnsetType = UNSET
    domain_id: Id | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    options: Options | UnsetType = UNSET


class RoleUpdateBody(Struct):
    """The body of an update."""

    role: RoleUpdate


def show_role(role: Role, base_url: str) -> dict[str, Any]:
    """Return a role as shown."""
    return {
        **role.extra,
        "id": role.id,
        "name": role.name,
        "domain_id": role.domain_id or None,
        "description": role.description,
        "options": role.options,
        "links": self_link(base_url, f"roles/{role.id}"),
    }


def show_brief(role: Role, base_url: str) -> dict[str, Any]:
    """Return a role as implications show it."""
    return {"id": role.id, "name": role.name, "links": self_link(base_url, f"roles/{role.id}")}


def show_assignment(held: Held, names: Names | None, base_url: str) -> dict[str, Any]:
    """Return an assignment as shown: with ids, or with names too."""
    scope: dict[str, Any] = {"system": {"all": True}}
    if held.target_kind != "system":
        scope = {held.target_kind: _place(held, names)}
    if held.given.inherited:
        scope["OS-INHERIT:inherited_to"] = "projects"
    return {
        "role": _role(held, names),
        held.actor_kind: _actor(held, names),
        "scope": scope,
        "links": _links(held, base_url),
    }


def _place(held: Held, names: Names | None) -> dict[str, Any]:
    place = names.places.get(held.target_id) if names else None
    if place is None or names is None:
        return {"id": held.target_id}
    return {"id": place.id, "name": place.name} | ({} if place.is_domain else {"domain": _domain(place.domain_id, names)})


def _actor(held: Held, names: Names | None) -> dict[str, Any]:
    if names is None:
        return {"id": held.actor_id}
    actor = (names.users if held.actor_kind == "user" else names.groups).get(held.actor_id)
    if actor is None:
        return {"id": held.actor_id, "name": "", "domain": {"id": "", "name": ""}}
    return {"id": actor.id, "name": actor.name, "domain": _domain(actor.domain_id, names)}


def _role(held: Held, names: Names | None) -> dict[str, Any]:
    role = names.roles.get(held.role_id) if names else None
    if role is None or names is None:
        return {"id": held.role_id}
    return {"id": role.id, "name": role.name} | ({"domain": _domain(role.domain_id, names)} if role.domain_id else {})


def _domain(domain_id: str, names: Names) -> dict[str, Any]:
    domain = names.places.get(domain_id)
    return {"id": domain_id, "name": domain.name if domain else ""}


def _links(held: Held, base_url: str) -> dict[str, str]:
    a = held.given
    root = f"{base_url}/v3"
    place = "system" if a.target_kind == "system" else f"{a.target_kind}s/{a.target_id}"
    path = f"{place}/{a.actor_kind}s/{a.actor_id}/roles/{a.role_id}"
    links = {"assignment": f"{root}/OS-INHERIT/{path}/inherited_to_projects" if a.inherited else f"{root}/{path}"}
    if held.through:
        links["membership"] = f"{root}/groups/{held.through}/users/{held.actor_id}"
    if held.prior_role_id:
        links["prior_role"] = f"{root}/roles/{held.prior_role_id}/implies/{held.role_id}"
    return links
