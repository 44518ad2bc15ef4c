"""Credentials of all kinds: secrets, EC2 key pairs, application credentials and their access rules."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.identity.schemas.fields import Id, Name, Text, self_link
from pileus.identity.service.app_credentials import Full
from pileus.identity.service.credentials import Ec2Key
from pileus.identity.store.records import AccessRule, Credential
from pileus.kernel.clock import to_iso_micro


class CredentialCreate(Struct, kw_only=True):
    """A secret to keep."""

    blob: str
    type: Name
    user_id: Id | UnsetType = UNSET
    project_id: Id | UnsetType | None = UNSET


class CredentialCreateBody(Struct):
    """The body of a create."""

    credential: CredentialCreate


class CredentialUpdate(Struct, kw_only=True):
    """Changes of a secret."""

    blob: str | UnsetType = UNSET
    type: Name | UnsetType = UNSET
    user_id: Id | UnsetType = UNSET
    project_id: Id | UnsetType | None = UNSET


class CredentialUpdateBody(Struct):
    """The body of an update."""

    credential: CredentialUpdate


class Ec2CreateBody(Struct):
    """The project of a new EC2 key pair."""

    tenant_id: Id


class RoleRef(Struct):
    """A role by id or name."""

    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


class RuleRef(Struct):
    """An access rule by id or content."""

    id: str | UnsetType = UNSET
    service: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    path: Annotated[str, Meta(max_length=128, pattern=r"^/.*")] | UnsetType = UNSET
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] | UnsetType = UNSET


class AppCredentialCreate(Struct, kw_only=True, forbid_unknown_fields=True):
    """An application credential to make."""

    name: Name
    description: Text | UnsetType | None = UNSET
    secret: str | UnsetType | None = UNSET
    expires_at: str | UnsetType | None = UNSET
    roles: list[RoleRef] | UnsetType = UNSET
    unrestricted: bool | UnsetType | None = UNSET
    access_rules: list[RuleRef] | UnsetType = UNSET
    project_id: str | UnsetType | None = UNSET
    system: str | UnsetType | None = UNSET
    domain_id: str | UnsetType | None = UNSET


class AppCredentialCreateBody(Struct):
    """The body of a create."""

    application_credential: AppCredentialCreate


def show_credential(credential: Credential, blob: str, base_url: str) -> dict[str, Any]:
    """Return a credential as shown."""
    return {
        **credential.extra,
        "id": credential.id,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "type": credential.type,
        "blob": blob,
        "links": self_link(base_url, f"credentials/{credential.id}"),
    }


def show_ec2(key: Ec2Key, base_url: str) -> dict[str, Any]:
    """Return an EC2 key pair as shown."""
    return {
        "user_id": key.user_id,
        "tenant_id": key.project_id,
        "access": key.access,
        "secret": key.secret,
        "trust_id": key.trust_id,
        "links": self_link(base_url, f"users/{key.user_id}/credentials/OS-EC2/{key.access}"),
    }


def show_app_credential(full: Full, base_url: str) -> dict[str, Any]:
    """Return an application credential as shown; its secret only when it was just made."""
    found = full.credential
    shown: dict[str, Any] = {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "user_id": found.user_id,
        "project_id": found.project_id,
        "system": None,
        "expires_at": None if found.expires_at is None else to_iso_micro(found.expires_at).rstrip("Z"),  # as Keystone does
        "unrestricted": found.unrestricted,
        "roles": [{"id": role.id, "name": role.name, "domain_id": role.domain_id or None} for role in full.roles],
        "links": self_link(base_url, f"users/{found.user_id}/application_credentials/{found.id}"),
    }
    if full.rules:
        shown["access_rules"] = [
            {"id": rule.id, "service": rule.service, "path": rule.path, "method": rule.method} for rule in full.rules
        ]
    return shown | ({"secret": full.secret} if full.secret else {})


def show_rule(rule: AccessRule, base_url: str) -> dict[str, Any]:
    """Return an access rule as shown."""
    return {
        "id": rule.id,
        "service": rule.service,
        "path": rule.path,
        "method": rule.method,
        "links": self_link(base_url, f"users/{rule.user_id}/access_rules/{rule.id}"),
    }
