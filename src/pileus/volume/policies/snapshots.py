"""Who may do what with snapshots: cinder's snapshots, snapshot_actions and snapshot_metadata rules."""

from pileus.kernel.policy import Rule

READER, MEMBER, ADMIN = "rule:project_reader_or_admin", "rule:project_member_or_admin", "rule:admin"
ONE = "/snapshots/{snapshot_id}"

RULES = (
    Rule("volume:create_snapshot", MEMBER, ("POST /snapshots",)),
    Rule("volume:get_snapshot", READER, (f"GET {ONE}",)),
    Rule("volume:get_all_snapshots", READER, ("GET /snapshots", "GET /snapshots/detail")),
    Rule("volume:update_snapshot", MEMBER, (f"PUT {ONE}",)),
    Rule("volume:delete_snapshot", MEMBER, (f"DELETE {ONE}",)),
    Rule("volume_extension:extended_snapshot_attributes", READER, (f"GET {ONE}", "GET /snapshots/detail")),
    Rule("volume_extension:snapshot_admin_actions:reset_status", ADMIN, (f"POST {ONE}/action (os-reset_status)",)),
    Rule("volume_extension:snapshot_admin_actions:force_delete", ADMIN, (f"POST {ONE}/action (os-force_delete)",)),
    Rule(
        "snapshot_extension:snapshot_actions:update_snapshot_status", MEMBER, (f"POST {ONE}/action (os-update_snapshot_status)",)
    ),
    Rule("volume:get_snapshot_metadata", READER, (f"GET {ONE}/metadata", f"GET {ONE}/metadata/{{key}}")),
    Rule(
        "volume:update_snapshot_metadata", MEMBER, (f"POST {ONE}/metadata", f"PUT {ONE}/metadata", f"PUT {ONE}/metadata/{{key}}")
    ),
    Rule("volume:delete_snapshot_metadata", MEMBER, (f"DELETE {ONE}/metadata/{{key}}",)),
)
