"""Who may do what with groups of volumes, their types and their snapshots."""

from pileus.kernel.policy import Rule

READER, MEMBER, ADMIN = "rule:project_reader_or_admin", "rule:project_member_or_admin", "rule:admin"
GROUP = "group:"
TYPES, SPECS = "group:group_types:", "group:group_types_specs:"
SEES_SPECS = "group:access_group_types_specs"
SEES_PROJECT, SEES_SNAPSHOT_PROJECT = "group:group_project_attribute", "group:group_snapshot_project_attribute"

ACTION = "POST /groups/{group_id}/action"
TYPE = "/group_types/{group_type_id}"
SNAPSHOT = "/group_snapshots/{group_snapshot_id}"
OLDER, OLDER_SNAPSHOTS = "/consistencygroups", "/cgsnapshots"

RULES = (
    Rule(
        GROUP + "create",
        MEMBER,
        (
            "POST /groups",
            "POST /groups/action (create-from-src)",
            f"POST {OLDER}",
            f"POST {OLDER}/create_from_src",
        ),
    ),
    Rule(GROUP + "get", READER, ("GET /groups/{group_id}", f"GET {OLDER}/{{id}}")),
    Rule(GROUP + "get_all", READER, ("GET /groups", "GET /groups/detail", f"GET {OLDER}", f"GET {OLDER}/detail")),
    Rule(GROUP + "update", MEMBER, ("PUT /groups/{group_id}", f"PUT {OLDER}/{{id}}", f"PUT {OLDER}/{{id}}/update")),
    Rule(SEES_PROJECT, ADMIN, ("GET /groups/{group_id}", "GET /groups/detail")),
    Rule(GROUP + "delete", MEMBER, (f"{ACTION} (delete)", f"POST {OLDER}/{{id}}/delete")),
    Rule(GROUP + "reset_status", ADMIN, (f"{ACTION} (reset_status)",)),
    Rule(GROUP + "enable_replication", MEMBER, (f"{ACTION} (enable_replication)",)),
    Rule(GROUP + "disable_replication", MEMBER, (f"{ACTION} (disable_replication)",)),
    Rule(GROUP + "failover_replication", MEMBER, (f"{ACTION} (failover_replication)",)),
    Rule(GROUP + "list_replication_targets", MEMBER, (f"{ACTION} (list_replication_targets)",)),
    Rule(GROUP + "create_group_snapshot", MEMBER, ("POST /group_snapshots", f"POST {OLDER_SNAPSHOTS}")),
    Rule(GROUP + "get_group_snapshot", READER, (f"GET {SNAPSHOT}", f"GET {OLDER_SNAPSHOTS}/{{id}}")),
    Rule(
        GROUP + "get_all_group_snapshots",
        READER,
        ("GET /group_snapshots", "GET /group_snapshots/detail", f"GET {OLDER_SNAPSHOTS}", f"GET {OLDER_SNAPSHOTS}/detail"),
    ),
    Rule(GROUP + "delete_group_snapshot", MEMBER, (f"DELETE {SNAPSHOT}", f"DELETE {OLDER_SNAPSHOTS}/{{id}}")),
    Rule(GROUP + "reset_group_snapshot_status", ADMIN, (f"POST {SNAPSHOT}/action (reset_status)",)),
    Rule(SEES_SNAPSHOT_PROJECT, ADMIN, (f"GET {SNAPSHOT}", "GET /group_snapshots/detail")),
    Rule(TYPES + "create", ADMIN, ("POST /group_types",)),
    Rule(TYPES + "update", ADMIN, (f"PUT {TYPE}",)),
    Rule(TYPES + "delete", ADMIN, (f"DELETE {TYPE}",)),
    Rule(SEES_SPECS, ADMIN, (f"GET {TYPE} (group_specs)", "GET /group_types (group_specs)")),
    Rule(SPECS + "get", ADMIN, (f"GET {TYPE}/group_specs/{{key}}",)),
    Rule(SPECS + "get_all", ADMIN, (f"GET {TYPE}/group_specs",)),
    Rule(SPECS + "create", ADMIN, (f"POST {TYPE}/group_specs",)),
    Rule(SPECS + "update", ADMIN, (f"PUT {TYPE}/group_specs/{{key}}",)),
    Rule(SPECS + "delete", ADMIN, (f"DELETE {TYPE}/group_specs/{{key}}",)),
)
