"""Who may do what with backups: cinder's backup and backup_admin_actions rules."""

from pileus.kernel.policy import Rule

READER, MEMBER, ADMIN = "rule:project_reader_or_admin", "rule:project_member_or_admin", "rule:admin"
ONE = "/backups/{backup_id}"
ADMIN_ACTIONS = "volume_extension:backup_admin_actions:"

RULES = (
    Rule("backup:get_all", READER, ("GET /backups", "GET /backups/detail")),
    Rule("backup:get", READER, (f"GET {ONE}",)),
    Rule("backup:backup_project_attribute", ADMIN, (f"GET {ONE}", "GET /backups/detail")),
    Rule("backup:create", MEMBER, ("POST /backups",)),
    Rule("backup:update", MEMBER, (f"PUT {ONE}",)),
    Rule("backup:delete", MEMBER, (f"DELETE {ONE}",)),
    Rule("backup:restore", MEMBER, (f"POST {ONE}/restore", "POST /volumes")),
    Rule("backup:backup-import", ADMIN, ("POST /backups/import_record",)),
    Rule("backup:export-import", ADMIN, (f"GET {ONE}/export_record",)),
    Rule(ADMIN_ACTIONS + "reset_status", ADMIN, (f"POST {ONE}/action (os-reset_status)",)),
    Rule(ADMIN_ACTIONS + "force_delete", ADMIN, (f"POST {ONE}/action (os-force_delete)",)),
)
