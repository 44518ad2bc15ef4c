"""/v3/domains"""

from typing import Any

from pileus.identity.api.parts import page, values, where
from pileus.identity.schemas.projects import DomainCreateBody, DomainUpdateBody, show_domain
from pileus.identity.service import domains, projects
from pileus.identity.store.records import Project
from pileus.kernel.http import Call, Route


def list_(call: Call) -> Any:
    """List domains"""
    found = domains.list_(call.ctx, where(call, "name", flags=("enabled",)))
    tags = projects.tags_of(call.ctx, found)
    return page(call, "domains", [show_domain(domain, call.base_url, tags.get(domain.id, ())) for domain in found])


def create(call: Call) -> Any:
    """Create a domain"""
    return _show_one(call, domains.create(call.ctx, values(call, "domain", plain_description=True)))


def show(call: Call) -> Any:
    """Show a domain"""
    return _show_one(call, domains.get(call.ctx, call.path["domain_id"]))


def update(call: Call) -> Any:
    """Update a domain"""
    return _show_one(call, domains.update(call.ctx, call.path["domain_id"], values(call, "domain", plain_description=True)))


def delete(call: Call) -> Any:
    """Delete a disabled domain with all that is in it"""
    domains.delete(call.ctx, call.path["domain_id"])


def _show_one(call: Call, domain: Project) -> dict[str, Any]:
    tags = projects.tags_of(call.ctx, [domain])
    return {"domain": show_domain(domain, call.base_url, tags.get(domain.id, ()))}


ONE = "/v3/domains/{domain_id}"
ROUTES = (
    Route("GET", "/v3/domains", list_, rule="identity:list_domains"),
    Route("POST", "/v3/domains", create, body=DomainCreateBody, status=201, rule="identity:create_domain"),
    Route("GET", ONE, show, rule="identity:get_domain"),
    Route("PATCH", ONE, update, body=DomainUpdateBody, rule="identity:update_domain"),
    Route("DELETE", ONE, delete, status=204, rule="identity:delete_domain"),
)
