"""Who may see and set how much a project may use, and what it has used."""

from pileus.kernel.policy import Rule

SETS = "os_compute_api:os-quota-sets:"
CLASSES = "os_compute_api:os-quota-class-sets:"
LIMITS = "os_compute_api:limits"
USAGE = "os_compute_api:os-simple-tenant-usage:"

RULES = (
    Rule(SETS + "update", "rule:admin", ("PUT /os-quota-sets/{tenant_id}",)),
    Rule(SETS + "defaults", "@", ("GET /os-quota-sets/{tenant_id}/defaults",)),
    Rule(SETS + "show", "rule:project_reader_or_admin", ("GET /os-quota-sets/{tenant_id}",)),
    Rule(SETS + "delete", "rule:admin", ("DELETE /os-quota-sets/{tenant_id}",)),
    Rule(SETS + "detail", "rule:project_reader_or_admin", ("GET /os-quota-sets/{tenant_id}/detail",)),
    Rule(CLASSES + "show", "rule:admin", ("GET /os-quota-class-sets/{quota_class}",)),
    Rule(CLASSES + "update", "rule:admin", ("PUT /os-quota-class-sets/{quota_class}",)),
    Rule(LIMITS, "@", ("GET /limits",)),
    Rule(LIMITS + ":other_project", "rule:admin", ("GET /limits?tenant_id=...",)),
    Rule(USAGE + "show", "rule:project_reader_or_admin", ("GET /os-simple-tenant-usage/{tenant_id}",)),
    Rule(USAGE + "list", "rule:admin", ("GET /os-simple-tenant-usage",)),
)
