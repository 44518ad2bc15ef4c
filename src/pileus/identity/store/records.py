"""The records of identity: a frozen dataclass for each table that has an id, its fields the columns."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table

from pileus.identity import tables


@dataclass(frozen=True)
class Project:
    """A project, or a domain (is_domain)."""

    id: str
    name: str
    domain_id: str = ""
    parent_id: str | None = None
    is_domain: bool = False
    enabled: bool = True
    description: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def home_id(self) -> str:
        """The domain it lies in; a domain lies in itself."""
        return self.id if self.is_domain else self.domain_id


@dataclass(frozen=True)
class User:
    """A user."""

    id: str
    name: str
    domain_id: str
    enabled: bool = True
    default_project_id: str | None = None
    password_hash: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    created_at: float = 0.0
    password_set_at: float | None = None
    password_expires_at: float | None = None


@dataclass(frozen=True)
class Group:
    """A group of users."""

    id: str
    name: str
    domain_id: str
    description: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Role:
    """A role; one of a domain stands for the global roles that it implies."""

    id: str
    name: str
    domain_id: str = ""
    description: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Assignment:
    """A role given to a user or a group on a project, a domain or the system."""

    actor_kind: str
    actor_id: str
    target_kind: str
    target_id: str
    role_id: str
    inherited: bool = False


@dataclass(frozen=True)
class Region:
    """A region of the catalog."""

    id: str
    description: str = ""
    parent_region_id: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """A service of the catalog."""

    id: str
    type: str
    name: str = ""
    description: str | None = None
    enabled: bool = True
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """Where a service is reached."""

    id: str
    service_id: str
    interface: str
    url: str
    region_id: str | None = None
    enabled: bool = True
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Credential:
    """A secret kept for a user, such as an EC2 key pair."""

    id: str
    user_id: str
    type: str
    encrypted_blob: str
    project_id: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AppCredential:
    """A secret with which a program acts as a user in one project."""

    id: str
    name: str
    user_id: str
    project_id: str
    secret_hash: str
    description: str | None = None
    expires_at: float | None = None
    unrestricted: bool = False
    restricted_paths: bool = False


@dataclass(frozen=True)
class AccessRule:
    """A request that an application credential may make."""

    id: str
    user_id: str
    service: str
    path: str
    method: str


@dataclass(frozen=True)
class Trust:
    """One user (the trustor) lets another (the trustee) use roles of theirs on a project."""

    id: str
    trustor_user_id: str
    trustee_user_id: str
    project_id: str | None
    impersonation: bool
    expires_at: float | None = None
    remaining_uses: int | None = None
    redelegated_trust_id: str | None = None
    redelegation_count: int = 0


@dataclass(frozen=True)
class EndpointGroup:
    """All endpoints of some attributes."""

    id: str
    name: str
    description: str | None = None
    filters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """A policy kept for services that ask for it; it does not rule this cloud."""

    id: str
    type: str
    blob: Any
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DomainConfig:
    """Options of one domain, by group; its id is the domain's."""

    id: str
    groups: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class RegisteredLimit:
    """How much of a resource a project may use unless it has a limit of its own; region_id "" is every region."""

    id: str
    service_id: str
    resource_name: str
    default_limit: int
    region_id: str = ""
    description: str | None = None


@dataclass(frozen=True)
class Limit:
    """How much of a resource one project or domain may use."""

    id: str
    registered_limit_id: str
    resource_limit: int
    project_id: str = ""
    domain_id: str = ""
    description: str | None = None


@dataclass(frozen=True)
class Consumer:
    """A program that asks users for access by OAuth 1.0a."""

    id: str
    encrypted_secret: str
    description: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OAuthToken:
    """A consumer's request for access ("request"), or access given ("access")."""

    id: str
    kind: str
    encrypted_secret: str
    consumer_id: str
    project_id: str
    user_id: str = ""
    verifier: str = ""
    role_ids: list[str] = field(default_factory=list)
    expires_at: float | None = None


TABLES: dict[type[Any], Table] = {
    Project: tables.projects,
    User: tables.users,
    Group: tables.groups,
    Role: tables.roles,
    Assignment: tables.assignments,
    Region: tables.regions,
    Service: tables.services,
    Endpoint: tables.endpoints,
    Credential: tables.credentials,
    AppCredential: tables.app_credentials,
    AccessRule: tables.access_rules,
    Trust: tables.trusts,
    EndpointGroup: tables.endpoint_groups,
    Policy: tables.policies,
    DomainConfig: tables.domain_configs,
    RegisteredLimit: tables.registered_limits,
    Limit: tables.limits,
    Consumer: tables.consumers,
    OAuthToken: tables.oauth_tokens,
}
