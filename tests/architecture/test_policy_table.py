"""Rules and routes belong together: each rule is used, each route is in the table and refuses strangers."""

import re
from pathlib import Path

import pytest

from pileus.main import BUNDLES, services

SOURCE = Path(__file__).parents[2] / "src" / "pileus"
RULES = [rule.name for bundle in BUNDLES for rule in bundle.rules]
ROUTES = [(service, route) for service in services() for route in service.routes]
PRIVATE = [(service, route) for service, route in ROUTES if not route.public]


def text_of_services() -> str:
    parts = [path.read_text() for path in SOURCE.rglob("*.py") if path.stem != "policies" and "policies" not in path.parts]
    return "\n".join(parts)


def test_every_rule_is_used():
    """By its whole name, or by the ending that a generic use case puts behind a prefix."""
    text = text_of_services()
    unused = [name for name in RULES if f'"{name}"' not in text and f"{name}" not in text and not generic(name, text)]
    assert not unused, "\n".join(unused)


def generic(name: str, text: str) -> bool:
    """Whether a rule's name is put together in code, such as f"create_{resource}:{attribute}"."""
    verb = re.split(r"[:_]", name)[0]
    return f'f"{verb}_{{' in text or f'f"{name.rpartition(":")[0]}:{{' in text


def test_every_rule_of_a_route_is_declared():
    missing = {(r.method, r.path, r.rule) for _, r in ROUTES if r.rule and r.rule not in RULES}
    assert not missing


@pytest.mark.parametrize(("service", "route"), PRIVATE, ids=[f"{s.name}:{r.method}:{r.path}:{r.since}" for s, r in PRIVATE])
def test_a_route_refuses_a_caller_without_a_token(lab_once, service, route):
    path = re.sub(r"\{\w+(:rest)?\}", "x", route.path)
    headers = service.microversions.headers(service.microversions.highest) if service.microversions else {}
    if service.microversions and route.until:
        low, high = route.until.split(".")
        headers = service.microversions.headers((int(low), int(high)))
    answer = lab_once.anonymous.request(route.method, f"/{service.name}{path}", headers=headers)
    assert answer.status_code == 401, answer.text
