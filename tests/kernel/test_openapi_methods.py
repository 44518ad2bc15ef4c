"""Methods that OpenAPI has no word for stay out of the document."""

from pileus.kernel import faults, openapi
from pileus.kernel.http import Route, Service


def test_copy_is_not_described():
    routes = tuple(Route(method, "/a/{b}", lambda call: None) for method in ("GET", "COPY"))
    assert list(openapi.document(Service("shop", "Shop", routes, faults.nova))["paths"]["/a/{b}"]) == ["get"]
