"""Who may do what, under nova's own rule names, a module a noun."""

from pileus.compute.policies import aggregates, flavors, hosts, keypairs, placement, quotas, records, server_groups
from pileus.kernel.policy import Rule

RULES: tuple[Rule, ...] = (
    *flavors.RULES,
    *keypairs.RULES,
    *aggregates.RULES,
    *hosts.RULES,
    *quotas.RULES,
    *server_groups.RULES,
    *records.RULES,
    *placement.RULES,
)
