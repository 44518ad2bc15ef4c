"""Who may keep which keys: each user their own, admins everybody's."""

from pileus.kernel.policy import Rule

ROOT = "os_compute_api:os-keypairs:"
OWN_OR_ADMIN = "(rule:admin) or user_id:%(user_id)s"

RULES = (
    Rule(ROOT + "index", OWN_OR_ADMIN, ("GET /os-keypairs",)),
    Rule(ROOT + "create", OWN_OR_ADMIN, ("POST /os-keypairs",)),
    Rule(ROOT + "delete", OWN_OR_ADMIN, ("DELETE /os-keypairs/{keypair_name}",)),
    Rule(ROOT + "show", OWN_OR_ADMIN, ("GET /os-keypairs/{keypair_name}",)),
)
