"""Who may do what with volumes: cinder's volume, volume_actions and volume_metadata rules."""

from pileus.kernel.policy import Rule

READER, MEMBER, ADMIN = "rule:project_reader_or_admin", "rule:project_member_or_admin", "rule:admin"
ONE = "/volumes/{volume_id}"
ACTIONS = "volume_extension:volume_actions:"
ADMIN_ACTIONS = "volume_extension:volume_admin_actions:"
IMAGE_METADATA = "volume_extension:volume_image_metadata"


def _action(name: str, check: str, word: str) -> Rule:
    return Rule(name, check, (f"POST {ONE}/action ({word})",))


RULES = (
    Rule("volume:create", MEMBER, ("POST /volumes",)),
    Rule("volume:create_from_image", MEMBER, ("POST /volumes",)),
    Rule("volume:get", READER, (f"GET {ONE}",)),
    Rule("volume:get_all", READER, ("GET /volumes", "GET /volumes/detail", "GET /volumes/summary")),
    Rule("volume:update", MEMBER, (f"PUT {ONE}", f"POST {ONE}/action (os-set_bootable)")),
    Rule("volume:delete", MEMBER, (f"DELETE {ONE}",)),
    Rule("volume:force_delete", ADMIN, (f"DELETE {ONE}",)),
    Rule("volume:multiattach", MEMBER, ("POST /volumes",)),
    Rule("volume_extension:volume_host_attribute", ADMIN, (f"GET {ONE}", "GET /volumes/detail")),
    Rule("volume_extension:volume_tenant_attribute", READER, (f"GET {ONE}", "GET /volumes/detail")),
    Rule("volume_extension:volume_mig_status_attribute", ADMIN, (f"GET {ONE}", "GET /volumes/detail")),
    Rule("volume_extension:volume_encryption_metadata", READER, (f"GET {ONE}/encryption", f"GET {ONE}/encryption/{{key}}")),
    _action("volume:extend", MEMBER, "os-extend"),
    _action("volume:extend_attached_volume", MEMBER, "os-extend"),
    _action("volume:revert_to_snapshot", MEMBER, "revert"),
    _action("volume:retype", MEMBER, "os-retype"),
    _action("volume:update_readonly_flag", MEMBER, "os-update_readonly_flag"),
    _action("volume:reimage", MEMBER, "os-reimage"),
    _action("volume:reimage_reserved", MEMBER, "os-reimage"),
    _action("volume_extension:volume_actions:extend_volume_completion", ADMIN, "os-extend_volume_completion"),
    _action(ACTIONS + "upload_image", MEMBER, "os-volume_upload_image"),
    _action(ACTIONS + "upload_public", ADMIN, "os-volume_upload_image"),
    _action(ADMIN_ACTIONS + "reset_status", ADMIN, "os-reset_status"),
    _action(ADMIN_ACTIONS + "force_delete", ADMIN, "os-force_delete"),
    _action(ADMIN_ACTIONS + "migrate_volume", ADMIN, "os-migrate_volume"),
    _action(ADMIN_ACTIONS + "migrate_volume_completion", ADMIN, "os-migrate_volume_completion"),
    Rule("volume:get_volume_metadata", READER, (f"GET {ONE}/metadata", f"GET {ONE}/metadata/{{key}}")),
    Rule("volume:create_volume_metadata", MEMBER, (f"POST {ONE}/metadata",)),
    Rule("volume:update_volume_metadata", MEMBER, (f"PUT {ONE}/metadata", f"PUT {ONE}/metadata/{{key}}")),
    Rule("volume:delete_volume_metadata", MEMBER, (f"DELETE {ONE}/metadata/{{key}}",)),
    Rule(IMAGE_METADATA + ":show", READER, (f"GET {ONE}", "GET /volumes/detail", f"POST {ONE}/action (os-show_image_metadata)")),
    _action(IMAGE_METADATA + ":set", MEMBER, "os-set_image_metadata"),
    _action(IMAGE_METADATA + ":remove", MEMBER, "os-unset_image_metadata"),
)
