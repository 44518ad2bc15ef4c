"""Who may do what in identity: Keystone's rules by name, with the defaults of its secure personas.

Attributes of the thing acted on have the names that Keystone gives them, such as target.user.domain_id.
"""

from pileus.kernel.policy import Rule

ADMIN = "role:admin"
SYSTEM_READER = "(role:reader and system_scope:all)"
ADMIN_OR_READER = f"{ADMIN} or {SYSTEM_READER}"
OWNER = "user_id:%(user_id)s"
ANY = ("system", "domain", "project", "")
NOT_DOMAIN = ("system", "project", "")


def _own_domain(role: str, attribute: str) -> str:
    return f"(role:{role} and domain_id:%({attribute})s)"


def _grants(role: str) -> str:
    """Say that a domain's own people give roles to its users and groups on its projects and on itself."""
    who = "(domain_id:%(target.user.domain_id)s or domain_id:%(target.group.domain_id)s)"
    where = "(domain_id:%(target.project.domain_id)s or domain_id:%(target.domain.id)s)"
    return f"(role:{role} and {who} and {where})"


ROLE_DOMAIN = "(domain_id:%(target.role.domain_id)s or None:%(target.role.domain_id)s)"
MANAGED_ROLE = "('manager':%(target.role.name)s or 'member':%(target.role.name)s or 'reader':%(target.role.name)s)"
PROJECT_READ = f"{ADMIN_OR_READER} or {_own_domain('reader', 'target.project.domain_id')} or project_id:%(target.project.id)s"
PROJECT_WRITE = f"{ADMIN} or {_own_domain('manager', 'target.project.domain_id')}"
USER_READ = f"{ADMIN_OR_READER} or {_own_domain('reader', 'target.user.domain_id')}"
USER_WRITE = f"{ADMIN} or {_own_domain('manager', 'target.user.domain_id')}"
GROUP_READ = f"{ADMIN_OR_READER} or {_own_domain('reader', 'target.group.domain_id')}"
GROUP_WRITE = f"{ADMIN} or {_own_domain('manager', 'target.group.domain_id')}"
MEMBER_WRITE = f"{ADMIN} or (role:manager and domain_id:%(target.group.domain_id)s and domain_id:%(target.user.domain_id)s)"
LIST_OWN_DOMAIN = f"{ADMIN_OR_READER} or {_own_domain('reader', 'target.domain_id')}"
GRANT_READ = f"{ADMIN_OR_READER} or ({_grants('reader')} and {ROLE_DOMAIN})"
GRANT_WRITE = f"{ADMIN} or ({_grants('manager')} and {MANAGED_ROLE})"
CREDENTIAL_OWNER = "user_id:%(target.credential.user_id)s"
TRUSTOR = "user_id:%(target.trust.trustor_user_id)s"
TRUSTEE = "user_id:%(target.trust.trustee_user_id)s"
PLACES = ("endpoint", "service", "region_and_service")
TOKEN_OWNER = "user_id:%(target.token.user_id)s"


def _many(names: str, check: str, scopes: tuple[str, ...] = ANY) -> tuple[Rule, ...]:
    return tuple(Rule(f"identity:{name}", check, scopes=scopes) for name in names.split())


