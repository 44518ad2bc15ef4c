"""Figures of the process, in the form that Prometheus reads."""

from functools import cache
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST

_REQUESTS = Counter("pileus_http_requests", "Requests answered", ("service", "method", "route", "status"))
_SECONDS = Histogram(
    "pileus_http_request_seconds",
    "Time to answer a request",
    ("service", "method"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


def count(service: str, method: str, route: Any, status: int, seconds: float) -> None:
    """Count one request; the route's pattern, never the path, names it, so that names stay few."""
    path = route.path if route is not None else "-"
    requests, times = _figures(service or "-", method, path, status)
    requests.inc()
    times.observe(seconds)


@cache  # as few as the figures themselves; a look-up by labels takes a lock and several times as long
def _figures(service: str, method: str, path: str, status: int) -> tuple[Counter, Histogram]:
    return _REQUESTS.labels(service, method, path, str(status)), _SECONDS.labels(service, method)


def text() -> bytes:
    """Return all figures."""
    return generate_latest()
