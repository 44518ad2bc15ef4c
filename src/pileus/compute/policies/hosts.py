"""Who may see and steer compute hosts, as services and as hypervisors."""

from pileus.kernel.policy import Rule

SERVICES = "os_compute_api:os-services:"
HYPERVISORS = "os_compute_api:os-hypervisors:"
HOSTS = "os_compute_api:os-hosts:"
EVENTS = "os_compute_api:os-server-external-events:create"

RULES = (
    Rule(SERVICES + "list", "rule:admin", ("GET /os-services",)),
    Rule(SERVICES + "update", "rule:admin", ("PUT /os-services/{service_id}",)),
    Rule(SERVICES + "delete", "rule:admin", ("DELETE /os-services/{service_id}",)),
    Rule(HOSTS + "list", "rule:admin", ("GET /os-hosts",)),
    Rule(HOSTS + "show", "rule:admin", ("GET /os-hosts/{host_name}",)),
    Rule(HOSTS + "update", "rule:admin", ("PUT /os-hosts/{host_name}",)),
    Rule(HOSTS + "start", "rule:admin", ("GET /os-hosts/{host_name}/startup",)),
    Rule(HOSTS + "shutdown", "rule:admin", ("GET /os-hosts/{host_name}/shutdown",)),
    Rule(HOSTS + "reboot", "rule:admin", ("GET /os-hosts/{host_name}/reboot",)),
    Rule(EVENTS, "rule:service_or_admin", ("POST /os-server-external-events",)),
    Rule(HYPERVISORS + "list", "rule:admin", ("GET /os-hypervisors",)),
    Rule(HYPERVISORS + "list-detail", "rule:admin", ("GET /os-hypervisors/detail",)),
    Rule(HYPERVISORS + "statistics", "rule:admin", ("GET /os-hypervisors/statistics",)),
    Rule(HYPERVISORS + "show", "rule:admin", ("GET /os-hypervisors/{hypervisor_id}",)),
    Rule(HYPERVISORS + "uptime", "rule:admin", ("GET /os-hypervisors/{hypervisor_id}/uptime",)),
    Rule(HYPERVISORS + "search", "rule:admin", ("GET /os-hypervisors/{hypervisor_hostname_pattern}/search",)),
    Rule(HYPERVISORS + "servers", "rule:admin", ("GET /os-hypervisors/{hypervisor_hostname_pattern}/servers",)),
)