RULES: tuple[Rule, ...] = (
    *_many("get_user list_user_projects", f"{USER_READ} or user_id:%(target.user.id)s"),
    *_many("list_users", LIST_OWN_DOMAIN),
    *_many("create_user update_user delete_user", USER_WRITE),
    *_many("list_groups_for_user", f"{USER_READ} or user_id:%(target.user.id)s"),
    *_many("get_group list_users_in_group", GROUP_READ),
    *_many("list_groups", LIST_OWN_DOMAIN),
    *_many("create_group update_group delete_group", GROUP_WRITE),
    *_many("check_user_in_group", f"{ADMIN_OR_READER} or (role:reader and domain_id:%(target.group.domain_id)s and "
           "domain_id:%(target.user.domain_id)s)"),
    *_many("add_user_to_group remove_user_from_group", MEMBER_WRITE),
    *_many("get_project list_project_tags get_project_tag", PROJECT_READ),
    *_many("list_projects", LIST_OWN_DOMAIN),
    *_many("create_project update_project delete_project", PROJECT_WRITE),
    *_many("update_project_tags create_project_tag delete_project_tags delete_project_tag", PROJECT_WRITE),
    *_many("get_domain", f"{ADMIN_OR_READER} or domain_id:%(target.domain.id)s or project_domain_id:%(target.domain.id)s"),
    *_many("list_domains", f"{ADMIN_OR_READER} or {_own_domain('reader', 'target.domain.id')}"),
    *_many("create_domain update_domain delete_domain", ADMIN, NOT_DOMAIN),
    *_many("get_role", f"{ADMIN_OR_READER} or (role:manager and {MANAGED_ROLE})"),
    *_many("list_roles", f"{ADMIN_OR_READER} or {_own_domain('manager', 'domain_id')}"),
    *_many("create_role update_role delete_role", ADMIN, NOT_DOMAIN),
    *_many("get_domain_role list_domain_roles", ADMIN_OR_READER, NOT_DOMAIN),
    *_many("create_domain_role update_domain_role delete_domain_role", ADMIN, NOT_DOMAIN),
    *_many("get_implied_role list_implied_roles list_role_inference_rules check_implied_role", ADMIN_OR_READER, NOT_DOMAIN),
    *_many("create_implied_role delete_implied_role", ADMIN, NOT_DOMAIN),
    *_many("check_grant", GRANT_READ),
    *_many("list_grants", f"{ADMIN_OR_READER} or {_grants('reader')}"),
    *_many("create_grant revoke_grant", f"{GRANT_WRITE} or ({_grants('admin')} and {ROLE_DOMAIN})"),
    *_many("list_system_grants_for_user check_system_grant_for_user", ADMIN_OR_READER, NOT_DOMAIN),
    *_many("list_system_grants_for_group check_system_grant_for_group", ADMIN_OR_READER, NOT_DOMAIN),
    *_many("create_system_grant_for_user revoke_system_grant_for_user", ADMIN, NOT_DOMAIN),
    *_many("create_system_grant_for_group revoke_system_grant_for_group", ADMIN, NOT_DOMAIN),
    *_many("list_role_assignments list_role_assignments_for_tree", LIST_OWN_DOMAIN),
    *_many("get_service list_services get_endpoint list_endpoints", ADMIN_OR_READER, NOT_DOMAIN),
    *_many("create_service update_service delete_service", ADMIN, NOT_DOMAIN),
    *_many("create_endpoint update_endpoint delete_endpoint", ADMIN, NOT_DOMAIN),
    *_many("get_region list_regions", ""),
    *_many("create_region update_region delete_region", ADMIN, NOT_DOMAIN),
    *_many("get_credential list_credentials", f"{ADMIN_OR_READER} or {CREDENTIAL_OWNER}"),
    *_many("create_credential update_credential delete_credential", f"{ADMIN} or {CREDENTIAL_OWNER}"),
    *_many("ec2_get_credential", f"{ADMIN_OR_READER} or {CREDENTIAL_OWNER}", NOT_DOMAIN),
    *_many("ec2_list_credentials", f"{ADMIN_OR_READER} or {OWNER}", NOT_DOMAIN),
    *_many("ec2_create_credential ec2_delete_credential", f"{ADMIN} or (role:member and {CREDENTIAL_OWNER})", NOT_DOMAIN),
    *_many("get_application_credential list_application_credentials", f"{ADMIN_OR_READER} or {OWNER}", NOT_DOMAIN),
    *_many("create_application_credential", OWNER, ("project",)),
    *_many("delete_application_credential", f"{ADMIN} or {OWNER}", NOT_DOMAIN),
    *_many("get_access_rule list_access_rules", f"{ADMIN_OR_READER} or {OWNER}", NOT_DOMAIN),
    *_many("delete_access_rule", f"{ADMIN} or {OWNER}", NOT_DOMAIN),
    *_many("check_token", f"{ADMIN_OR_READER} or {TOKEN_OWNER}"),
    *_many("validate_token", f"{ADMIN_OR_READER} or role:service or {TOKEN_OWNER}"),
    *_many("ec2tokens_validate s3tokens_validate", f"{ADMIN} or role:service", ("system", "domain", "project")),
    *_many("revoke_token", f"{ADMIN} or {TOKEN_OWNER}"),
    *_many("create_trust", TRUSTOR, ("project",)),
    *_many("list_trusts", ADMIN_OR_READER, NOT_DOMAIN),
    *_many("list_trusts_for_trustor", f"{ADMIN_OR_READER} or {TRUSTOR}", NOT_DOMAIN),
    *_many("list_trusts_for_trustee", f"{ADMIN_OR_READER} or {TRUSTEE}", NOT_DOMAIN),
    *_many("get_trust list_roles_for_trust get_role_for_trust", f"{ADMIN_OR_READER} or {TRUSTOR} or {TRUSTEE}", NOT_DOMAIN),
    *_many("delete_trust", f"{ADMIN} or {TRUSTOR}", NOT_DOMAIN),
    *_many("get_consumer list_consumers", ADMIN_OR_READER, NOT_DOMAIN),
    *_many("create_consumer update_consumer delete_consumer", ADMIN, NOT_DOMAIN),
    *_many("authorize_request_token", ADMIN, ("project",)),
    *_many("list_access_tokens get_access_token delete_access_token", f"{ADMIN} or {OWNER}", NOT_DOMAIN),
    *_many("list_access_token_roles get_access_token_role", f"{ADMIN} or {OWNER}", NOT_DOMAIN),
    *_many("get_policy list_policies", ADMIN_OR_READER, NOT_DOMAIN),
    *_many("create_policy update_policy delete_policy", ADMIN, NOT_DOMAIN),
    *_many(f"create_policy_association_for_{PLACES[0]} create_policy_association_for_{PLACES[1]} "
           f"create_policy_association_for_{PLACES[2]} delete_policy_association_for_{PLACES[0]} "
           f"delete_policy_association_for_{PLACES[1]} delete_policy_association_for_{PLACES[2]}", ADMIN, NOT_DOMAIN),
    *_many(f"check_policy_association_for_{PLACES[0]} check_policy_association_for_{PLACES[1]} "
           f"check_policy_association_for_{PLACES[2]} get_policy_for_endpoint list_endpoints_for_policy",
           ADMIN_OR_READER, NOT_DOMAIN),
    *_many("get_endpoint_group list_endpoint_groups list_endpoint_groups_for_project get_endpoint_group_in_project",
           ADMIN_OR_READER, NOT_DOMAIN),
    *_many("list_endpoints_associated_with_endpoint_group list_projects_associated_with_endpoint_group "
           "list_projects_for_endpoint list_endpoints_for_project check_endpoint_in_project", ADMIN_OR_READER, NOT_DOMAIN),
    *_many("create_endpoint_group update_endpoint_group delete_endpoint_group add_endpoint_group_to_project "
           "remove_endpoint_group_from_project add_endpoint_to_project remove_endpoint_from_project", ADMIN, NOT_DOMAIN),
    *_many("get_domain_config get_domain_config_default", ADMIN_OR_READER, NOT_DOMAIN),
    *_many("get_security_compliance_domain_config", ""),
    *_many("create_domain_config update_domain_config delete_domain_config", ADMIN, NOT_DOMAIN),
    *_many("get_limit_model list_limits get_registered_limit list_registered_limits", ""),
    *_many("create_registered_limits update_registered_limit delete_registered_limit", ADMIN, NOT_DOMAIN),
    *_many("create_limits update_limit delete_limit", ADMIN, NOT_DOMAIN),
    *_many("get_limit", f"{ADMIN_OR_READER} or domain_id:%(target.limit.domain_id)s or project_id:%(target.limit.project_id)s"),
    *_many("get_auth_catalog get_auth_projects get_auth_domains get_auth_system", ""),
)  # fmt: skip
