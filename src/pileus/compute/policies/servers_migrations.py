"""Who may see and steer the live migrations of servers."""

from pileus.compute.policies.servers import ADMIN, MANAGER, ONE
from pileus.kernel.policy import Rule

MIGRATIONS = "os_compute_api:servers:migrations:"

RULES = (
    Rule(MIGRATIONS + "index", MANAGER, (f"GET {ONE}/migrations",)),
    Rule(MIGRATIONS + "index:host", ADMIN, (f"GET {ONE}/migrations", f"GET {ONE}/migrations/{{migration_id}}")),
    Rule(MIGRATIONS + "show", MANAGER, (f"GET {ONE}/migrations/{{migration_id}}",)),
    Rule(MIGRATIONS + "force_complete", MANAGER, (f"POST {ONE}/migrations/{{migration_id}}/action (force_complete)",)),
    Rule(MIGRATIONS + "delete", MANAGER, (f"DELETE {ONE}/migrations/{{migration_id}}",)),
)
