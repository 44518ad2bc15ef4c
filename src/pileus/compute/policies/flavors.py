"""Who may make and see flavors."""

from pileus.kernel.policy import Rule

ACCESS, SPECS, MANAGE = (
    "os_compute_api:os-flavor-access",
    "os_compute_api:os-flavor-extra-specs",
    "os_compute_api:os-flavor-manage",
)

RULES = (
    Rule(MANAGE + ":create", "rule:admin", ("POST /flavors",)),
    Rule(MANAGE + ":update", "rule:admin", ("PUT /flavors/{flavor_id}",)),
    Rule(MANAGE + ":delete", "rule:admin", ("DELETE /flavors/{flavor_id}",)),
    Rule(ACCESS, "rule:admin", ("GET /flavors/{flavor_id}/os-flavor-access",)),
    Rule(ACCESS + ":add_tenant_access", "rule:admin", ("POST /flavors/{flavor_id}/action (addTenantAccess)",)),
    Rule(ACCESS + ":remove_tenant_access", "rule:admin", ("POST /flavors/{flavor_id}/action (removeTenantAccess)",)),
    Rule(SPECS + ":index", "rule:project_reader_or_admin", ("GET /flavors/{flavor_id}/os-extra_specs",)),
    Rule(SPECS + ":show", "rule:project_reader_or_admin", ("GET /flavors/{flavor_id}/os-extra_specs/{key}",)),
    Rule(SPECS + ":create", "rule:admin", ("POST /flavors/{flavor_id}/os-extra_specs",)),
    Rule(SPECS + ":update", "rule:admin", ("PUT /flavors/{flavor_id}/os-extra_specs/{key}",)),
    Rule(SPECS + ":delete", "rule:admin", ("DELETE /flavors/{flavor_id}/os-extra_specs/{key}",)),
)
