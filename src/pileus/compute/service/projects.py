"""Projects, as far as the catalog knows them: whether there is one, and what becomes of its traces when it goes."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from pileus.compute.store import flavors, server_groups
from pileus.identity.service import projects as identity
from pileus.kernel import quota
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import BadRequest


def require_project(ctx: Context, project_id: str) -> None:
    """Check that there is a project where a caller names one.

    :raises BadRequest: when there is none.
    """
    if project_id != ctx.project_id and not identity.exists(ctx.cloud, project_id):
        raise BadRequest(f"Project ID {project_id} is not a valid project.")


def on_project_deleted(tx: Connection, cloud: Cloud, facts: Mapping[str, Any]) -> None:
    """Forget the limits, the groups and the flavor access of a project that is gone."""
    project_id = str(facts["project_id"])
    quota.reset_limits(tx, "compute", project_id)
    server_groups.delete_of_project(tx, project_id)
    flavors.remove_from_all(tx, project_id)
