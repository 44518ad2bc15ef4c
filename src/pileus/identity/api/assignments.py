"""/v3/role_assignments, and roles given under projects, domains, the system and OS-INHERIT"""

from collections.abc import Iterator
from typing import Any

from pileus.identity.api.parts import is_true, page
from pileus.identity.schemas.roles import show_assignment, show_role
from pileus.identity.service import assignments, grants
from pileus.identity.service.assignments import Wanted
from pileus.identity.service.grants import Place
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call, Handler, Route


def list_(call: Call) -> Any:
    """List role assignments"""
    query = call.query
    inherited_to = query.get("scope.OS-INHERIT:inherited_to")
    if inherited_to not in (None, "projects"):
        raise BadRequest(f"Invalid input for field 'scope.OS-INHERIT:inherited_to': '{inherited_to}' is not 'projects'.")
    wanted = Wanted(
        user_id=query.get("user.id"),
        group_id=query.get("group.id"),
        role_id=query.get("role.id"),
        project_id=query.get("scope.project.id"),
        domain_id=query.get("scope.domain.id"),
        system="scope.system" in query,
        inherited=True if inherited_to else None,
        effective=is_true(call, "effective"),
        include_subtree=is_true(call, "include_subtree"),
    )
    found, names = assignments.list_(call.ctx, wanted, is_true(call, "include_names"))
    return page(call, "role_assignments", [show_assignment(held, names, call.base_url) for held in found])


def _place(call: Call) -> Place:
    """Read from a path whose roles are meant, and where."""
    path = call.path
    actor = "user" if "user_id" in path else "group"
    target = "project" if "project_id" in path else "domain" if "domain_id" in path else "system"
    inherited = "/OS-INHERIT/" in call.route.path
    return Place(actor, path[f"{actor}_id"], target, path.get(f"{target}_id", "all"), inherited)


def list_grants(call: Call) -> Any:
    """List the roles of a user or group on a target"""
    return page(call, "roles", [show_role(role, call.base_url) for role in grants.list_(call.ctx, _place(call))])


def check_grant(call: Call) -> Any:
    """Check whether a user or group has a role on a target"""
    grants.check(call.ctx, _place(call), call.path["role_id"])


def create_grant(call: Call) -> Any:
    """Give a user or group a role on a target"""
    grants.create(call.ctx, _place(call), call.path["role_id"])


def revoke_grant(call: Call) -> Any:
    """Take a role on a target from a user or group"""
    grants.revoke(call.ctx, _place(call), call.path["role_id"])


ONE_GRANT: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "check", check_grant),
    ("PUT", "create", create_grant),
    ("DELETE", "revoke", revoke_grant),
)


def _grant_routes() -> Iterator[Route]:
    for actor in ("user", "group"):
        who = f"{actor}s/{{{actor}_id}}"
        for target in ("projects/{project_id}", "domains/{domain_id}"):
            plain = f"/v3/{target}/{who}/roles"
            inherited = f"/v3/OS-INHERIT/{target}/{who}/roles"
            yield Route("GET", plain, list_grants, rule="identity:list_grants")
            yield Route("GET", f"{inherited}/inherited_to_projects", list_grants, rule="identity:list_grants")
            for method, action, handler in ONE_GRANT:
                rule = f"identity:{action}_grant"
                yield Route(method, f"{plain}/{{role_id}}", handler, status=204, rule=rule)
                yield Route(method, f"{inherited}/{{role_id}}/inherited_to_projects", handler, status=204, rule=rule)
        system = f"/v3/system/{who}/roles"
        yield Route("GET", system, list_grants, rule=f"identity:list_system_grants_for_{actor}")
        for method, action, handler in ONE_GRANT:
            rule = f"identity:{action}_system_grant_for_{actor}"
            yield Route(method, f"{system}/{{role_id}}", handler, status=204, rule=rule)


ROUTES = (Route("GET", "/v3/role_assignments", list_, rule="identity:list_role_assignments"), *_grant_routes())
