"""Made-up requests to every route: whatever is sent, no answer is a 5xx (501: the API has it and this cloud does not).

Bodies are made from the OpenAPI document (of the right shape, with odd values) and out of nothing (of any shape); ids are
made up, or are those of things that exist.
"""

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pileus.kernel import openapi
from pileus.main import services

DOCUMENTS = {service.name: openapi.document(service) for service in services()}
ROUTES = [(service, route) for service in services() for route in service.routes]
NAMES = [f"{s.name}:{r.method}:{r.path}:{r.since}" for s, r in ROUTES]
EXAMPLES = 6

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300)
)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3), max_leaves=6
)
IDS = st.sampled_from(["x", "00000000-0000-4000-8000-000000000000", "1", "default", "a" * 300, "%00", "..", "é", "-1", "d" * 32])
WORDS = (
    "limit", "marker", "sort_key", "sort_dir", "name", "status", "fields", "changes-since", "all_tenants", "id", "x", "tags",
    "sort",
)  # fmt: skip
VALUES = ("", "0", "-1", "x", "1", "name", "desc", "é", "99999999999999999999", "in:a", "2020-01-01")
QUERIES = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(VALUES) | st.text(max_size=10)), max_size=3)
TEXTS = (
    st.sampled_from(["", "x", "a" * 256, "é", "10.0.0.0/24", "10.0.0.1", "auto", "public", "tcp", "2020-01-01T00:00:00Z"]) | IDS
)
PLAIN = {
    "string": TEXTS | st.text(max_size=40),
    "integer": st.integers(-2, 2**40),
    "number": st.floats(-1, 1e9),
    "boolean": st.booleans(),
    "null": st.none(),
}
DEPTH_MAX = 6


def of_schema(schema, components, depth=0):
    """Values of a JSON schema as msgspec writes them; patterns and bounds are sometimes broken on purpose."""
    if "$ref" in schema:
        return of_schema(components[schema["$ref"].rpartition("/")[2]], components, depth)
    if depth > DEPTH_MAX:
        return st.none()
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return st.one_of([of_schema(part, components, depth) for part in schema["anyOf"]])
    kind = schema.get("type")
    if kind == "object":
        return of_object(schema, components, depth)
    if kind == "array":
        return st.lists(of_schema(schema.get("items", {}), components, depth + 1), max_size=3)
    plain = {
        "string": TEXTS | st.text(max_size=40),
        "integer": st.integers(-2, 2**40),
        "number": st.floats(-1, 1e9),
        "null": st.none(),
    }
    return plain.get(kind) or (st.booleans() if kind == "boolean" else ANY_JSON)


def of_object(schema, components, depth):
    named = schema.get("properties", {})
    required = {key: of_schema(named[key], components, depth + 1) for key in schema.get("required", ()) if key in named}
    optional = {key: of_schema(part, components, depth + 1) for key, part in named.items() if key not in required}
    if named:
        return st.fixed_dictionaries(required, optional=optional)
    more = schema.get("additionalProperties")
    return st.dictionaries(TEXTS, of_schema(more, components, depth + 1) if isinstance(more, dict) else ANY_JSON, max_size=3)


def bodies(service, route):
    """Bodies for a route: of its schema where it has one, and of any shape."""
    if route.raw or route.stream:
        return st.binary(max_size=64)
    if route.body is None:
        return st.none() | ANY_JSON
    path = re.sub(r":rest", "", route.path)
    operation = DOCUMENTS[service.name]["paths"][path][route.method.lower()]
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    shaped = of_schema(schema, DOCUMENTS[service.name]["components"]["schemas"])
    return shaped | shaped | ANY_JSON | shaped.map(wrap_oddly)


def wrap_oddly(body):
    """Replace one value of a body by one of another type."""
    text = json.dumps(body)
    return json.loads(re.sub(r'"[^"]*"(?=[,}\]])', "[]", text, count=1))


def version_headers(service, route):
    versions = service.microversions
    if versions is None:
        return {}
    wanted = tuple(int(part) for part in route.until.split(".")) if route.until else versions.highest
    return versions.headers(min(wanted, versions.highest))


@pytest.mark.parametrize(("service", "route"), ROUTES, ids=NAMES)
def test_no_request_breaks_a_route(lab_once, service, route):
    clients = {persona: lab_once.client(persona, headers=version_headers(service, route)) for persona in ("admin", "demo")}

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data):
        path = re.sub(r"\{\w+(:rest)?\}", lambda _: data.draw(IDS), route.path)
        body = data.draw(bodies(service, route))
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        persona = data.draw(st.sampled_from(["admin", "demo"]))
        params = data.draw(QUERIES) if route.method == "GET" else []
        answer = clients[persona].request(route.method, f"/{service.name}{path}", content=content, params=params)
        assert answer.status_code < 500 or answer.status_code == 501, (route.method, path, params, body, answer.text)

    check()
