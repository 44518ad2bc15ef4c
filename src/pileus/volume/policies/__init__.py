"""Who may do what, under cinder's own rule names, a module a noun."""

from pileus.kernel.policy import Rule

RULES: tuple[Rule, ...] = ()
