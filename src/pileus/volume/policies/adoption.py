"""Who may take in what lies on a back end: cinder's manageable_volumes and manageable_snapshots rules."""

from pileus.kernel.policy import Rule

ADMIN = "rule:admin"

RULES = (
    Rule(
        "volume_extension:list_manageable",
        ADMIN,
        ("GET /os-volume-manage", "GET /os-volume-manage/detail", "GET /manageable_volumes", "GET /manageable_volumes/detail"),
    ),
    Rule("volume_extension:volume_manage", ADMIN, ("POST /os-volume-manage", "POST /manageable_volumes")),
    Rule("volume_extension:volume_unmanage", ADMIN, ("POST /volumes/{volume_id}/action (os-unmanage)",)),
    Rule(
        "snapshot_extension:list_manageable",
        ADMIN,
        (
            "GET /os-snapshot-manage",
            "GET /os-snapshot-manage/detail",
            "GET /manageable_snapshots",
            "GET /manageable_snapshots/detail",
        ),
    ),
    Rule("snapshot_extension:snapshot_manage", ADMIN, ("POST /os-snapshot-manage", "POST /manageable_snapshots")),
    Rule("snapshot_extension:snapshot_unmanage", ADMIN, ("POST /snapshots/{snapshot_id}/action (os-unmanage)",)),
)
