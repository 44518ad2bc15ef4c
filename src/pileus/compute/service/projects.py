"""Is there such a project?  Asked where an operator names one."""

import re

from pileus.kernel.context import Cloud
from pileus.kernel.errors import BadRequest

PROJECT_ID = re.compile(r"[a-zA-Z0-9-]{1,64}")


def require_project(cloud: Cloud, project_id: str) -> None:
    """Check that an id may be a project's.

    :raises BadRequest: when it cannot.
    """
    if not PROJECT_ID.fullmatch(project_id):
        raise BadRequest(f"Project ID {project_id} is not a valid project.")
