"""Who may give volumes away and take them."""

from pileus.kernel.policy import Rule

READER, MEMBER = "rule:project_reader_or_admin", "rule:project_member_or_admin"
ONE = "/os-volume-transfer/{transfer_id}"

RULES = (
    Rule("volume:get_all_transfers", READER, ("GET /os-volume-transfer", "GET /os-volume-transfer/detail")),
    Rule("volume:get_transfer", READER, (f"GET {ONE}",)),
    Rule("volume:create_transfer", MEMBER, ("POST /os-volume-transfer",)),
    Rule("volume:accept_transfer", MEMBER, (f"POST {ONE}/accept",)),
    Rule("volume:delete_transfer", MEMBER, (f"DELETE {ONE}",)),
)
