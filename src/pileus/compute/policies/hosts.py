"""Who may see and steer compute hosts, as services and as hypervisors."""

from pileus.kernel.policy import Rule

SERVICES = "os_compute_api:os-services:"
HYPERVISORS = "os_compute_api:os-hypervisors:"

RULES = (
    Rule(SERVICES + "list", "rule:admin", ("GET /os-services",)),
    Rule(SERVICES + "update", "rule:admin", ("PUT /os-services/{service_id}",)),
    Rule(SERVICES + "delete", "rule:admin", ("DELETE /os-services/{service_id}",)),
    Rule(HYPERVISORS + "list", "rule:admin", ("GET /os-hypervisors",)),
    Rule(HYPERVISORS + "list-detail", "rule:admin", ("GET /os-hypervisors/detail",)),
    Rule(HYPERVISORS + "statistics", "rule:admin", ("GET /os-hypervisors/statistics",)),
    Rule(HYPERVISORS + "show", "rule:admin", ("GET /os-hypervisors/{hypervisor_id}",)),
    Rule(HYPERVISORS + "uptime", "rule:admin", ("GET /os-hypervisors/{hypervisor_id}/uptime",)),
    Rule(HYPERVISORS + "search", "rule:admin", ("GET /os-hypervisors/{hypervisor_hostname_pattern}/search",)),
    Rule(HYPERVISORS + "servers", "rule:admin", ("GET /os-hypervisors/{hypervisor_hostname_pattern}/servers",)),
)
