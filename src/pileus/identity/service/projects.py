"""Projects in their hierarchy, and their tags."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from pileus.identity import effective, tables
from pileus.identity.service import tokens
from pileus.identity.service.users import require_domain
from pileus.identity.service.words import domain_of, merged, not_found, project_target, require_mutable
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import AppCredential, Assignment, Credential, Limit, OAuthToken, Project, Trust
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest, Forbidden, NotFound

DEPTH_MAX = 5
TAGS_MAX = 80


def get_name(cloud: Cloud, project_id: str) -> str | None:
    """Return the name of a project; None when there is none.  For other services: checks no rule."""
    with cloud.db.read() as tx:
        project = rows.get(tx, Project, project_id)
    return project.name if project else None


def exists(cloud: Cloud, project_id: str) -> bool:
    """Tell whether there is such a project.  For other services: checks no rule."""
    return get_name(cloud, project_id) is not None


def list_(ctx: Context, where: Mapping[str, Any], tags: Mapping[str, Sequence[str]] | None = None) -> list[Project]:
    """Return projects whose attributes equal those given.

    :param tags: tags, tags-any, not-tags, not-tags-any: which tags they must have or not have.
    """
    ctx.require("identity:list_projects", {"target.domain_id": ctx.domain_id or where.get("domain_id")})
    limits = {"is_domain": False, **where}
    with ctx.cloud.db.read() as tx:
        found = rows.find(tx, Project, **limits)
        if ctx.domain_id:
            found = [project for project in found if project.home_id == ctx.domain_id]
        return _with_tags(tx, found, tags) if tags else found


def _with_tags(tx: Connection, projects: list[Project], asked: Mapping[str, Sequence[str]]) -> list[Project]:
    known = links.tags(tx, [project.id for project in projects])

    def fits(project: Project) -> bool:
        has = set(known.get(project.id, ()))
        for name, names in asked.items():
            wanted = set(names)
            holds = bool(wanted & has) if name.endswith("any") else wanted <= has
            if holds == name.startswith("not"):
                return False
        return True

    return [project for project in projects if fits(project)]


def tags_of(ctx: Context, projects: Sequence[Project]) -> dict[str, list[str]]:
    """Return the tags of projects that the caller was shown."""
    if not projects:
        return {}
    with ctx.cloud.db.read() as tx:
        return links.tags(tx, [project.id for project in projects])


def get(ctx: Context, project_id: str) -> Project:
    """Return a project.

    :raises NotFound: when there is none.
    """
    with ctx.cloud.db.read() as tx:
        return require(ctx, tx, "identity:get_project", project_id)


def relatives(ctx: Context, project: Project) -> tuple[list[Project], list[Project]]:
    """Return the projects above (the nearest first) and below one."""
    with ctx.cloud.db.read() as tx:
        above = tokens.ancestors(tx, project)
        below = effective.subtree(project.id, rows.find(tx, Project, is_domain=False, domain_id=project.home_id))
    return above, below


def visible_ids(ctx: Context) -> set[str]:
    """Return the projects on which the caller has a role."""
    with ctx.cloud.db.read() as tx:
        held = links.assignments_of(tx, ctx.user_id)
        known = {project.id: project for project in rows.find(tx, Project, is_domain=False)}
    return set(effective.reachable_projects(held, known))


def create(ctx: Context, values: Mapping[str, Any]) -> Project:
    """Make a project.

    :raises BadRequest: when the hierarchy does not allow it.
    :raises Conflict: when the domain has one of that name.
    """
    given = dict(values)
    tags = given.pop("tags", [])
    domain_id, parent_id = given.pop("domain_id", None), given.pop("parent_id", None)
    with ctx.cloud.db.begin() as tx:
        parent = rows.get(tx, Project, parent_id) if parent_id else None
        if domain_id is None and parent is not None:
            domain_id = parent.home_id
        domain_id = domain_of(ctx, domain_id)
        ctx.require("identity:create_project", {"target.project.domain_id": domain_id})
        if parent_id and parent is None:
            raise not_found("project", parent_id)
        domain = require_domain(tx, domain_id)
        _check_parent(tx, parent or domain, domain, given.get("enabled", True))
        project = Project(ids.hex_id(), domain_id=domain_id, parent_id=(parent or domain).id, **given)
        rows.add(tx, project, "project", _taken(project.name, project.id))
        links.set_tags(tx, project.id, tags)
    return project


def _check_parent(tx: Connection, parent: Project, domain: Project, enabled: bool) -> None:
    if parent.home_id != domain.id:
        raise BadRequest(
            f"Cannot create project, since it specifies its domain_id {domain.id}, but specifies a parent in a "
            f"different domain ({parent.home_id})."
        )
    above = [] if parent.is_domain else [parent, *tokens.ancestors(tx, parent)]
    if len(above) + 1 >= DEPTH_MAX:
        raise Forbidden(f"Max hierarchy depth reached for {parent.id} branch.")
    if enabled and not all(project.enabled for project in [*above, domain]):
        blocked = next(project for project in [*above, domain] if not project.enabled)
        raise Forbidden(f"cannot create a project in a branch containing a disabled project: {blocked.id}")


def update(ctx: Context, project_id: str, values: Mapping[str, Any]) -> Project:
    """Change a project; disabling it makes tokens for it void.

    :raises Forbidden: when something above is disabled, or below still enabled.
    :raises Conflict: when the name is taken.
    """
    given = dict(values)
    tags = given.pop("tags", None)
    with ctx.cloud.db.begin() as tx:
        project = require(ctx, tx, "identity:update_project", project_id)
        require_mutable("project", project, given)
        for name in ("parent_id", "is_domain", "domain_id"):
            if name in given and given.pop(name) != getattr(project, name):
                said = "Cannot change Domain ID" if name == "domain_id" else f"Update of `{name}` is not allowed."
                raise (BadRequest if name == "domain_id" else Forbidden)(said)
        enabled = given.get("enabled", project.enabled)
        _check_enabling(tx, project, enabled)
        change(tx, ctx.cloud, project, given)
        if tags is not None:
            links.set_tags(tx, project_id, tags)
        return rows.get(tx, Project, project_id) or project


def change(tx: Connection, cloud: Cloud, project: Project, given: Mapping[str, Any]) -> None:
    """Write changes of a project or domain; disabling it makes its tokens void."""
    columns = merged({"extra": project.extra, "options": project.options}, given)
    rows.change(tx, Project, project.id, columns, "project", _taken(given.get("name", project.name), project.id))
    if project.enabled and given.get("enabled") is False:
        revisions.revoke(tx, "domain" if project.is_domain else "project", project.id, cloud.clock.now())
    revisions.bump(tx)


def _check_enabling(tx: Connection, project: Project, enabled: bool) -> None:
    if enabled and not project.enabled and not all(above.enabled for above in tokens.ancestors(tx, project)):
        raise Forbidden(f"Cannot enable project {project.id} since it has disabled parents")
    if project.enabled and not enabled:
        below = effective.subtree(project.id, rows.find(tx, Project, is_domain=False, domain_id=project.domain_id))
        if any(child.enabled for child in below):
            raise Forbidden(f"Cannot disable project {project.id} since its subtree contains enabled projects.")


def remove_leaf(tx: Connection, cloud: Cloud, project: Project) -> None:
    """Delete a project that has none below it.

    :raises Forbidden: when it has.
    """
    if rows.find(tx, Project, parent_id=project.id):
        raise Forbidden(
            f"Cannot delete the project {project.id} since it is not a leaf in the hierarchy. "
            "Use the cascade option if you want to delete a whole subtree."
        )
    remove(tx, cloud, project)


def remove(tx: Connection, cloud: Cloud, project: Project) -> None:
    """Delete a project's rows and tell the other services."""
    kind = "domain" if project.is_domain else "project"
    rows.drop(tx, Assignment, target_kind=kind, target_id=project.id)
    rows.drop(tx, Credential, project_id=project.id)
    rows.drop(tx, AppCredential, project_id=project.id)
    rows.drop(tx, Trust, project_id=project.id)
    rows.drop(tx, OAuthToken, project_id=project.id)
    rows.drop(tx, Limit, **{f"{kind}_id": project.id})
    links.forget_default_project(tx, project.id)
    rows.drop(tx, Project, id=project.id)
    revisions.bump(tx)
    cloud.events.publish(tx, cloud, f"identity.{kind}.deleted", {"id": project.id, f"{kind}_id": project.id})


