"""Which route a path and a method mean: a tree of path segments.

A segment `{name}` takes any one segment, `{name:rest}` all that follow.  Literal segments win.  Several routes may share a
path and a method when their ranges of microversions do not overlap.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar
from urllib.parse import unquote


class Routable(Protocol):
    """What the router needs to know of a route."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...


R = TypeVar("R", bound=Routable)


@dataclass
class _Node(Generic[R]):
    literal: dict[str, "_Node[R]"] = field(default_factory=dict)
    any: "_Node[R] | None" = None
    rest: bool = False
    routes: dict[str, list[tuple[R, tuple[str, ...]]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Match(Generic[R]):
    """The routes that may answer, and the values of the path's variables.

    methods holds those that the path takes; routes is empty when the one asked for is not among them.
    """

    routes: list[tuple[R, dict[str, str]]]
    methods: tuple[str, ...]


class Router(Generic[R]):
    """All routes of one API."""

    def __init__(self, routes: Iterable[R]) -> None:
        self._root: _Node[R] = _Node()
        for route in routes:
            node, names = self._root, []
            for segment in _split(route.path):
                if not segment.startswith("{"):
                    node = node.literal.setdefault(segment, _Node())
                    continue
                name, _, kind = segment[1:-1].partition(":")
                names.append(name)
                node.any = node.any or _Node()
                node = node.any
                node.rest = node.rest or kind == "rest"
            node.routes.setdefault(route.method, []).append((route, tuple(names)))

    def find(self, method: str, path: str) -> Match[R] | None:
        """Return what a path means, or None when no route has it."""
        for node, values in self._walk(self._root, _split(path), ()):
            if node.routes:
                found = node.routes.get(method, [])
                pairs = [(route, dict(zip(names, values, strict=True))) for route, names in found]
                return Match(pairs, tuple(sorted(node.routes)))
        return None

    def _walk(self, node: _Node[R], segments: list[str], values: tuple[str, ...]) -> Iterable[tuple[_Node[R], tuple[str, ...]]]:
        if not segments:
            yield node, values
            return
        first, others = segments[0], segments[1:]
        if first in node.literal:
            yield from self._walk(node.literal[first], others, values)
        if node.any is not None:
            if node.any.rest:
                yield node.any, (*values, unquote("/".join(segments)))
            if first:
                yield from self._walk(node.any, others, (*values, unquote(first)))


def _split(path: str) -> list[str]:
    path = path.strip("/")
    return path.split("/") if path else []
