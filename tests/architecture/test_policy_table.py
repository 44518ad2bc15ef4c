"""Rules and routes belong together: each rule is used, each route is in the table and refuses strangers."""

import ast
import re
from pathlib import Path

import pytest

from pileus.main import BUNDLES, services

SOURCE = Path(__file__).parents[2] / "src" / "pileus"
RULES = [rule.name for bundle in BUNDLES for rule in bundle.rules]
ROUTES = [(service, route) for service in services() for route in service.routes]
PRIVATE = [(service, route) for service, route in ROUTES if not route.public]


def is_of_policies(path: Path) -> bool:
    return path.stem == "policies" or "policies" in path.parts


def patterns() -> set[str]:
    """Every text that code outside the policies writes or puts together, as a regular expression."""
    constants = {
        name.id: value.value
        for path in SOURCE.rglob("*.py")
        if is_of_policies(path)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assign)
        for name, value in pairs(node)
        if isinstance(name, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str)
    }
    found = set()
    for path in SOURCE.rglob("*.py"):
        if not is_of_policies(path):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp | ast.Name):
                    found.add(as_pattern(node, constants))
    return {pattern for pattern in found if re.search(r"\w\w", pattern)}


def pairs(node: ast.Assign):
    target = node.targets[0]
    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
        return zip(target.elts, node.value.elts, strict=False)
    return [(target, node.value)]


def as_pattern(node: ast.AST, constants: dict[str, str]) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return re.escape(text)
        case ast.Name(id=name) if name in constants:
            return re.escape(constants[name])
        case ast.Attribute(attr=name) if name in constants:
            return re.escape(constants[name])
        case ast.JoinedStr(values=values):
            return "".join(as_pattern(value, constants) for value in values)
        case ast.FormattedValue(value=value):
            return as_pattern(value, constants)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return as_pattern(left, constants) + as_pattern(right, constants)
    return ".+"


def test_every_rule_is_used():
    """By its whole name, or by one that code puts together, such as f"create_{noun}"."""
    used = re.compile("|".join(f"(?:{pattern})" for pattern in patterns()))
    unused = [name for name in RULES if not used.fullmatch(name)]
    assert not unused, "\n".join(unused)


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
