"""What network hands to main.py."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.kernel.bundle import Bundle
from pileus.kernel.context import Cloud
from pileus.kernel.events import Events
from pileus.network.api import SERVICE
from pileus.network.policies import RULES
from pileus.network.service import groups
from pileus.network.service.first import bootstrap
from pileus.network.store.census import census
from pileus.network.tasks.converge import NetworkRounds
from pileus.network.tasks.sync import LOOPS, SYNC


def _project_deleted(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    groups.forget_project(tx, cloud, facts["id"])


def _subscribe(events: Events) -> None:
    events.subscribe("identity.project.deleted", _project_deleted)


BUNDLE = Bundle(
    "network",
    rules=RULES,
    services=(SERVICE,),
    programs=(SYNC,),
    loops=LOOPS,
    parts=lambda settings: {NetworkRounds: NetworkRounds()},
    subscribe=_subscribe,
    bootstrap=bootstrap,
    census=census,
)
