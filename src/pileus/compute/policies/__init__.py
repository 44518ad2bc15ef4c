"""Who may do what, under nova's own rule names, a module a noun."""

from pileus.compute.policies import (
    aggregates,
    flavors,
    hosts,
    keypairs,
    placement,
    proxies,
    quotas,
    records,
    server_groups,
    servers,
    servers_migrations,
    volumes,
)
from pileus.kernel.policy import Rule

RULES: tuple[Rule, ...] = (
    *servers.RULES,
    *servers_migrations.RULES,
    *flavors.RULES,
    *keypairs.RULES,
    *aggregates.RULES,
    *hosts.RULES,
    *quotas.RULES,
    *server_groups.RULES,
    *records.RULES,
    *proxies.RULES,
    *volumes.RULES,
    *placement.RULES,
)
