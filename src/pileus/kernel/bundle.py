"""What a service hands to main.py so that it becomes part of the cloud."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.context import Cloud
from pileus.kernel.events import Events
from pileus.kernel.http import Service
from pileus.kernel.loops import Loop
from pileus.kernel.policy import Rule
from pileus.kernel.settings import Settings
from pileus.kernel.tasks import Program


@dataclass(frozen=True)
class Bundle:
    """One service's parts.

    :param rules: its policy.
    :param services: its APIs.
    :param programs: its long work.
    :param loops: what it repeats.
    :param subscribe: listens to the news of lower services.
    :param parts: builds the stateful objects that it owns (`Cloud.parts`), by their type.
    :param census: counts what there is, for `pileus status`: a word and its number.
    :param bootstrap: writes down what a new cloud starts with; runs at every start and changes nothing that is there.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    services: tuple[Service, ...] = ()
    programs: tuple[Program, ...] = ()
    loops: tuple[Loop, ...] = ()
    subscribe: Callable[[Events], None] | None = None
    parts: Callable[[Settings], Mapping[type[Any], Any]] | None = None
    bootstrap: Callable[[Cloud], None] | None = None
    census: Callable[[Connection], Mapping[str, int]] | None = None


VERSION = re.compile(r"^/v\d+(\.\d+)?(?=/)")


def guarded(service: Service, rules: Iterable[Rule]) -> Service:
    """Return a service whose routes name their rules: their own, else the first of the table that guards the call."""
    table: dict[str, str] = {}
    for rule in rules:
        for path in rule.paths:
            table.setdefault(_call(*path.split(" ", 1)), rule.name)
    routes = tuple(
        route if route.rule or route.public else replace(route, rule=table.get(_call(route.method, route.path), ""))
        for route in service.routes
    )
    return replace(service, routes=routes)


def _call(method: str, path: str) -> str:
    """Return a call whatever the version of its path and the names of what is in it."""
    return f"{method} {re.sub(r'{[^}]*}', '{}', VERSION.sub('', path))}"
