"""Who may do what, under cinder's own rule names, a module a noun."""

from pileus.kernel.policy import Rule
from pileus.volume.policies import snapshots, volumes

RULES: tuple[Rule, ...] = (
    *volumes.RULES,
    *snapshots.RULES,
)
