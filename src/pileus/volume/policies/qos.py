"""Who may see and change the qualities of service that volume types promise."""

from pileus.kernel.policy import Rule

QOS = "volume_extension:qos_specs_manage:"
ONE = "/qos-specs/{qos_id}"

RULES = (
    Rule(QOS + "get_all", "rule:admin", ("GET /qos-specs", f"GET {ONE}/associations")),
    Rule(QOS + "get", "rule:admin", (f"GET {ONE}",)),
    Rule(QOS + "create", "rule:admin", ("POST /qos-specs",)),
    Rule(
        QOS + "update",
        "rule:admin",
        (f"PUT {ONE}", f"GET {ONE}/associate", f"GET {ONE}/disassociate", f"GET {ONE}/disassociate_all"),
    ),
    Rule(QOS + "delete", "rule:admin", (f"DELETE {ONE}", f"PUT {ONE}/delete_keys")),
)
