"""What becomes of a project's traces when it goes."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.kernel import quota
from pileus.kernel.context import Cloud
from pileus.volume.service.quotas import SERVICE
from pileus.volume.store import types


def on_project_deleted(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Forget the limits, the types and the default type of a project that is gone."""
    project_id = str(facts["project_id"])
    quota.reset_limits(tx, SERVICE, project_id)
    types.forget_project(tx, project_id)
