"""Who may see and set how much a project may keep."""

from pileus.kernel.policy import Rule

QUOTAS = "volume_extension:quotas:"
CLASSES = "volume_extension:quota_classes:"
USED = "limits_extension:used_limits"

READER = "rule:project_reader_or_admin"

RULES = (
    Rule(QUOTAS + "show", READER, ("GET /os-quota-sets/{project_id}", "GET /os-quota-sets/{project_id}/defaults")),
    Rule(QUOTAS + "update", "rule:admin", ("PUT /os-quota-sets/{project_id}",)),
    Rule(QUOTAS + "delete", "rule:admin", ("DELETE /os-quota-sets/{project_id}",)),
    Rule(CLASSES + "get", "rule:admin", ("GET /os-quota-class-sets/{name}",)),
    Rule(CLASSES + "update", "rule:admin", ("PUT /os-quota-class-sets/{name}",)),
    Rule(USED, READER, ("GET /limits (used)",)),
)
