"""What a process keeps in memory of identity: keys, threads for hashing, and a view of the facts that tokens depend on.

A View belongs to one revision (see `store.revisions`).  Each request compares the counter; when somebody changed anything
that could change what a token means, in this process or another, a new View is begun and everything is looked up again.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import Project, Role
from pileus.kernel.context import Cloud
from pileus.kernel.keyring import KeyRing
from pileus.kernel.settings import Settings

ENTRIES_MAX = 20_000


@dataclass
class View:
    """The facts of one revision: the small tables as a whole, and what was found out of them so far.

    tokens holds validated tokens by their text, scopes what a user may do in a scope, catalogs the catalog by project,
    project_ids the projects that were looked up by domain and name, ec2_keys the EC2 key pairs by their access key.
    """

    revision: int
    roles: dict[str, Role]
    implied: dict[str, list[str]]
    domains: dict[str, Project]
    revoked: dict[tuple[str, str], int]
    tokens: dict[str, Any] = field(default_factory=dict)
    scopes: dict[tuple[str, str, str, Any], Any] = field(default_factory=dict)
    catalogs: dict[str, Any] = field(default_factory=dict)
    project_ids: dict[tuple[str, str], str] = field(default_factory=dict)
    ec2_keys: dict[str, Any] = field(default_factory=dict)

    def keep(self, kind: dict[Any, Any], key: Any, value: Any) -> None:
        """Remember something; forget all of its kind when there is too much."""
        if len(kind) >= ENTRIES_MAX:
            kind.clear()
        kind[key] = value


def load(tx: Connection) -> View:
    """Begin the view of the current revision."""
    return View(
        revisions.current(tx),
        {role.id: role for role in rows.find(tx, Role)},
        links.implications(tx),
        {domain.id: domain for domain in rows.find(tx, Project, is_domain=True)},
        revisions.revoked(tx),
    )


class IdentityState:
    """The stateful objects of identity in one process."""

    def __init__(self, settings: Settings) -> None:
        self.token_keys = KeyRing(Path(settings.state_dir) / "fernet-keys")
        self.credential_keys = KeyRing(Path(settings.state_dir) / "credential-keys")
        self.hashers = ThreadPoolExecutor(max(1, os.cpu_count() or 1), thread_name_prefix="hash")
        self.quick = ThreadPoolExecutor(4, thread_name_prefix="auth")
        self._view: View | None = None
        self._raw: Any = None
        self._lock = threading.Lock()

    def view(self, cloud: Cloud) -> View:
        """Return the view of the revision that the database is at."""
        view = self._view
        if view is None or view.revision != self._revision(cloud):
            with cloud.db.read() as tx:
                view = load(tx)
            self._view = view
        return view

    def _revision(self, cloud: Cloud) -> int:
        if not cloud.db.is_sqlite:
            with cloud.db.read() as tx:
                return revisions.current(tx)
        with self._lock:  # one connection of the driver's own, always outside a transaction: a few microseconds
            if self._raw is None:
                self._raw = cloud.db.engine.raw_connection()
            row = self._raw.driver_connection.execute(revisions.CURRENT_SQL).fetchone()
        return int(row[0]) if row else 0


def state_of(cloud: Cloud) -> IdentityState:
    """Return the state of this process."""
    return cloud.part(IdentityState)
