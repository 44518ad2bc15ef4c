"""Who may group hosts, and who may see the zones that come of it."""

from pileus.kernel.policy import Rule

ROOT = "os_compute_api:os-aggregates:"
ZONES = "os_compute_api:os-availability-zone:"

RULES = (
    Rule(ROOT + "index", "rule:admin", ("GET /os-aggregates",)),
    Rule(ROOT + "create", "rule:admin", ("POST /os-aggregates",)),
    Rule(ROOT + "show", "rule:admin", ("GET /os-aggregates/{aggregate_id}",)),
    Rule(ROOT + "update", "rule:admin", ("PUT /os-aggregates/{aggregate_id}",)),
    Rule(ROOT + "delete", "rule:admin", ("DELETE /os-aggregates/{aggregate_id}",)),
    Rule(ROOT + "add_host", "rule:admin", ("POST /os-aggregates/{aggregate_id}/action (add_host)",)),
    Rule(ROOT + "remove_host", "rule:admin", ("POST /os-aggregates/{aggregate_id}/action (remove_host)",)),
    Rule(ROOT + "set_metadata", "rule:admin", ("POST /os-aggregates/{aggregate_id}/action (set_metadata)",)),
    Rule("compute:aggregates:images", "rule:admin", ("POST /os-aggregates/{aggregate_id}/images",)),
    Rule(ZONES + "list", "@", ("GET /os-availability-zone",)),
    Rule(ZONES + "detail", "rule:admin", ("GET /os-availability-zone/detail",)),
)
