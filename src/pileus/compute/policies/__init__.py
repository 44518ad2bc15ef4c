"""Who may do what, under nova's own rule names, a module a noun."""

from pileus.kernel.policy import Rule

RULES: tuple[Rule, ...] = ()
