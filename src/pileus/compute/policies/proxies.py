"""Who may use the calls that compute hands on to network."""

from pileus.kernel.policy import Rule

GROUPS = "os_compute_api:os-security-groups:"
FLOATING = "os_compute_api:os-floating-ips:"
POOLS = "os_compute_api:os-floating-ip-pools"
NETWORKS = "os_compute_api:os-networks:"
TENANT_NETWORKS = "os_compute_api:os-tenant-networks:"

READER, MEMBER = "rule:project_reader_or_admin", "rule:project_member_or_admin"

RULES = (
    Rule(GROUPS + "get", READER, ("GET /os-security-groups",)),
    Rule(GROUPS + "show", READER, ("GET /os-security-groups/{security_group_id}",)),
    Rule(GROUPS + "create", MEMBER, ("POST /os-security-groups",)),
    Rule(GROUPS + "update", MEMBER, ("PUT /os-security-groups/{security_group_id}",)),
    Rule(GROUPS + "delete", MEMBER, ("DELETE /os-security-groups/{security_group_id}",)),
    Rule(GROUPS + "rule:create", MEMBER, ("POST /os-security-group-rules",)),
    Rule(GROUPS + "rule:delete", MEMBER, ("DELETE /os-security-group-rules/{security_group_id}",)),
    Rule(FLOATING + "list", READER, ("GET /os-floating-ips",)),
    Rule(FLOATING + "show", READER, ("GET /os-floating-ips/{floating_ip_id}",)),
    Rule(FLOATING + "create", MEMBER, ("POST /os-floating-ips",)),
    Rule(FLOATING + "delete", MEMBER, ("DELETE /os-floating-ips/{floating_ip_id}",)),
    Rule(FLOATING + "add", MEMBER, ("POST /servers/{server_id}/action (addFloatingIp)",)),
    Rule(FLOATING + "remove", MEMBER, ("POST /servers/{server_id}/action (removeFloatingIp)",)),
    Rule(POOLS, "@", ("GET /os-floating-ip-pools",)),
    Rule(NETWORKS + "list", READER, ("GET /os-networks",)),
    Rule(NETWORKS + "show", READER, ("GET /os-networks/{network_id}",)),
    Rule(TENANT_NETWORKS + "list", READER, ("GET /os-tenant-networks",)),
    Rule(TENANT_NETWORKS + "show", READER, ("GET /os-tenant-networks/{network_id}",)),
)
