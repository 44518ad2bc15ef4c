"""Who may do what, under cinder's own rule names, a module a noun."""

from pileus.kernel.policy import Rule
from pileus.volume.policies import attachments, backups, qos, quotas, snapshots, types, volumes

RULES: tuple[Rule, ...] = (
    *volumes.RULES,
    *attachments.RULES,
    *snapshots.RULES,
    *backups.RULES,
    *types.RULES,
    *qos.RULES,
    *quotas.RULES,
)
