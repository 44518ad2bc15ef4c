"""What a service hands to main.py so that it becomes part of the cloud."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
