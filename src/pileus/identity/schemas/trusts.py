"""Trusts, OAuth consumers and the access they are given."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.identity.schemas.credentials import RoleRef
from pileus.identity.schemas.fields import Id, Text, self_link
from pileus.identity.schemas.roles import show_role
from pileus.identity.service.trusts import Full
from pileus.identity.store.records import Consumer, OAuthToken, Trust
from pileus.kernel.clock import to_iso_micro


class TrustCreate(Struct, kw_only=True):
    """A trust to make."""

    trustor_user_id: Id
    trustee_user_id: Id
    impersonation: bool
    project_id: Id | UnsetType | None = UNSET
    expires_at: str | UnsetType | None = UNSET
    remaining_uses: int | UnsetType | None = UNSET
    roles: list[RoleRef] | UnsetType = UNSET
    allow_redelegation: bool | UnsetType = UNSET
    redelegation_count: Annotated[int, Meta(ge=0)] | UnsetType | None = UNSET


class TrustCreateBody(Struct):
    """The body of a create."""

    trust: TrustCreate


class ConsumerWrite(Struct):
    """A consumer to make or change."""

    description: Text | UnsetType | None = UNSET


class ConsumerBody(Struct):
    """The body of a create or an update."""

    consumer: ConsumerWrite


class AuthorizeBody(Struct):
    """The roles to let a consumer use."""

    roles: Annotated[list[RoleRef], Meta(min_length=1)]


def show_trust(trust: Trust, base_url: str) -> dict[str, Any]:
    """Return a trust as a list shows it."""
    return {
        "id": trust.id,
        "trustor_user_id": trust.trustor_user_id,
        "trustee_user_id": trust.trustee_user_id,
        "project_id": trust.project_id,
        "impersonation": trust.impersonation,
        "expires_at": None if trust.expires_at is None else to_iso_micro(trust.expires_at),
        "remaining_uses": trust.remaining_uses,
        "redelegated_trust_id": trust.redelegated_trust_id,
        "redelegation_count": trust.redelegation_count,
        "deleted_at": None,
        "links": self_link(base_url, f"OS-TRUST/trusts/{trust.id}"),
    }


def show_full_trust(full: Full, base_url: str) -> dict[str, Any]:
    """Return a trust with its roles."""
    links = self_link(base_url, f"OS-TRUST/trusts/{full.trust.id}/roles") | {"next": None, "previous": None}
    roles = [show_role(role, base_url) for role in full.roles]
    return {**show_trust(full.trust, base_url), "roles": roles, "roles_links": links}


def show_consumer(consumer: Consumer, base_url: str) -> dict[str, Any]:
    """Return a consumer as shown."""
    return {
        **consumer.extra,
        "id": consumer.id,
        "description": consumer.description,
        "links": self_link(base_url, f"OS-OAUTH1/consumers/{consumer.id}"),
    }


def show_access(token: OAuthToken, base_url: str) -> dict[str, Any]:
    """Return access as its giver sees it."""
    at = f"users/{token.user_id}/OS-OAUTH1/access_tokens/{token.id}"
    return {
        "id": token.id,
        "consumer_id": token.consumer_id,
        "project_id": token.project_id,
        "authorizing_user_id": token.user_id,
        "expires_at": None if token.expires_at is None else to_iso_micro(token.expires_at),
        "links": self_link(base_url, at) | {"roles": f"{base_url}/v3/{at}/roles"},
    }
