"""Who may do what: rules in the language of oslo.policy, declared by each service, overridden by policy.yaml.

    check  = "@" | "!" | "role:NAME" | "rule:NAME" | KEY ":" VALUE
    expr   = check | "not" expr | expr "and" expr | expr "or" expr | "(" expr ")"

KEY is an attribute of the caller (user_id, project_id, system_scope, ...) or a 'quoted' constant; VALUE is a literal or
%(name)s, an attribute of the thing acted on.  A rule is compiled once into a closure.  The language is described in
oslo.policy's documentation.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Check = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]

ALIASES = {
    "admin_required": "role:admin",
    "admin": "role:admin",
    "context_is_admin": "role:admin",
    "service": "role:service",
    "project_reader": "role:reader and project_id:%(project_id)s",
    "project_member": "role:member and project_id:%(project_id)s",
    "project_manager": "role:manager and project_id:%(project_id)s",
    "project_reader_or_admin": "rule:project_reader or rule:admin",
    "project_member_or_admin": "rule:project_member or rule:admin",
    "project_manager_or_admin": "rule:project_manager or rule:admin",
    "service_or_admin": "role:service or role:admin",
}


class PolicyError(Exception):
    """A rule is not of the language, or names a rule that is not there."""


@dataclass(frozen=True)
class Rule:
    """One permission.

    :param name: as OpenStack names it, so that a policy.yaml written for OpenStack works.
    :param check: the default, in the language above; ALIASES may be used as rule:NAME.
    :param paths: the API calls it guards, such as "GET /servers/{server_id}" (for the documentation).
    :param scopes: the kinds of token that may pass: "project", "domain", "system".
    """

    name: str
    check: str
    paths: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("project",)
    help: str = ""


class Enforcer:
    """All rules of the cloud, compiled.

    :param overrides: rule name to check, as read from policy.yaml.
    :raises PolicyError: when a check cannot be read, or a rule is declared twice.
    """

    def __init__(self, rules: Iterable[Rule], overrides: Mapping[str, str] | None = None) -> None:
        self.rules: dict[str, Rule] = {}
        for rule in rules:
            if rule.name in self.rules:
                raise PolicyError(f"{rule.name} is declared twice")
            self.rules[rule.name] = rule
        texts = ALIASES | {name: rule.check for name, rule in self.rules.items()} | dict(overrides or {})
        self._texts = texts
        self._checks: dict[str, Check] = {}
        for name in texts:
            self._compile(name, ())

    def allows(self, name: str, credentials: Mapping[str, Any], scope: str, target: Mapping[str, Any]) -> bool:
        """Tell whether a rule holds for a caller with a token of a scope, acting on a target.

        :raises KeyError: when no such rule is declared (a bug).
        """
        return scope in self.rules[name].scopes and self._checks[name](credentials, target)

    def _compile(self, name: str, within: tuple[str, ...]) -> Check:
        if name in within:
            raise PolicyError(f"rule {name} refers to itself")
        if name not in self._checks:
            if name not in self._texts:
                raise PolicyError(f"there is no rule {name}")
            self._checks[name] = _Parser(self._texts[name], lambda other: self._compile(other, (*within, name))).parse()
        return self._checks[name]


TOKEN = re.compile(r"\s*(\(|\)|(?:'[^']*'|\"[^\"]*\"|%\([^)]*\)s|[^\s()])+)")


class _Parser:
    """Recursive descent over one rule's text."""

    def __init__(self, text: str, lookup: Callable[[str], Check]) -> None:
        self._tokens = [match.group(1) for match in TOKEN.finditer(text)]
        self._text, self._lookup = text, lookup

    def parse(self) -> Check:
        if not self._tokens:
            return _always  # an empty rule allows, as in oslo.policy
        check = self._or()
        if self._tokens:
            raise PolicyError(f"cannot read {self._text!r} at {self._tokens[0]!r}")
        return check

    def _next_is(self, word: str) -> bool:
        if self._tokens and self._tokens[0].lower() == word:
            self._tokens.pop(0)
            return True
        return False

    def _or(self) -> Check:
        checks = [self._and()]
        while self._next_is("or"):
            checks.append(self._and())
        return checks[0] if len(checks) == 1 else lambda who, what: any(check(who, what) for check in checks)

    def _and(self) -> Check:
        checks = [self._not()]
        while self._next_is("and"):
            checks.append(self._not())
        return checks[0] if len(checks) == 1 else lambda who, what: all(check(who, what) for check in checks)

    def _not(self) -> Check:
        if self._next_is("not"):
            check = self._not()
            return lambda who, what: not check(who, what)
        if self._next_is("("):
            check = self._or()
            if not self._next_is(")"):
                raise PolicyError(f"a bracket is not closed in {self._text!r}")
            return check
        if not self._tokens:
            raise PolicyError(f"{self._text!r} ends too early")
        return self._atom(self._tokens.pop(0))

    def _atom(self, token: str) -> Check:
        if token == "@":
            return _always
        if token == "!":
            return _never
        key, colon, value = token.partition(":")
        if not colon:
            raise PolicyError(f"cannot read {token!r} in {self._text!r}")
        if key == "rule":
            return self._lookup(value)
        if key == "role":
            role = value.lower()
            return lambda who, what: role in who["roles"]
        return _compare(key, value)


def _compare(key: str, value: str) -> Check:
    constant = key[1:-1] if key[:1] in "'\"" else None
    found = re.fullmatch(r"%\(([^)]*)\)s", value)
    name = found.group(1) if found else ""

    def check(who: Mapping[str, Any], what: Mapping[str, Any]) -> bool:
        right = what.get(name) if name else value
        left = constant if constant is not None else who.get(key, key if key in ("True", "False", "None") else None)
        if name and right is None:
            return constant == "None" or key == "None"
        return left is not None and left != "" and str(left) == str(right)

    return check


def _always(who: Mapping[str, Any], what: Mapping[str, Any]) -> bool:
    return True


def _never(who: Mapping[str, Any], what: Mapping[str, Any]) -> bool:
    return False
