"""Versions, /v3/auth/tokens, and what a token's holder could ask a token for"""

from typing import Any

from pileus.identity.api.parts import is_true, off_threads, page, signed
from pileus.identity.login import AuthBody
from pileus.identity.schemas.projects import show_domain, show_project
from pileus.identity.schemas.tokens import show_receipt, show_token, show_version
from pileus.identity.service import assignments, auth, catalog, factors, projects, tokens
from pileus.identity.service.tokens import Token
from pileus.kernel.http import Answer, Call, Route

RECEIPT = "Openstack-Auth-Receipt"


def list_versions(call: Call) -> Any:
    """List the versions of the API"""
    versions = {"versions": {"values": [show_version(call.base_url)]}}
    return Answer(versions, 300, {"Location": f"{call.base_url}/v3/", "Vary": "X-Auth-Token"})


def show_v3(call: Call) -> Any:
    """Show version 3 of the API"""
    return Answer({"version": show_version(call.base_url)}, headers={"Vary": "X-Auth-Token"})


def issue(call: Call) -> Any:
    """Log in: make a token, or a receipt for what was right so far"""
    try:
        return answer_token(call, auth.log_in(call.cloud, call.body.auth, signed(call), call.headers.get(RECEIPT.lower(), "")))
    except factors.MoreNeeded as needed:
        return Answer(show_receipt(needed), 401, {RECEIPT: needed.receipt, "Vary": "X-Auth-Token"})


def validate(call: Call) -> Any:
    """Validate a token"""
    subject, late = call.headers.get("x-subject-token", ""), is_true(call, "allow_expired")
    if call.method == "HEAD":
        return answer_token(call, tokens.check(call.ctx, subject, late))
    return answer_token(call, tokens.validate(call.ctx, subject, late))


def revoke(call: Call) -> Any:
    """Revoke a token"""
    tokens.revoke(call.ctx, call.headers.get("x-subject-token", ""))


def answer_token(call: Call, token: Token) -> Answer:
    """Return a token, with the catalog of its scope, as an answer."""
    entries = None
    if "nocatalog" not in call.query and token.facts.scope:
        project_id = token.facts.place.id if token.facts.scope == "project" and token.facts.place else ""
        entries = catalog.for_token(call.cloud, project_id)
    return Answer(show_token(token, entries), headers={"X-Subject-Token": token.id, "Vary": "X-Auth-Token"})


def list_projects(call: Call) -> Any:
    """List the projects that one can get a token for"""
    found = assignments.own_projects(call.ctx)
    tags = projects.tags_of(call.ctx, found)
    return page(call, "projects", [show_project(project, call.base_url, tags.get(project.id, ())) for project in found])


def list_domains(call: Call) -> Any:
    """List the domains that one can get a token for"""
    return page(call, "domains", [show_domain(domain, call.base_url) for domain in assignments.own_domains(call.ctx)])


def show_system(call: Call) -> Any:
    """Tell whether one can get a token for the system"""
    return {"system": [{"all": True}] if assignments.may_use_system(call.ctx) else [], "links": {"self": call.path_url}}


def _needs_no_hash(body: AuthBody) -> bool:
    return not auth.needs_hashing(body.auth)


ROUTES = (
    Route("GET", "/", list_versions, status=300, public=True),
    Route("GET", "/v3", show_v3, public=True),
    Route("GET", "/v3/", show_v3, public=True),
    Route("POST", "/v3/auth/tokens", off_threads(issue, _needs_no_hash), body=AuthBody, status=201, public=True, stream=True),
    Route("GET", "/v3/auth/tokens", validate, rule="identity:validate_token"),
    Route("DELETE", "/v3/auth/tokens", revoke, status=204, rule="identity:revoke_token"),
    Route("GET", "/v3/auth/projects", list_projects, rule="identity:get_auth_projects"),
    Route("GET", "/v3/auth/domains", list_domains, rule="identity:get_auth_domains"),
    Route("GET", "/v3/auth/system", show_system, rule="identity:get_auth_system"),
)
