"""What a new cloud starts with: a domain, the roles, three projects, two users, the catalog.  Changes nothing that is there."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection

from pileus.identity import passwords, tables
from pileus.identity.service import catalog
from pileus.identity.state import state_of
from pileus.identity.store import links, revisions, rows
from pileus.identity.store.records import Project, Role, User
from pileus.kernel import ids, vault
from pileus.kernel.context import Cloud
from pileus.kernel.settings import Settings

DOMAIN_ID = "default"
USERS = ("admin", "demo")
ROLES = ("admin", "manager", "member", "reader", "service")
IMPLIED = (("admin", "manager"), ("manager", "member"), ("member", "reader"))
PROJECTS = {
    "admin": "The project of those who run the cloud",
    "service": "The project of the cloud's services",
    "demo": "A project to try things in",
}
IMMUTABLE = {"immutable": True}


def read_passwords(settings: Settings) -> dict[str, str]:
    """Return the passwords of the first users, by name, as they were generated; empty before the first start."""
    file = Path(settings.state_dir) / "passwords.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def bootstrap(cloud: Cloud) -> None:
    """Write down what is missing."""
    state = state_of(cloud)
    now = cloud.clock.now()
    for name, ring in (("token keys", state.token_keys), ("credential keys", state.credential_keys)):
        ring.share(vault.share(cloud.db, cloud.settings, name, ring.directory))
        ring.ensure(now)
    with cloud.db.read() as tx:
        known = {user.name for user in rows.find(tx, User, domain_id=DOMAIN_ID, name=USERS)}
    missing = [name for name in USERS if name not in known]
    secrets = _make_passwords(cloud.settings, missing)
    hashes = {name: passwords.make_hash(secrets[name], cloud.settings.bcrypt_rounds) for name in missing}
    with cloud.db.begin() as tx:
        if rows.get(tx, Project, DOMAIN_ID) is None:
            domain = Project(DOMAIN_ID, "Default", is_domain=True, description="The default domain")
            rows.add(tx, domain, "domain", DOMAIN_ID)
            revisions.bump(tx)
        roles = _ensure_roles(tx)
        projects = _ensure_projects(tx)
        _ensure_users(tx, hashes, now)
        _ensure_assignments(tx, roles, projects, set(hashes))
        for listed in catalog.OWN:
            catalog.ensure_service(tx, cloud, listed)


def _make_passwords(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """Return the passwords of users about to be made; those not in the file yet are generated and written to it first."""
    known = read_passwords(settings)
    new = {name: ids.secret(15) for name in names if name not in known}
    if not new:
        return known
    folder = Path(settings.state_dir)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / ".passwords.json.new"
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(known | new, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    part.rename(folder / "passwords.json")
    return known | new


def _ensure_roles(tx: Connection) -> dict[str, str]:
    known = {role.name: role.id for role in rows.find(tx, Role, domain_id="")}
    for name in ROLES:
        if name not in known:
            role = Role(ids.hex_id(), name, options=IMMUTABLE)
            rows.add(tx, role, "role", name)
            known[name] = role.id
            for prior, implied in IMPLIED:
                if implied == name:
                    links.add(tx, tables.implied_roles, prior_id=known[prior], implied_id=role.id)
            revisions.bump(tx)
    return known


def _ensure_projects(tx: Connection) -> dict[str, str]:
    known = {project.name: project.id for project in rows.find(tx, Project, domain_id=DOMAIN_ID)}
    for name, description in PROJECTS.items():
        if name not in known:
            project = Project(ids.hex_id(), name, DOMAIN_ID, DOMAIN_ID, description=description)
            rows.add(tx, project, "project", name)
            known[name] = project.id
    return known


def _ensure_users(tx: Connection, hashes: dict[str, str], now: float) -> None:
    for name, hashed in hashes.items():
        rows.add(tx, User(ids.hex_id(), name, DOMAIN_ID, password_hash=hashed, created_at=now), "user", name)


def _ensure_assignments(tx: Connection, roles: dict[str, str], projects: dict[str, str], new: set[str]) -> None:
    """Give the users that were just made their roles; what an operator took away later stays away."""
    users = {user.name: user.id for user in rows.find(tx, User, domain_id=DOMAIN_ID, name=sorted(new))} if new else {}
    wanted = [
        ("admin", "admin", "project", projects["admin"]),
        ("admin", "admin", "project", projects["demo"]),
        ("admin", "admin", "system", "all"),
        ("demo", "member", "project", projects["demo"]),
    ]
    for name, role, kind, target in wanted:
        if name in users:
            links.add(
                tx, tables.assignments, actor_kind="user", actor_id=users[name], target_kind=kind, target_id=target,
                role_id=roles[role], inherited=False,
            )  # fmt: skip
            revisions.bump(tx)
