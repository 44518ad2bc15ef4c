"""Who may read the cloud's records: migrations, audits, the list of extensions."""

from pileus.kernel.policy import Rule

MIGRATIONS = "os_compute_api:os-migrations:"
AUDIT = "os_compute_api:os-instance-usage-audit-log:"
EXTENSIONS = "os_compute_api:extensions"

RULES = (
    Rule(MIGRATIONS + "index", "rule:project_manager_or_admin", ("GET /os-migrations",)),
    Rule(MIGRATIONS + "index:all_projects", "rule:admin", ("GET /os-migrations",)),
    Rule(MIGRATIONS + "index:host", "rule:admin", ("GET /os-migrations",)),
    Rule(AUDIT + "list", "rule:admin", ("GET /os-instance_usage_audit_log",)),
    Rule(AUDIT + "show", "rule:admin", ("GET /os-instance_usage_audit_log/{before_timestamp}",)),
    Rule(EXTENSIONS, "@", ("GET /extensions", "GET /extensions/{alias}")),
)
