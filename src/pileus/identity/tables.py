"""The tables of identity.

A domain is a project with is_domain set; the domain_id of a domain, of a global role, is "" (so that unique constraints
hold everywhere).  Times are epoch seconds.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from pileus.kernel.db import Json, metadata

projects = Table(
    "identity_projects", metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("domain_id", String(64), nullable=False, default=""),
    Column("parent_id", String(64)),
    Column("is_domain", Boolean, nullable=False, default=False),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("description", Text, nullable=False, default=""),
    Column("options", Json, nullable=False),
    Column("extra", Json, nullable=False),
    UniqueConstraint("domain_id", "name"),
    Index("ix_identity_projects_parent_id", "parent_id"),
)  # fmt: skip

project_tags = Table(
    "identity_project_tags", metadata,
    Column("project_id", String(64), ForeignKey("identity_projects.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
)  # fmt: skip

users = Table(
    "identity_users", metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("domain_id", String(64), nullable=False),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("default_project_id", String(64)),
    Column("password_hash", String(255)),
    Column("options", Json, nullable=False),
    Column("extra", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("password_set_at", Double, doc="when the password was set"),
    Column("password_expires_at", Double, doc="null: never"),
    UniqueConstraint("domain_id", "name"),
)  # fmt: skip

past_passwords = Table(
    "identity_past_passwords", metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", String(64), ForeignKey("identity_users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("password_hash", String(255), nullable=False),
    Column("set_at", Double, nullable=False),
)  # fmt: skip

failed_logins = Table(
    "identity_failed_logins", metadata,
    Column("user_id", String(64), ForeignKey("identity_users.id", ondelete="CASCADE"), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("last_at", Double, nullable=False),
)  # fmt: skip

groups = Table(
    "identity_groups", metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("domain_id", String(64), nullable=False),
    Column("description", Text, nullable=False, default=""),
    Column("extra", Json, nullable=False),
    UniqueConstraint("domain_id", "name"),
)  # fmt: skip

memberships = Table(
    "identity_memberships", metadata,
    Column("user_id", String(64), ForeignKey("identity_users.id", ondelete="CASCADE"), primary_key=True),
    Column("group_id", String(64), ForeignKey("identity_groups.id", ondelete="CASCADE"), primary_key=True, index=True),
)  # fmt: skip

roles = Table(
    "identity_roles", metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("domain_id", String(64), nullable=False, default=""),
    Column("description", Text),
    Column("options", Json, nullable=False),
    Column("extra", Json, nullable=False),
    UniqueConstraint("domain_id", "name"),
)  # fmt: skip

implied_roles = Table(
    "identity_implied_roles", metadata,
    Column("prior_id", String(64), ForeignKey("identity_roles.id", ondelete="CASCADE"), primary_key=True),
    Column("implied_id", String(64), ForeignKey("identity_roles.id", ondelete="CASCADE"), primary_key=True),
)  # fmt: skip

assignments = Table(
    "identity_assignments", metadata,
    Column("actor_kind", String(8), primary_key=True, doc="user or group"),
    Column("actor_id", String(64), primary_key=True),
    Column("target_kind", String(8), primary_key=True, doc="project, domain or system"),
    Column("target_id", String(64), primary_key=True, doc='"all" for the system'),
    Column("role_id", String(64), ForeignKey("identity_roles.id", ondelete="CASCADE"), primary_key=True),
    Column("inherited", Boolean, primary_key=True, doc="holds for the projects under the target, not for itself"),
    Index("ix_identity_assignments_target", "target_kind", "target_id"),
)  # fmt: skip

regions = Table(
    "identity_regions", metadata,
    Column("id", String(255), primary_key=True),
    Column("description", Text, nullable=False, default=""),
    Column("parent_region_id", String(255)),
    Column("extra", Json, nullable=False),
)  # fmt: skip

services = Table(
    "identity_services", metadata,
    Column("id", String(64), primary_key=True),
    Column("type", String(255), nullable=False),
    Column("name", String(255), nullable=False, default=""),
    Column("description", Text),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("extra", Json, nullable=False),
)  # fmt: skip

endpoints = Table(
    "identity_endpoints", metadata,
    Column("id", String(64), primary_key=True),
    Column("service_id", String(64), ForeignKey("identity_services.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("interface", String(8), nullable=False),
    Column("region_id", String(255)),
    Column("url", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("extra", Json, nullable=False),
)  # fmt: skip

credentials = Table(
    "identity_credentials", metadata,
    Column("id", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False, index=True),
    Column("project_id", String(64)),
    Column("type", String(255), nullable=False),
    Column("encrypted_blob", Text, nullable=False),
    Column("extra", Json, nullable=False),
)  # fmt: skip

app_credentials = Table(
    "identity_app_credentials", metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("user_id", String(64), ForeignKey("identity_users.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("secret_hash", String(255), nullable=False),
    Column("description", Text),
    Column("expires_at", Double),
    Column("unrestricted", Boolean, nullable=False, default=False),
    Column("restricted_paths", Boolean, nullable=False, default=False, doc="whether access rules were given"),
    UniqueConstraint("user_id", "name"),
)  # fmt: skip

app_credential_roles = Table(
    "identity_app_credential_roles", metadata,
    Column("app_credential_id", String(64), ForeignKey("identity_app_credentials.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", String(64), ForeignKey("identity_roles.id", ondelete="CASCADE"), primary_key=True),
)  # fmt: skip

access_rules = Table(
    "identity_access_rules", metadata,
    Column("id", String(64), primary_key=True),
    Column("user_id", String(64), ForeignKey("identity_users.id", ondelete="CASCADE"), nullable=False),
    Column("service", String(64), nullable=False),
    Column("path", String(128), nullable=False),
    Column("method", String(16), nullable=False),
    UniqueConstraint("user_id", "service", "path", "method"),
)  # fmt: skip

app_credential_access_rules = Table(
    "identity_app_credential_access_rules", metadata,
    Column("app_credential_id", String(64), ForeignKey("identity_app_credentials.id", ondelete="CASCADE"), primary_key=True),
    Column("access_rule_id", String(64), ForeignKey("identity_access_rules.id"), primary_key=True),
)  # fmt: skip

revocations = Table(
    "identity_revocations", metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False, doc="audit, chain, user or project"),
    Column("value", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False, doc="tokens made before this revision are void"),
    Column("revoked_at", Double, nullable=False, index=True),
)  # fmt: skip

revision = Table(
    "identity_revision", metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)  # fmt: skip

trusts = Table(
    "identity_trusts", metadata,
    Column("id", String(64), primary_key=True),
    Column("trustor_user_id", String(64), nullable=False, index=True),
    Column("trustee_user_id", String(64), nullable=False, index=True),
    Column("project_id", String(64), index=True),
    Column("impersonation", Boolean, nullable=False),
    Column("expires_at", Double),
    Column("remaining_uses", Integer, doc="logins left; null: any number"),
    Column("redelegated_trust_id", String(64), index=True),
    Column("redelegation_count", Integer, nullable=False, default=0),
)  # fmt: skip

trust_roles = Table(
    "identity_trust_roles", metadata,
    Column("trust_id", String(64), ForeignKey("identity_trusts.id", ondelete="CASCADE"), primary_key=True),
    Column("role_id", String(64), ForeignKey("identity_roles.id", ondelete="CASCADE"), primary_key=True),
)  # fmt: skip

endpoint_groups = Table(
    "identity_endpoint_groups", metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("filters", Json, nullable=False, doc="an endpoint of the group has these attributes"),
)  # fmt: skip

project_endpoints = Table(
    "identity_project_endpoints", metadata,
    Column("project_id", String(64), ForeignKey("identity_projects.id", ondelete="CASCADE"), primary_key=True),
    Column("endpoint_id", String(64), ForeignKey("identity_endpoints.id", ondelete="CASCADE"), primary_key=True, index=True),
)  # fmt: skip

project_endpoint_groups = Table(
    "identity_project_endpoint_groups", metadata,
    Column("project_id", String(64), ForeignKey("identity_projects.id", ondelete="CASCADE"), primary_key=True),
    Column("group_id", String(64), ForeignKey("identity_endpoint_groups.id", ondelete="CASCADE"), primary_key=True),
)  # fmt: skip

policies = Table(
    "identity_policies", metadata,
    Column("id", String(64), primary_key=True),
    Column("type", String(255), nullable=False),
    Column("blob", Json, nullable=False),
    Column("extra", Json, nullable=False),
)  # fmt: skip

policy_places = Table(
    "identity_policy_places", metadata,
    Column("endpoint_id", String(64), primary_key=True, doc='"" where it is for a service'),
    Column("service_id", String(64), primary_key=True, doc='"" where it is for an endpoint'),
    Column("region_id", String(255), primary_key=True, doc='"" for every region'),
    Column("policy_id", String(64), ForeignKey("identity_policies.id", ondelete="CASCADE"), nullable=False, index=True),
)  # fmt: skip

domain_configs = Table(
    "identity_domain_configs", metadata,
    Column("id", String(64), ForeignKey("identity_projects.id", ondelete="CASCADE"), primary_key=True, doc="the domain's"),
    Column("groups", Json, nullable=False, doc="options by group; secret ones are encrypted"),
)  # fmt: skip

registered_limits = Table(
    "identity_registered_limits", metadata,
    Column("id", String(64), primary_key=True),
    Column("service_id", String(64), nullable=False),
    Column("region_id", String(255), nullable=False, default=""),
    Column("resource_name", String(255), nullable=False),
    Column("default_limit", Integer, nullable=False),
    Column("description", Text),
    UniqueConstraint("service_id", "region_id", "resource_name"),
)  # fmt: skip

limits = Table(
    "identity_limits", metadata,
    Column("id", String(64), primary_key=True),
    Column("project_id", String(64), nullable=False, default="", doc='"" where it is for a domain'),
    Column("domain_id", String(64), nullable=False, default="", doc='"" where it is for a project'),
    Column("registered_limit_id", String(64), ForeignKey("identity_registered_limits.id"), nullable=False),
    Column("resource_limit", Integer, nullable=False),
    Column("description", Text),
    UniqueConstraint("project_id", "domain_id", "registered_limit_id"),
)  # fmt: skip

consumers = Table(
    "identity_consumers", metadata,
    Column("id", String(64), primary_key=True),
    Column("encrypted_secret", Text, nullable=False),
    Column("description", Text),
    Column("extra", Json, nullable=False),
)  # fmt: skip

oauth_tokens = Table(
    "identity_oauth_tokens", metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(8), nullable=False, doc="request or access"),
    Column("encrypted_secret", Text, nullable=False),
    Column("consumer_id", String(64), ForeignKey("identity_consumers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("project_id", String(64), nullable=False, index=True),
    Column("user_id", String(64), nullable=False, default="", index=True, doc='who authorized it; "": nobody yet'),
    Column("verifier", String(64), nullable=False, default=""),
    Column("role_ids", Json, nullable=False),
    Column("expires_at", Double),
)  # fmt: skip
