"""Who may attach volumes: by attachments, and by the older actions."""

from pileus.kernel.policy import Rule

MEMBER, ADMIN = "rule:project_member_or_admin", "rule:admin"
ONE = "/attachments/{attachment_id}"
ACTION = "POST /volumes/{volume_id}/action"
ACTIONS = "volume_extension:volume_actions:"

RULES = (
    Rule("volume:attachment_create", MEMBER, ("POST /attachments",)),
    Rule("volume:attachment_update", MEMBER, (f"PUT {ONE}",)),
    Rule("volume:attachment_delete", MEMBER, (f"DELETE {ONE}",)),
    Rule("volume:attachment_complete", MEMBER, (f"POST {ONE}/action (os-complete)",)),
    Rule("volume:multiattach_bootable_volume", MEMBER, ("POST /attachments",)),
    Rule(ACTIONS + "attach", MEMBER, (f"{ACTION} (os-attach)",)),
    Rule(ACTIONS + "detach", MEMBER, (f"{ACTION} (os-detach)",)),
    Rule(ACTIONS + "reserve", MEMBER, (f"{ACTION} (os-reserve)",)),
    Rule(ACTIONS + "unreserve", MEMBER, (f"{ACTION} (os-unreserve)",)),
    Rule(ACTIONS + "begin_detaching", MEMBER, (f"{ACTION} (os-begin_detaching)",)),
    Rule(ACTIONS + "roll_detaching", MEMBER, (f"{ACTION} (os-roll_detaching)",)),
    Rule(ACTIONS + "initialize_connection", MEMBER, (f"{ACTION} (os-initialize_connection)",)),
    Rule(ACTIONS + "terminate_connection", MEMBER, (f"{ACTION} (os-terminate_connection)",)),
    Rule("volume_extension:volume_admin_actions:force_detach", ADMIN, (f"{ACTION} (os-force_detach)",)),
)
