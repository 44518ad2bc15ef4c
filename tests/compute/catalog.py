"""Short ways to call compute and placement as a persona, in a microversion."""

from typing import Any

from sqlalchemy import insert

from pileus.identity.tables import projects
from tests.conftest import Lab

PROJECT, OTHER_PROJECT = "b" * 32, "c" * 32
DEMO, ADMIN = "d" * 32, "a" * 32


def compute(lab: Lab, persona: str, version: str, method: str, path: str, body: Any = None) -> Any:
    """Call compute."""
    client = lab.client(persona, {"OpenStack-API-Version": f"compute {version}"})
    return client.request(method, "/compute/v2.1" + path, json=body)


def placement(lab: Lab, method: str, path: str, body: Any = None, version: str = "1.39", persona: str = "admin") -> Any:
    """Call placement."""
    client = lab.client(persona, {"OpenStack-API-Version": f"placement {version}"})
    return client.request(method, "/placement" + path, json=body)


def know_project(lab: Lab, project_id: str) -> None:
    """Have identity know a persona's project."""
    with lab.cloud.db.begin() as tx:
        tx.execute(insert(projects).values(id=project_id, name=project_id, domain_id="default", options={}, extra={}))
