"""Who may see and change volume types, their specs, encryption, access, and the defaults of projects."""

from pileus.kernel.policy import Rule

READER, MEMBER, ADMIN = "rule:project_reader_or_admin", "rule:project_member_or_admin", "rule:admin"
TYPE = "volume_extension:type_"
SPECS = "volume_extension:types_extra_specs:"
SEES_SPECS, SEES_QOS = "volume_extension:access_types_extra_specs", "volume_extension:access_types_qos_specs_id"
ENCRYPTION = "volume_extension:volume_type_encryption:"
ACCESS = "volume_extension:volume_type_access"
DEFAULT = "volume_extension:default_"

ONE = "/types/{type_id}"
ANYWHERE = ("project", "system")

RULES = (
    Rule(TYPE + "create", ADMIN, ("POST /types",)),
    Rule(TYPE + "update", ADMIN, (f"PUT {ONE}",)),
    Rule(TYPE + "delete", ADMIN, (f"DELETE {ONE}",)),
    Rule(TYPE + "get", READER, (f"GET {ONE}", "GET /types/default")),
    Rule(TYPE + "get_all", READER, ("GET /types",)),
    Rule(SEES_SPECS, READER, (f"GET {ONE}", "GET /types")),
    Rule(SEES_QOS, ADMIN, (f"GET {ONE}", "GET /types")),
    Rule(SPECS + "index", READER, (f"GET {ONE}/extra_specs",)),
    Rule(SPECS + "show", READER, (f"GET {ONE}/extra_specs/{{key}}",)),
    Rule(SPECS + "read_sensitive", ADMIN, (f"GET {ONE}", "GET /types", f"GET {ONE}/extra_specs")),
    Rule(SPECS + "create", ADMIN, (f"POST {ONE}/extra_specs",)),
    Rule(SPECS + "update", ADMIN, (f"PUT {ONE}/extra_specs/{{key}}",)),
    Rule(SPECS + "delete", ADMIN, (f"DELETE {ONE}/extra_specs/{{key}}",)),
    Rule(ENCRYPTION + "create", ADMIN, (f"POST {ONE}/encryption",)),
    Rule(ENCRYPTION + "get", ADMIN, (f"GET {ONE}/encryption", f"GET {ONE}/encryption/{{key}}")),
    Rule(ENCRYPTION + "update", ADMIN, (f"PUT {ONE}/encryption/{{encryption_id}}",)),
    Rule(ENCRYPTION + "delete", ADMIN, (f"DELETE {ONE}/encryption/{{encryption_id}}",)),
    Rule(ACCESS, MEMBER, ("GET /types", f"GET {ONE}", "POST /types")),
    Rule(ACCESS + ":addProjectAccess", ADMIN, (f"POST {ONE}/action (addProjectAccess)",)),
    Rule(ACCESS + ":removeProjectAccess", ADMIN, (f"POST {ONE}/action (removeProjectAccess)",)),
    Rule(ACCESS + ":get_all_for_type", ADMIN, (f"GET {ONE}/os-volume-type-access",)),
    Rule(DEFAULT + "set_or_update", ADMIN, ("PUT /default-types/{project_id}",), ANYWHERE),
    Rule(DEFAULT + "get", ADMIN, ("GET /default-types/{project_id}",), ANYWHERE),
    Rule(DEFAULT + "get_all", ADMIN, ("GET /default-types",), ANYWHERE),
    Rule(DEFAULT + "unset", ADMIN, ("DELETE /default-types/{project_id}",), ANYWHERE),
)
