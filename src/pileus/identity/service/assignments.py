"""Lists of who has which role where, as given or as it turns out (effective)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pileus.identity import effective
from pileus.identity.service import users
from pileus.identity.service.words import not_found
from pileus.identity.store import links, rows
from pileus.identity.store.records import Assignment, Group, Project, Role, User
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest


@dataclass(frozen=True)
class Held:
    """One role that somebody has somewhere.

    given is the assignment it comes from; through the group, if any, prior_role_id the role that implied it.
    """

    given: Assignment
    actor_kind: str
    actor_id: str
    target_kind: str
    target_id: str
    role_id: str
    through: str = ""
    prior_role_id: str = ""


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    user_id: str | None = None
    group_id: str | None = None
    role_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    inherited: bool | None = None
    effective: bool = False
    include_subtree: bool = False


@dataclass(frozen=True)
class Names:
    """What ids in a list of assignments mean, for those who want names."""

    users: Mapping[str, User]
    groups: Mapping[str, Group]
    places: Mapping[str, Project]
    roles: Mapping[str, Role]


def list_(ctx: Context, wanted: Wanted, with_names: bool) -> tuple[list[Held], Names | None]:
    """Return assignments, and what their ids mean if that is wanted.

    :raises BadRequest: when filters exclude one another.
    """
    _check_filters(wanted)
    with ctx.cloud.db.read() as tx:
        _require(ctx, tx, wanted)
        found = list(_find(tx, wanted))
        if ctx.domain_id:
            places = rows.by_id(tx, Project, {held.target_id for held in found})
            found = [h for h in found if h.target_id in places and places[h.target_id].home_id == ctx.domain_id]
        return found, _names(tx, found) if with_names else None


def domains_of(tx: Connection, user_id: str) -> list[Project]:
    """Return the domains on which a user has a role."""
    held = links.assignments_of(tx, user_id)
    wanted = {a.target_id for a in held if a.target_kind == "domain" and not a.inherited}
    return rows.find(tx, Project, is_domain=True, id=wanted) if wanted else []


def own_projects(ctx: Context) -> list[Project]:
    """Return the enabled projects that the caller can ask a token for."""
    ctx.require("identity:get_auth_projects")
    with ctx.cloud.db.read() as tx:
        found = users.reachable_projects(tx, ctx.user_id)
        enabled = {domain.id for domain in rows.find(tx, Project, is_domain=True, enabled=True)}
    return [project for project in found if project.enabled and project.domain_id in enabled]


def own_domains(ctx: Context) -> list[Project]:
    """Return the enabled domains that the caller can ask a token for."""
    ctx.require("identity:get_auth_domains")
    with ctx.cloud.db.read() as tx:
        return [domain for domain in domains_of(tx, ctx.user_id) if domain.enabled]


def may_use_system(ctx: Context) -> bool:
    """Tell whether the caller can ask for a token for the system."""
    ctx.require("identity:get_auth_system")
    with ctx.cloud.db.read() as tx:
        return any(a.target_kind == "system" for a in links.assignments_of(tx, ctx.user_id))


def _check_filters(wanted: Wanted) -> None:
    if wanted.domain_id and wanted.project_id:
        raise BadRequest("Specify a domain or project, not both")
    if wanted.system and wanted.domain_id:
        raise BadRequest("Specify system or domain, not both")
    if wanted.system and wanted.project_id:
        raise BadRequest("Specify system or project, not both")
    if wanted.user_id and wanted.group_id:
        raise BadRequest("Specify a user or group, not both")
    if wanted.effective and wanted.group_id:
        raise BadRequest("Combining effective and group filter will always result in an empty list.")
    if wanted.effective and wanted.inherited and wanted.domain_id:
        raise BadRequest("Combining effective, domain and inherited filters will always result in an empty list.")


def _require(ctx: Context, tx: Connection, wanted: Wanted) -> None:
    if not wanted.include_subtree:
        ctx.require("identity:list_role_assignments", {"target.domain_id": ctx.domain_id})
        return
    project = rows.get(tx, Project, wanted.project_id) if wanted.project_id else None
    ctx.require("identity:list_role_assignments_for_tree", {"target.domain_id": project.home_id if project else None})
    if not wanted.project_id:
        raise BadRequest("scope.project.id must be specified if include_subtree is also specified")
    if project is None:
        raise not_found("project", wanted.project_id)


def _find(tx: Connection, wanted: Wanted) -> list[Held]:
    if wanted.user_id and wanted.effective:
        given: Iterable[Assignment] = links.assignments_of(tx, wanted.user_id)
    else:
        where: dict[str, Any] = {}
        if wanted.user_id or wanted.group_id:
            where = {"actor_kind": "user" if wanted.user_id else "group", "actor_id": wanted.user_id or wanted.group_id}
        given = rows.find(tx, Assignment, **where)
    projects = {p.id: p for p in rows.find(tx, Project)} if wanted.effective or wanted.include_subtree else {}
    if wanted.effective:
        everything = list(_expand(tx, given, projects))
    else:
        everything = [Held(a, a.actor_kind, a.actor_id, a.target_kind, a.target_id, a.role_id) for a in given]
    places = {wanted.project_id}
    if wanted.include_subtree and wanted.project_id:
        places |= {project.id for project in effective.subtree(wanted.project_id, projects.values())}
    found = [held for held in everything if _fits(held, wanted, places)]
    return sorted(dict.fromkeys(found), key=lambda h: (h.target_kind, h.target_id, h.actor_kind, h.actor_id, h.role_id))


def _fits(held: Held, wanted: Wanted, places: set[str | None]) -> bool:
    tests = (
        wanted.user_id is None or (held.actor_kind == "user" and held.actor_id == wanted.user_id),
        wanted.role_id is None or held.role_id == wanted.role_id,
        wanted.project_id is None or (held.target_kind == "project" and held.target_id in places),
        wanted.domain_id is None or (held.target_kind == "domain" and held.target_id == wanted.domain_id),
        not wanted.system or held.target_kind == "system",
        wanted.inherited is None or held.given.inherited == wanted.inherited,
    )
    return all(tests)


def _expand(tx: Connection, given: Iterable[Assignment], projects: Mapping[str, Project]) -> Iterator[Held]:
    """Turn assignments into what they come to: users of groups, projects below, roles implied."""
    members, implied = links.all_members(tx), links.implications(tx)
    domain_roles = {role.id for role in rows.find(tx, Role) if role.domain_id}
    for a in given:
        base = Held(a, a.actor_kind, a.actor_id, a.target_kind, a.target_id, a.role_id)
        actors = [base] if a.actor_kind == "user" else [
            replace(base, actor_kind="user", actor_id=user_id, through=a.actor_id) for user_id in members.get(a.actor_id, [])
        ]  # fmt: skip
        for held in actors:
            for target_kind, target_id in _targets(a, projects):
                for role_id, prior in _with_priors(a.role_id, implied):
                    if role_id not in domain_roles:
                        yield replace(held, target_kind=target_kind, target_id=target_id, role_id=role_id, prior_role_id=prior)


def _targets(a: Assignment, projects: Mapping[str, Project]) -> list[tuple[str, str]]:
    if not a.inherited:
        return [(a.target_kind, a.target_id)]
    if a.target_kind == "project":
        return [("project", project.id) for project in effective.subtree(a.target_id, projects.values())]
    return [("project", project.id) for project in projects.values() if project.domain_id == a.target_id]


def _with_priors(role_id: str, implied: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    found = {role_id: ""}
    waiting = [role_id]
    while waiting:
        prior = waiting.pop(0)
        for next_id in implied.get(prior, ()):
            if next_id not in found:
                found[next_id] = prior
                waiting.append(next_id)
    return list(found.items())


def _names(tx: Connection, found: Iterable[Held]) -> Names:
    everything = list(found)
    places = rows.by_id(tx, Project, {held.target_id for held in everything if held.target_kind != "system"})
    who = rows.by_id(tx, User, {held.actor_id for held in everything if held.actor_kind == "user"})
    groups = rows.by_id(tx, Group, {held.actor_id for held in everything if held.actor_kind == "group"})
    domains = {domain.id: domain for domain in rows.find(tx, Project, is_domain=True)}
    return Names(who, groups, {**places, **domains}, {role.id: role for role in rows.find(tx, Role)})
