"""Who may do what, under cinder's own rule names, a module a noun."""

from pileus.kernel.policy import Rule
from pileus.volume.policies import adoption, attachments, messages, qos, quotas, services, snapshots, types, volumes

RULES: tuple[Rule, ...] = (
    *volumes.RULES,
    *attachments.RULES,
    *snapshots.RULES,
    *services.RULES,
    *messages.RULES,
    *adoption.RULES,
    *types.RULES,
    *qos.RULES,
    *quotas.RULES,
)
