"""Projects and domains."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from pileus.identity.schemas.fields import Id, Options, ShortName, Tags, Text, self_link
from pileus.identity.store.records import Project


class ProjectCreate(Struct, kw_only=True):
    """A project to make."""

    name: ShortName
    domain_id: Id | UnsetType | None = UNSET
    parent_id: Id | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    is_domain: bool | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    options: Options | UnsetType = UNSET


class ProjectCreateBody(Struct):
    """The body of a create."""

    project: ProjectCreate


class ProjectUpdate(Struct, kw_only=True):
    """Changes of a project."""

    name: ShortName | UnsetType = UNSET
    domain_id: Id | UnsetType | None = UNSET
    parent_id: Id | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    is_domain: bool | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    options: Options | UnsetType = UNSET


class ProjectUpdateBody(Struct):
    """The body of an update."""

    project: ProjectUpdate


class DomainCreate(Struct, kw_only=True):
    """A domain to make."""

    name: ShortName
    explicit_domain_id: str | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    options: Options | UnsetType = UNSET


class DomainCreateBody(Struct):
    """The body of a create."""

    domain: DomainCreate


class DomainUpdate(Struct, kw_only=True):
    """Changes of a domain."""

    name: ShortName | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    options: Options | UnsetType = UNSET


class DomainUpdateBody(Struct):
    """The body of an update."""

    domain: DomainUpdate


class TagsBody(Struct):
    """All tags of a project."""

    tags: Tags


def show_project(project: Project, base_url: str, tags: Sequence[str] = ()) -> dict[str, Any]:
    """Return a project as shown."""
    return {
        **project.extra,
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain_id or None,
        "description": project.description,
        "enabled": project.enabled,
        "parent_id": project.parent_id,
        "is_domain": project.is_domain,
        "tags": list(tags),
        "options": project.options,
        "links": self_link(base_url, f"projects/{project.id}"),
    }


def show_domain(domain: Project, base_url: str, tags: Sequence[str] = ()) -> dict[str, Any]:
    """Return a domain as shown."""
    return {
        **domain.extra,
        "id": domain.id,
        "name": domain.name,
        "description": domain.description,
        "enabled": domain.enabled,
        "tags": list(tags),
        "options": domain.options,
        "links": self_link(base_url, f"domains/{domain.id}"),
    }
