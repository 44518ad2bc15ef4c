"""How much a project uses, counted out of the rows.

Keys are the names of quota resources; those of one volume type end in its id: `gigabytes_ID`.
"""

from collections import Counter

from sqlalchemy import Connection, func, select

from pileus.volume.store import backups
from pileus.volume.tables.groups import groups
from pileus.volume.tables.volumes import snapshots, volumes


def count(tx: Connection, project_id: str) -> Counter[str]:
    """Return what a project uses of each resource; gigabytes are those of volumes and of snapshots."""
    used: Counter[str] = Counter()
    for name, table in (("volumes", volumes), ("snapshots", snapshots)):
        columns = table.c
        query = (
            select(columns.volume_type_id, func.count(), func.sum(columns.size_gib))
            .where(columns.project_id == project_id, columns.counts.is_(True))
            .group_by(columns.volume_type_id)
        )
        for type_id, number, size_gib in tx.execute(query):
            for suffix in ("", f"_{type_id}"):
                used[name + suffix] += number
                used["gigabytes" + suffix] += int(size_gib)
    query_groups = select(func.count()).select_from(groups).where(groups.c.project_id == project_id)
    used["groups"] = tx.execute(query_groups).scalar_one()
    used["backups"], used["backup_gigabytes"] = backups.usage(tx, project_id)
    return used
