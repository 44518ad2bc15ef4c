"""A cloud with nothing in it but the object store, on a cluster in memory."""

import json
from dataclasses import dataclass, replace

import pytest
from starlette.testclient import TestClient

from pileus.kernel.bus import LocalBus
from pileus.kernel.clock import FakeClock
from pileus.kernel.context import Cloud, Context
from pileus.kernel.db import Database
from pileus.kernel.errors import Unauthenticated
from pileus.kernel.events import Events
from pileus.kernel.policy import Enforcer
from pileus.kernel.server import Api
from pileus.object_store.bundle import SERVICE, make_store
from pileus.object_store.placement import Placement
from pileus.object_store.policies import RULES
from pileus.object_store.state import ObjectStore
from pileus.object_store.storage.memory import memory_cluster
from tests.conftest import BLUE, PERSONAS, RED, make_settings

ACCOUNT, OTHER_ACCOUNT = f"AUTH_{BLUE}", f"AUTH_{RED}"
MORE = {"reseller": {"user_id": "1" * 32, "user_name": "res", "project_id": "1" * 31 + "0", "roles": ("reselleradmin",)}}


class Swift(TestClient):
    """A client at an account: paths are below /v1/ACCOUNT."""

    def __init__(self, app, account, headers) -> None:
        super().__init__(app, headers=headers, raise_server_exceptions=False)
        self.account = account

    def __call__(self, method, path="", content=None, account=None, **headers):
        query = ""
        if "?" in path:
            path, _, query = path.partition("?")
        url = f"/object-store/v1/{account or self.account}{path}" + (f"?{query}" if query else "")
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.request(method, url, content=content, headers=sent, follow_redirects=False)


@dataclass
class Shop:
    """One object store for one test."""

    cloud: Cloud
    clock: FakeClock
    store: ObjectStore
    app: Api

    def authenticate(self, cloud, token, call):
        if not token.startswith("{"):
            raise Unauthenticated("no")
        name = json.loads(token)["persona"]
        facts = {"user_domain_id": "default", "project_domain_id": "default", "project_name": name, **(PERSONAS | MORE)[name]}
        return Context(self.cloud, **{**facts, "roles": frozenset(facts["roles"])})

    def client(self, persona="demo", account=ACCOUNT, **headers) -> Swift:
        token = {"X-Auth-Token": json.dumps({"persona": persona})} if persona else {}
        return Swift(self.app, account, {**token, **headers})

    def limit(self, **limits) -> None:
        """Change the limits."""
        self.store.limits = replace(self.store.limits, **limits)

    def kernel(self):
        """The nodes of the cluster."""
        return self.store.placement.cluster.carrier


def make_shop(tmp_path, nodes=1, replicas=1, policies=1, **settings) -> Shop:
    database_url = f"sqlite:///{tmp_path}/shop.db"  # never asked
    chosen = make_settings(tmp_path, database_url=database_url, **settings)
    clock = FakeClock()
    store = make_store(chosen, lambda now: Placement(memory_cluster(now, nodes, replicas, policies)))
    store.next_timestamp(clock)
    cloud = Cloud(
        chosen,
        Database(database_url),
        clock,
        LocalBus({}),
        Enforcer(RULES, {}),
        Events(),
        {ObjectStore: store},
    )
    shop = Shop(cloud, clock, store, None)
    shop.app = Api(cloud, [SERVICE], shop.authenticate)
    return shop


@pytest.fixture
def shop(tmp_path):
    """An object store of one device."""
    made = make_shop(tmp_path)
    yield made
    made.app.close()


@pytest.fixture
def swift(shop) -> Swift:
    """A member's client at their account."""
    return shop.client()
