"""Who may do what, under cinder's own rule names, a module a noun."""

from pileus.kernel.policy import Rule
from pileus.volume.policies import (
    adoption,
    attachments,
    backups,
    groups,
    messages,
    qos,
    quotas,
    services,
    snapshots,
    transfers,
    types,
    volumes,
)

RULES: tuple[Rule, ...] = (
    *volumes.RULES,
    *attachments.RULES,
    *transfers.RULES,
    *snapshots.RULES,
    *backups.RULES,
    *services.RULES,
    *messages.RULES,
    *adoption.RULES,
    *types.RULES,
    *qos.RULES,
    *groups.RULES,
    *quotas.RULES,
)
