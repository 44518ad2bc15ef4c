"""Who may read what users are told: cinder's messages rules."""

from pileus.kernel.policy import Rule

RULES = (
    Rule("message:get", "rule:project_reader_or_admin", ("GET /messages/{message_id}",)),
    Rule("message:get_all", "rule:project_reader_or_admin", ("GET /messages",)),
    Rule("message:delete", "rule:project_member_or_admin", ("DELETE /messages/{message_id}",)),
)
