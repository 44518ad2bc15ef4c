"""The whole cloud, in memory, for every test: real SQL, real tasks; fake clock, hypervisor and network host.

`lab.client("demo")` is an HTTP client with the rights of a persona; `lab.ctx("demo")` the same for calls of use cases;
`lab.settle()` lets time pass and runs the tasks.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from pileus.compute.drivers.fake import FakeHypervisor
from pileus.compute.service import hosts
from pileus.kernel.bus import LocalBus
from pileus.kernel.clock import FakeClock
from pileus.kernel.context import Cloud, Context
from pileus.kernel.db import Database
from pileus.kernel.errors import Unauthenticated
from pileus.kernel.server import Api
from pileus.kernel.settings import Settings
from pileus.kernel.tasks import Worker
from pileus.main import bootstrap, build_api, build_cloud, build_worker
from pileus.network.drivers.fake import FakeNetworkHost
from pileus.volume.drivers.fake import FakeBackend
from tests import brokers, engines
from tests.gateway import Gateway

READER = ("reader",)
MEMBER = ("member", "reader")
ADMIN = ("admin", "manager", "member", "reader")
BLUE, RED = "b" * 32, "c" * 32

PERSONAS = {
    "admin": {"user_id": "a" * 32, "user_name": "root", "project_id": "a" * 31 + "0", "roles": ADMIN},
    "system": {"user_id": "a" * 32, "user_name": "root", "system": True, "roles": ADMIN},
    "system-reader": {"user_id": "1" * 32, "user_name": "sue", "system": True, "roles": READER},
    "domain": {"user_id": "2" * 32, "user_name": "dom", "domain_id": "default", "roles": ADMIN},
    "service": {"user_id": "5" * 32, "user_name": "nova", "project_id": "5" * 31 + "0", "roles": ("service",)},
    "demo": {"user_id": "d" * 32, "user_name": "ann", "project_id": BLUE, "roles": MEMBER},
    "manager": {"user_id": "9" * 32, "user_name": "mia", "project_id": BLUE, "roles": ("manager", *MEMBER)},
    "reader": {"user_id": "e" * 32, "user_name": "rea", "project_id": BLUE, "roles": READER},
    "other": {"user_id": "f" * 32, "user_name": "bob", "project_id": RED, "roles": MEMBER},
    "nobody": {"user_id": "0" * 32, "user_name": "nil", "project_id": BLUE, "roles": ()},
}

FIXTURES = {"template_state", "real", "fake", "pair"}  # what opens a database
MAKERS = {"make_lab", "make_settings", "RealCloud", "engines"}  # and names of a module that makes itself what does


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run on a database server what opens a database."""
    if engines.SERVER:
        left_out = [item for item in items if item.get_closest_marker("servers") or not opens_database(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold, wherever the tests run, that those which are left out on database servers open no database there."""
    engines.expected = opens_database(item) or item.get_closest_marker("servers") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Give back the databases of a test that are not needed any more."""
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    yield
    if folder:
        engines.drop_copies(folder)


def opens_database(item: pytest.Item) -> bool:
    """Tell whether a test opens a database which may be on a server: by a fixture, or by what its module makes itself."""
    module = vars(getattr(item, "module", None) or engines)
    return not FIXTURES.isdisjoint(getattr(item, "fixturenames", ())) or not MAKERS.isdisjoint(module)


@dataclass
class Lab:
    """One cloud for one test."""

    cloud: Cloud
    clock: FakeClock
    hypervisor: FakeHypervisor
    network_host: FakeNetworkHost
    volumes: FakeBackend
    worker: Worker
    app: Api
    clients: list[TestClient] = field(default_factory=list)
    hypervisors: dict[str, FakeHypervisor] = field(default_factory=dict)
    network_hosts: dict[str, FakeNetworkHost] = field(default_factory=dict)

    def ctx(self, persona: str = "demo", **changes) -> Context:
        """The context of a persona; changes replace its attributes."""
        facts = {"user_domain_id": "default", **PERSONAS[persona], **changes}
        if facts.get("project_id"):
            facts = {"project_name": persona, "project_domain_id": "default", **facts}
        return Context(self.cloud, **{**facts, "roles": frozenset(facts["roles"])})

    def client(self, persona: str = "demo", headers: dict[str, str] | None = None, **changes) -> TestClient:
        """An HTTP client with the rights of a persona."""
        token = json.dumps({"persona": persona, **changes})
        return TestClient(self.app, headers={"X-Auth-Token": token, **(headers or {})}, raise_server_exceptions=False)

    @property
    def anonymous(self) -> TestClient:
        """An HTTP client without a token."""
        return TestClient(self.app, raise_server_exceptions=False)

    def settle(self, seconds: float = 0) -> None:
        """Let time pass, have the hosts say that they are there, then run tasks until none is due."""
        self.clock.advance(seconds)
        if seconds:
            hosts.refresh(self.cloud)
        while self.worker.run_due():
            pass

    def authenticate(self, cloud: Cloud, token: str, call) -> Context:
        """Take the personas' tokens, and leave others to identity."""
        if token.startswith('{"persona"'):
            return self.ctx(**json.loads(token))
        try:
            from pileus.identity.service import tokens
        except ImportError:
            raise Unauthenticated("The request you have made requires authentication.") from None
        return tokens.authenticate(cloud, token, call)


def make_settings(state_dir: Path, **changes) -> Settings:
    """Settings under which a cloud costs little."""
    url = changes["database_url"] if "database_url" in changes else engines.url_for(state_dir)
    chosen = {
        "database_url": url,
        "bcrypt_rounds": 4,
        "hypervisor": "fake",
        "network_driver": "fake",
        "volume_backends": "fake,more=fake",
        "host_name": "host1",
        "demo": False,
        **changes,
    }
    return Settings(state_dir=str(state_dir), **chosen)


def make_lab(state_dir: Path, repeats: int = 1, hosts: int = 1, **settings) -> Lab:
    """A cloud on the database that lies in state_dir, with host1, host2 ..."""
    chosen = make_settings(state_dir, **settings)
    clock, hypervisor, network_host = FakeClock(), FakeHypervisor(), FakeNetworkHost()
    volumes, more_volumes = FakeBackend(), FakeBackend()
    hypervisors = {"host1": hypervisor} | {f"host{number}": FakeHypervisor() for number in range(2, hosts + 1)}
    network_hosts = {"host1": network_host} | {f"host{number}": FakeNetworkHost() for number in range(2, hosts + 1)}
    bus = LocalBus({
        **{name: {"hypervisor": hypervisors[name], "network": network_hosts[name]} for name in hypervisors},
        "host1@fake": {"volume": volumes},
        "host1@more": {"volume": more_volumes},
    })  # fmt: skip
    cloud = build_cloud(chosen, Database(chosen.database), clock, bus)
    lab = Lab(cloud, clock, hypervisor, network_host, volumes, build_worker(cloud, repeats), None)  # type: ignore[arg-type]
    lab.app = build_api(cloud, lab.authenticate)
    lab.hypervisors, lab.network_hosts = hypervisors, network_hosts
    return lab


@pytest.fixture(scope="session")
def template_state(tmp_path_factory) -> Path:
    """A state directory as it is after the first start, made once."""
    state_dir = tmp_path_factory.mktemp("template")
    lab = make_lab(state_dir)
    lab.cloud.db.create_tables()
    bootstrap(lab.cloud)
    lab.cloud.db.dispose()
    engines.freeze(state_dir)
    return state_dir


@pytest.fixture
def lab(template_state, tmp_path) -> Lab:
    """A cloud of one host."""
    state_dir = tmp_path / "state"
    shutil.copytree(template_state, state_dir)
    made = make_lab(state_dir)
    yield made
    made.app.close()
    made.cloud.db.dispose()
    engines.drop(state_dir)


@pytest.fixture(scope="session")
def lab_once(template_state, tmp_path_factory) -> Lab:
    """A cloud for many questions that change nothing."""
    state_dir = tmp_path_factory.mktemp("once") / "state"
    shutil.copytree(template_state, state_dir)
    made = make_lab(state_dir)
    yield made
    made.app.close()
    made.cloud.db.dispose()
    engines.drop(state_dir)


@pytest.fixture(scope="module")
def started():
    """Gives a database server of a kind that may be killed, started when it is asked for first."""
    with brokers.at_first_use() as of:
        yield of


@pytest.fixture
def gateway(lab):
    """The lab's object store over HTTP."""
    made = Gateway(lab)
    yield made
    made.close()
