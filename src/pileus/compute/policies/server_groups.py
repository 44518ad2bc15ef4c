"""Who may say which servers belong together or apart."""

from pileus.kernel.policy import Rule

ROOT = "os_compute_api:os-server-groups:"

RULES = (
    Rule(ROOT + "create", "rule:project_member_or_admin", ("POST /os-server-groups",)),
    Rule(ROOT + "delete", "rule:project_member_or_admin", ("DELETE /os-server-groups/{server_group_id}",)),
    Rule(ROOT + "index", "rule:project_reader_or_admin", ("GET /os-server-groups",)),
    Rule(ROOT + "index:all_projects", "rule:admin", ("GET /os-server-groups?all_projects",)),
    Rule(ROOT + "show", "rule:project_reader_or_admin", ("GET /os-server-groups/{server_group_id}",)),
)
