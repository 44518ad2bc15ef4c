"""The composition root: settings -> Cloud -> application, workers, loops.  The only module that knows all parts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pileus.compute.bundle import BUNDLE as COMPUTE
from pileus.faces.s3.bundle import BUNDLE as S3
from pileus.identity.bundle import BUNDLE as IDENTITY
from pileus.image.bundle import BUNDLE as IMAGE
from pileus.kernel.bundle import Bundle, guarded
from pileus.kernel.bus import Bus
from pileus.kernel.clock import Clock
from pileus.kernel.context import Cloud
from pileus.kernel.db import Database
from pileus.kernel.events import Events
from pileus.kernel.http import Service
from pileus.kernel.loops import LoopRunner
from pileus.kernel.policy import Enforcer
from pileus.kernel.server import Api, Authenticate
from pileus.kernel.settings import Settings
from pileus.kernel.tasks import Worker
from pileus.network.bundle import BUNDLE as NETWORK
from pileus.nodes.bundle import BUNDLE as NODES
from pileus.object_store.bundle import BUNDLE as OBJECT_STORE
from pileus.volume.bundle import BUNDLE as VOLUME

BUNDLES: tuple[Bundle, ...] = (NODES, IDENTITY, OBJECT_STORE, IMAGE, NETWORK, VOLUME, COMPUTE, S3)  # lower services first


def build_cloud(settings: Settings, db: Database, clock: Clock, bus: Bus) -> Cloud:
    """Put the infrastructure together."""
    events = Events()
    parts: dict[type[Any], Any] = {}
    for bundle in BUNDLES:
        if bundle.subscribe:
            bundle.subscribe(events)
        if bundle.parts:
            parts |= bundle.parts(settings)
    rules = [rule for bundle in BUNDLES for rule in bundle.rules]
    return Cloud(settings, db, clock, bus, Enforcer(rules, read_policy(settings)), events, parts)


def read_policy(settings: Settings) -> Mapping[str, str]:
    """Return the operator's overrides of rules, by name."""
    file = Path(settings.policy_file) if settings.policy_file else Path(settings.state_dir) / "policy.yaml"
    if not file.exists():
        return {}
    return {str(name): str(check) for name, check in (yaml.safe_load(file.read_text()) or {}).items()}


def services() -> tuple[Service, ...]:
    """Return every API of the cloud."""
    return tuple(guarded(service, bundle.rules) for bundle in BUNDLES for service in bundle.services)


def bootstrap(cloud: Cloud) -> None:
    """Write down what a new cloud starts with."""
    for bundle in BUNDLES:
        if bundle.bootstrap:
            bundle.bootstrap(cloud)


def build_api(cloud: Cloud, authenticate: Authenticate) -> Api:
    """Put the web application together."""
    return Api(cloud, services(), authenticate)


def build_worker(cloud: Cloud, repeats: int = 1) -> Worker:
    """Put a worker together."""
    return Worker(cloud, [program for bundle in BUNDLES for program in bundle.programs], repeats)


def build_loops(cloud: Cloud) -> LoopRunner:
    """Put the repeated work together."""
    return LoopRunner(cloud, [loop for bundle in BUNDLES for loop in bundle.loops])


def census(db: Database) -> dict[str, int]:
    """Return how many there are of what people care about."""
    found: dict[str, int] = {}
    with db.read() as tx:
        for bundle in BUNDLES:
            if bundle.census:
                found |= bundle.census(tx)
    return found
