"""Tokens and versions as shown."""

from typing import Any

from pileus.identity.service.factors import MoreNeeded
from pileus.identity.service.tokens import Facts, Token
from pileus.identity.store.records import Project
from pileus.kernel.clock import to_iso_micro


def show_token(token: Token, catalog: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return what a token says.

    :param catalog: the catalog of its scope; None to leave it out.
    """
    facts, body = token.facts, token.payload
    ends = facts.user.password_expires_at
    shown: dict[str, Any] = {
        "methods": list(body.methods),
        "user": {
            "domain": _named(facts.user_domain),
            "id": facts.user.id,
            "name": facts.user.name,
            "password_expires_at": None if ends is None else to_iso_micro(ends),
        },
        "audit_ids": body.audit_ids,
        "expires_at": to_iso_micro(body.expires_at),
        "issued_at": to_iso_micro(body.issued_at),
    }
    if facts.scope == "system":
        shown["system"] = {"all": True}
    elif facts.place and facts.scope == "domain":
        shown["domain"] = _named(facts.place)
    elif facts.place and facts.place_domain:
        shown["project"] = {**_named(facts.place), "domain": _named(facts.place_domain)}
        shown["is_domain"] = facts.place.is_domain
    if facts.scope:
        shown["roles"] = [{"id": role.id, "name": role.name} for role in facts.roles]
        if catalog is not None:
            shown["catalog"] = catalog
    if facts.app_credential:
        shown["application_credential"] = _show_app_credential(facts)
    if facts.trust:
        shown["OS-TRUST:trust"] = {
            "id": facts.trust.id,
            "trustor_user": {"id": facts.trust.trustor_user_id},
            "trustee_user": {"id": facts.trust.trustee_user_id},
            "impersonation": facts.trust.impersonation,
        }
    if facts.access_token:
        shown["OS-OAUTH1"] = {"access_token_id": facts.access_token.id, "consumer_id": facts.access_token.consumer_id}
    return {"token": shown}


def show_receipt(needed: MoreNeeded) -> dict[str, Any]:
    """Return what was right so far, and which sets of methods would do."""
    user = {"id": needed.user.id, "name": needed.user.name, "domain": _named(needed.domain)}
    shown = {
        "methods": list(needed.methods), "user": user, "issued_at": to_iso_micro(needed.issued_at),
        "expires_at": to_iso_micro(needed.expires_at),
    }  # fmt: skip
    return {"receipt": shown, "required_auth_methods": [list(rule) for rule in needed.rules]}


def _show_app_credential(facts: Facts) -> dict[str, Any]:
    found = facts.app_credential
    assert found is not None
    shown: dict[str, Any] = {"id": found.id, "name": found.name, "restricted": not found.unrestricted}
    if facts.access_rules is not None:
        shown["access_rules"] = [
            {"id": rule.id, "service": rule.service, "path": rule.path, "method": rule.method} for rule in facts.access_rules
        ]
    return shown


def _named(place: Project) -> dict[str, str]:
    return {"id": place.id, "name": place.name}


def show_version(base_url: str) -> dict[str, Any]:
    """Return the one version of the API."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base_url}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }
