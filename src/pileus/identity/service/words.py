"""Faults as Keystone words them, and what rules are told of the things acted on."""

from collections.abc import Mapping
from typing import Any

from pileus.identity.store.records import Group, Project, Role, User
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Forbidden, NotFound, Unauthenticated

UNAUTHENTICATED = "The request you have made requires authentication."
BLAME = (
    "The server could not comply with the request since it is either malformed or otherwise incorrect. "
    "The client is assumed to be in error."
)


def unauthenticated() -> Unauthenticated:
    """Return the one fault for every way in which a login fails, so that none tells which."""
    return Unauthenticated(UNAUTHENTICATED)


def expecting(attribute: str, target: str) -> BadRequest:
    """Return the fault for something that is missing."""
    return BadRequest(f"Expecting to find {attribute} in {target}. {BLAME}")


def not_found(what: str, id: str) -> NotFound:
    """Return the fault for an id that means nothing."""
    return NotFound(f"Could not find {what}: {id}.")


def forbidden(action: str = "") -> Forbidden:
    """Return the fault for what the caller may not do."""
    return Forbidden("You are not authorized to perform the requested action" + (f": {action}." if action else "."))


def user_target(user: User | None, prefix: str = "target.user") -> dict[str, Any]:
    """Tell rules of a user."""
    return {} if user is None else {f"{prefix}.id": user.id, f"{prefix}.domain_id": user.domain_id, "user_id": user.id}


def group_target(group: Group | None) -> dict[str, Any]:
    """Tell rules of a group."""
    return {} if group is None else {"target.group.id": group.id, "target.group.domain_id": group.domain_id}


def project_target(project: Project | None) -> dict[str, Any]:
    """Tell rules of a project."""
    return {} if project is None else {"target.project.id": project.id, "target.project.domain_id": project.home_id}


def domain_target(domain: Project | None) -> dict[str, Any]:
    """Tell rules of a domain."""
    return {} if domain is None else {"target.domain.id": domain.id}


def role_target(role: Role | None) -> dict[str, Any]:
    """Tell rules of a role."""
    return {} if role is None else {"target.role.name": role.name, "target.role.domain_id": role.domain_id or None}


def merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns to write for changes: further attributes and options are added to those that are there."""
    found = dict(changes)
    for name in ("extra", "options"):
        if name in found:
            kept = {**old[name], **found[name]}
            found[name] = {k: v for k, v in kept.items() if v is not None} if name == "options" else kept
    return found


def require_mutable(what: str, record: Any, changes: Mapping[str, Any] | None = None) -> None:
    """Check that a thing is not kept from being changed or deleted (changes None).

    :raises Forbidden: when its option immutable is set, and the change is not just that of this option.
    """
    if not record.options.get("immutable"):
        return
    if changes is None:
        raise Forbidden(
            f'Unable to delete immutable {what} resource: `{record.id}. Set resource option "immutable" to false first.'
        )
    if changes.get("options", {}).get("immutable") is not False:
        raise Forbidden(
            f'Unable to update immutable {what} resource: `{record.id}. Set resource option "immutable" to false first.'
        )


def domain_of(ctx: Context, given: str | None) -> str:
    """Return the domain of a new thing: the one named, else that of the caller's scope, else the default one."""
    return given or ctx.domain_id or ctx.project_domain_id or "default"