def list_tags(ctx: Context, project_id: str) -> list[str]:
    """Return the tags of a project."""
    with ctx.cloud.db.read() as tx:
        require(ctx, tx, "identity:list_project_tags", project_id)
        return links.tags(tx, [project_id]).get(project_id, [])


def check_tag(ctx: Context, project_id: str, name: str) -> None:
    """Tell whether a project has a tag.

    :raises NotFound: when it has not.
    """
    with ctx.cloud.db.read() as tx:
        require(ctx, tx, "identity:get_project_tag", project_id)
        if not links.exists(tx, tables.project_tags, project_id=project_id, name=name):
            raise NotFound(f"Could not find project tag: {name}.")


def set_tags(ctx: Context, project_id: str, names: Sequence[str]) -> list[str]:
    """Replace the tags of a project."""
    rule = "identity:update_project_tags" if names else "identity:delete_project_tags"
    with ctx.cloud.db.begin() as tx:
        require_mutable("project", require(ctx, tx, rule, project_id), {})
        links.set_tags(tx, project_id, names)
    return sorted(set(names))


def add_tag(ctx: Context, project_id: str, name: str) -> None:
    """Add a tag to a project.

    :raises BadRequest: when it has too many.
    """
    with ctx.cloud.db.begin() as tx:
        require_mutable("project", require(ctx, tx, "identity:create_project_tag", project_id), {})
        links.add(tx, tables.project_tags, project_id=project_id, name=name)
        if len(links.tags(tx, [project_id]).get(project_id, [])) > TAGS_MAX:
            raise BadRequest(f"A project has at most {TAGS_MAX} tags.")


def delete_tag(ctx: Context, project_id: str, name: str) -> None:
    """Take a tag from a project.

    :raises NotFound: when it has it not.
    """
    with ctx.cloud.db.begin() as tx:
        require_mutable("project", require(ctx, tx, "identity:delete_project_tag", project_id), {})
        if not links.drop(tx, tables.project_tags, project_id=project_id, name=name):
            raise NotFound(f"Could not find project tag: {name}.")


def require(ctx: Context, tx: Connection, rule: str, project_id: str) -> Project:
    """Return a project after checking a rule for it.

    :raises NotFound: when there is none.
    """
    project = rows.get(tx, Project, project_id)
    ctx.require(rule, project_target(project))
    if project is None:
        raise not_found("project", project_id)
    return project


def _taken(name: str, id: str) -> str:
    return (
        "it is not permitted to have two projects with either the same name or same id in the same domain: "
        f"name is {name}, project id {id}"
    )
