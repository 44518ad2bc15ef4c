"""Who may look at and steer the parts of the volume service: cinder's services, hosts, scheduler_stats, capabilities rules."""

from pileus.kernel.policy import Rule

ADMIN = "rule:admin"

RULES = (
    Rule("volume_extension:services:index", ADMIN, ("GET /os-services",)),
    Rule("volume_extension:services:update", ADMIN, ("PUT /os-services/{action}",)),
    Rule("volume:failover_host", ADMIN, ("PUT /os-services/failover_host",)),
    Rule("volume:freeze_host", ADMIN, ("PUT /os-services/freeze",)),
    Rule("volume:thaw_host", ADMIN, ("PUT /os-services/thaw",)),
    Rule("volume_extension:hosts", ADMIN, ("GET /os-hosts", "GET /os-hosts/{host}", "PUT /os-hosts/{host}")),
    Rule("scheduler_extension:scheduler_stats:get_pools", ADMIN, ("GET /scheduler-stats/get_pools",)),
    Rule("volume_extension:capabilities", ADMIN, ("GET /capabilities/{host}",)),
    Rule("clusters:get_all", ADMIN, ("GET /clusters", "GET /clusters/detail")),
    Rule("clusters:get", ADMIN, ("GET /clusters/{cluster_name}",)),
    Rule("clusters:update", ADMIN, ("PUT /clusters/{action}",)),
    Rule("workers:cleanup", ADMIN, ("POST /workers/cleanup",)),
)
