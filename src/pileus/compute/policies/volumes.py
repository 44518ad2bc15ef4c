"""Who may use the calls that compute hands on to block storage."""

from pileus.kernel.policy import Rule

VOLUMES = "os_compute_api:os-volumes:"
READER, MEMBER = "rule:project_reader_or_admin", "rule:project_member_or_admin"

RULES = (
    Rule(VOLUMES + "list", READER, ("GET /os-volumes",)),
    Rule(VOLUMES + "detail", READER, ("GET /os-volumes/detail",)),
    Rule(VOLUMES + "create", MEMBER, ("POST /os-volumes",)),
    Rule(VOLUMES + "show", READER, ("GET /os-volumes/{volume_id}",)),
    Rule(VOLUMES + "delete", MEMBER, ("DELETE /os-volumes/{volume_id}",)),
    Rule(VOLUMES + "snapshots:list", READER, ("GET /os-snapshots",)),
    Rule(VOLUMES + "snapshots:detail", READER, ("GET /os-snapshots/detail",)),
    Rule(VOLUMES + "snapshots:create", MEMBER, ("POST /os-snapshots",)),
    Rule(VOLUMES + "snapshots:show", READER, ("GET /os-snapshots/{snapshot_id}",)),
    Rule(VOLUMES + "snapshots:delete", MEMBER, ("DELETE /os-snapshots/{snapshot_id}",)),
)
