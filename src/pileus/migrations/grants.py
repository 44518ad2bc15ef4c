"""Grants of networks that were opened to all before there were any: rows that say what their flags have said."""

import sqlalchemy as sa

from pileus.kernel import ids

NETWORKS = sa.table("networks", *map(sa.column, ("id", "project_id", "shared", "external", "created_at")))
GRANTS = sa.table(
    "network_rbac_policies",
    *map(sa.column, (
        "id", "project_id", "object_type", "object_id", "target_project", "action", "revision_number", "created_at", "updated_at",
    )),
)  # fmt: skip
ACTIONS = {"shared": "access_as_shared", "external": "access_as_external"}
ALL = "*"


def open_networks(connection: sa.Connection) -> None:
    """Write the grant to all of every network that is shared or external and has none; what is there stays."""
    granted = {
        (row.object_id, row.action)
        for row in connection.execute(sa.select(GRANTS).where(GRANTS.c.object_type == "network", GRANTS.c.target_project == ALL))
    }
    missing = [
        {
            "id": ids.uuid(), "project_id": row.project_id, "object_type": "network", "object_id": row.id, "target_project": ALL,
            "action": action, "revision_number": 0, "created_at": row.created_at, "updated_at": row.created_at,
        }
        for row in connection.execute(sa.select(NETWORKS))
        for flag, action in ACTIONS.items()
        if getattr(row, flag) and (row.id, action) not in granted
    ]  # fmt: skip
    if missing:
        connection.execute(sa.insert(GRANTS), missing)
