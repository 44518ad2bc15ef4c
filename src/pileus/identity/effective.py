"""Which roles somebody truly has: through groups, through projects above, through other roles.  Pure functions."""

from collections.abc import Collection, Iterable, Mapping

from pileus.identity.store.records import Assignment, Project


def closure(role_ids: Iterable[str], implied: Mapping[str, Collection[str]]) -> list[str]:
    """Return roles and all that they imply, directly or not, each once, in the order they are found."""
    found: dict[str, None] = {}
    waiting = list(role_ids)
    while waiting:
        role_id = waiting.pop(0)
        if role_id not in found:
            found[role_id] = None
            waiting.extend(implied.get(role_id, ()))
    return list(found)


def ancestors(project: Project, projects: Mapping[str, Project]) -> list[Project]:
    """Return the projects above one, the nearest first, without its domain."""
    found: list[Project] = []
    parent = projects.get(project.parent_id or "")
    while parent is not None and not parent.is_domain:
        found.append(parent)
        parent = projects.get(parent.parent_id or "")
    return found


def subtree(project_id: str, projects: Iterable[Project]) -> list[Project]:
    """Return the projects below one, parents before children."""
    children: dict[str, list[Project]] = {}
    for project in projects:
        if project.parent_id:
            children.setdefault(project.parent_id, []).append(project)
    found: list[Project] = []
    waiting = [project_id]
    while waiting:
        below = children.get(waiting.pop(0), [])
        found.extend(below)
        waiting.extend(child.id for child in below)
    return found


def held_on(held: Iterable[Assignment], kind: str, target_id: str, above: Collection[str] = (), domain_id: str = "") -> list[str]:
    """Return the roles that assignments give on a target, without what those imply.

    :param above: the projects above a project, and domain_id its domain, from which roles may be inherited.
    """
    found: dict[str, None] = {}
    for a in held:
        here = a.target_kind == kind and a.target_id == target_id and not a.inherited
        from_above = a.inherited and kind == "project" and (
            (a.target_kind == "project" and a.target_id in above) or (a.target_kind == "domain" and a.target_id == domain_id)
        )  # fmt: skip
        if here or from_above:
            found[a.role_id] = None
    return list(found)


def reachable_projects(held: Iterable[Assignment], projects: Mapping[str, Project]) -> list[str]:
    """Return the projects on which assignments give any role, in person or inherited."""
    found: dict[str, None] = {}
    for a in held:
        if a.target_kind == "project" and not a.inherited:
            found[a.target_id] = None
        elif a.target_kind == "project":
            found.update(dict.fromkeys(p.id for p in subtree(a.target_id, projects.values())))
        elif a.target_kind == "domain" and a.inherited:
            found.update(dict.fromkeys(p.id for p in projects.values() if p.domain_id == a.target_id))
    return [id for id in found if id in projects]
