"""/v3/projects"""

from collections.abc import Sequence
from typing import Any

from pileus.identity.api.parts import page, values, where
from pileus.identity.schemas.projects import ProjectCreateBody, ProjectUpdateBody, TagsBody, show_project
from pileus.identity.service import domains, projects
from pileus.identity.store.records import Project
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Answer, Call, Route

TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")


def list_(call: Call) -> Any:
    """List projects"""
    asked = {name: str(call.query.get(name)).split(",") for name in TAG_FILTERS if name in call.query}
    limits = where(call, "name", "domain_id", "parent_id", flags=("enabled", "is_domain"))
    return page(call, "projects", _show_all(call, projects.list_(call.ctx, limits, asked)))


def create(call: Call) -> Any:
    """Create a project"""
    given = values(call, "project", plain_description=True)
    if given.pop("is_domain", False):
        if given.pop("parent_id", None) or given.pop("domain_id", None):
            raise BadRequest("only root projects are allowed to act as domains.")
        made = domains.create(call.ctx, given)
    else:
        made = projects.create(call.ctx, given)
    return _show_one(call, made)


def show(call: Call) -> Any:
    """Show a project; on request with those above and below it"""
    project = projects.get(call.ctx, call.path["project_id"])
    answer = _show_one(call, project)
    wanted = [name for name in ("parents_as_list", "parents_as_ids", "subtree_as_list", "subtree_as_ids") if name in call.query]
    if {"parents_as_list", "parents_as_ids"} <= set(wanted) or {"subtree_as_list", "subtree_as_ids"} <= set(wanted):
        raise BadRequest("Cannot use a list and ids of the same relatives at once. Use one of them.")
    if wanted:
        above, below = projects.relatives(call.ctx, project)
        for name in wanted:
            key, _, form = name.partition("_as_")
            answer["project"][key] = _relatives(call, project, above if key == "parents" else below, key, form)
    return answer


def _relatives(call: Call, project: Project, found: Sequence[Project], key: str, form: str) -> Any:
    if form == "list":
        allowed = found if call.ctx.is_admin or call.ctx.system else _own(call, found)
        return [{"project": shown} for shown in _show_all(call, list(allowed))]
    if key == "parents":
        tree: Any = {project.domain_id: None} if not project.is_domain else None
        for parent in reversed(found):
            tree = {parent.id: tree}
        return tree
    return _tree(project.id, found)


def _own(call: Call, found: Sequence[Project]) -> list[Project]:
    visible = projects.visible_ids(call.ctx)
    return [project for project in found if project.id in visible]


def _tree(project_id: str, below: Sequence[Project]) -> Any:
    return {child.id: _tree(child.id, below) for child in below if child.parent_id == project_id} or None


def update(call: Call) -> Any:
    """Update a project"""
    given = values(call, "project", plain_description=True)
    return _show_one(call, projects.update(call.ctx, call.path["project_id"], given))


def delete(call: Call) -> Any:
    """Delete a project"""
    domains.delete_project(call.ctx, call.path["project_id"])


def list_tags(call: Call) -> Any:
    """List the tags of a project"""
    return {"tags": projects.list_tags(call.ctx, call.path["project_id"]), "links": {"self": call.path_url}}


def set_tags(call: Call) -> Any:
    """Replace the tags of a project"""
    return {"tags": projects.set_tags(call.ctx, call.path["project_id"], call.body.tags), "links": {"self": call.path_url}}


def delete_tags(call: Call) -> Any:
    """Remove all tags of a project"""
    projects.set_tags(call.ctx, call.path["project_id"], [])


def check_tag(call: Call) -> Any:
    """Check whether a project has a tag"""
    projects.check_tag(call.ctx, call.path["project_id"], call.path["tag"])


def add_tag(call: Call) -> Any:
    """Add a tag to a project"""
    tag = call.path["tag"]
    if not 0 < len(tag) <= 255 or "," in tag or "/" in tag:
        raise BadRequest(f"Invalid input for field 'value': '{tag}' is not a tag.")
    projects.add_tag(call.ctx, call.path["project_id"], tag)
    return Answer(b"", headers={"Location": call.path_url})


def delete_tag(call: Call) -> Any:
    """Remove a tag from a project"""
    projects.delete_tag(call.ctx, call.path["project_id"], call.path["tag"])


def _show_one(call: Call, project: Project) -> dict[str, Any]:
    return {"project": _show_all(call, [project])[0]}


def _show_all(call: Call, found: list[Project]) -> list[dict[str, Any]]:
    tags = projects.tags_of(call.ctx, found)
    return [show_project(project, call.base_url, tags.get(project.id, ())) for project in found]


ONE = "/v3/projects/{project_id}"
ROUTES = (
    Route("GET", "/v3/projects", list_, rule="identity:list_projects"),
    Route("POST", "/v3/projects", create, body=ProjectCreateBody, status=201, rule="identity:create_project"),
    Route("GET", ONE, show, rule="identity:get_project"),
    Route("PATCH", ONE, update, body=ProjectUpdateBody, rule="identity:update_project"),
    Route("DELETE", ONE, delete, status=204, rule="identity:delete_project"),
    Route("GET", f"{ONE}/tags", list_tags, rule="identity:list_project_tags"),
    Route("PUT", f"{ONE}/tags", set_tags, body=TagsBody, rule="identity:update_project_tags"),
    Route("DELETE", f"{ONE}/tags", delete_tags, status=204, rule="identity:delete_project_tags"),
    Route("GET", f"{ONE}/tags/{{tag}}", check_tag, status=204, rule="identity:get_project_tag"),
    Route("PUT", f"{ONE}/tags/{{tag}}", add_tag, status=201, rule="identity:create_project_tag"),
    Route("DELETE", f"{ONE}/tags/{{tag}}", delete_tag, status=204, rule="identity:delete_project_tag"),
)
