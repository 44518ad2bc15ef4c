"""Rows without an id of their own: memberships, tags, implied roles, what an application credential may do."""

from collections.abc import Iterable

from sqlalchemy import Connection, Table, delete, insert, select, update

from pileus.identity import tables as t
from pileus.identity.store.records import AccessRule, Assignment


def add(tx: Connection, table: Table, **values: object) -> bool:
    """Write a row unless it is there; tell whether it was written."""
    where = [table.c[name] == value for name, value in values.items()]
    if tx.execute(select(*table.primary_key.columns).where(*where)).first():
        return False
    tx.execute(insert(table).values(**values))
    return True


def drop(tx: Connection, table: Table, **values: object) -> int:
    """Delete rows; return how many there were."""
    return tx.execute(delete(table).where(*[table.c[name] == value for name, value in values.items()])).rowcount


def exists(tx: Connection, table: Table, **values: object) -> bool:
    """Tell whether there is such a row."""
    where = [table.c[name] == value for name, value in values.items()]
    return tx.execute(select(*table.primary_key.columns).where(*where)).first() is not None


def group_ids(tx: Connection, user_id: str) -> list[str]:
    """Return the groups that a user is in."""
    return list(tx.execute(select(t.memberships.c.group_id).where(t.memberships.c.user_id == user_id)).scalars())


def member_ids(tx: Connection, group_id: str) -> list[str]:
    """Return the users of a group."""
    return list(tx.execute(select(t.memberships.c.user_id).where(t.memberships.c.group_id == group_id)).scalars())


def all_members(tx: Connection) -> dict[str, list[str]]:
    """Return the users of every group."""
    found: dict[str, list[str]] = {}
    for user_id, group_id in tx.execute(select(t.memberships.c.user_id, t.memberships.c.group_id)):
        found.setdefault(group_id, []).append(user_id)
    return found


def implications(tx: Connection) -> dict[str, list[str]]:
    """Return, for each role, the roles that it implies directly."""
    found: dict[str, list[str]] = {}
    query = select(t.implied_roles.c.prior_id, t.implied_roles.c.implied_id).order_by(t.implied_roles.c.implied_id)
    for prior, implied in tx.execute(query):
        found.setdefault(prior, []).append(implied)
    return found


def tags(tx: Connection, project_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the tags of some projects, sorted."""
    found: dict[str, list[str]] = {}
    table = t.project_tags
    query = select(table.c.project_id, table.c.name).where(table.c.project_id.in_(list(project_ids))).order_by(table.c.name)
    for project_id, name in tx.execute(query):
        found.setdefault(project_id, []).append(name)
    return found


def set_tags(tx: Connection, project_id: str, names: Iterable[str]) -> None:
    """Replace the tags of a project."""
    tx.execute(delete(t.project_tags).where(t.project_tags.c.project_id == project_id))
    rows = [{"project_id": project_id, "name": name} for name in sorted(set(names))]
    if rows:
        tx.execute(insert(t.project_tags), rows)


def assignments_of(tx: Connection, user_id: str) -> list[Assignment]:
    """Return what a user holds in person and through groups."""
    a, m = t.assignments, t.memberships
    groups = select(m.c.group_id).where(m.c.user_id == user_id)
    mine = (a.c.actor_kind == "user") & (a.c.actor_id == user_id)
    ours = (a.c.actor_kind == "group") & a.c.actor_id.in_(groups)
    columns = (a.c.actor_kind, a.c.actor_id, a.c.target_kind, a.c.target_id, a.c.role_id, a.c.inherited)
    return [Assignment(*row) for row in tx.execute(select(*columns).where(mine | ours))]


def app_credential_roles(tx: Connection, id: str) -> list[str]:
    """Return the roles of an application credential."""
    table = t.app_credential_roles
    return list(tx.execute(select(table.c.role_id).where(table.c.app_credential_id == id)).scalars())


def app_credential_rules(tx: Connection, id: str) -> list[AccessRule]:
    """Return the access rules of an application credential."""
    r, link = t.access_rules, t.app_credential_access_rules
    columns = (r.c.id, r.c.user_id, r.c.service, r.c.path, r.c.method)
    query = select(*columns).join(link, link.c.access_rule_id == r.c.id).where(link.c.app_credential_id == id)
    return [AccessRule(*row) for row in tx.execute(query.order_by(r.c.id))]


def forget_default_project(tx: Connection, project_id: str) -> None:
    """Have no user begin in a project any more."""
    tx.execute(update(t.users).where(t.users.c.default_project_id == project_id).values(default_project_id=None))


def trust_roles(tx: Connection, trust_id: str) -> list[str]:
    """Return the roles that a trust gives."""
    return list(tx.execute(select(t.trust_roles.c.role_id).where(t.trust_roles.c.trust_id == trust_id)).scalars())


def use_trust(tx: Connection, trust_id: str) -> bool:
    """Take one of the uses that a trust has left; tell whether there was one."""
    c = t.trusts.c
    query = update(t.trusts).where(c.id == trust_id, c.remaining_uses > 0).values(remaining_uses=c.remaining_uses - 1)
    return tx.execute(query).rowcount == 1


def project_endpoint_ids(tx: Connection, project_id: str) -> list[str]:
    """Return the endpoints that a project was given one by one."""
    table = t.project_endpoints
    return list(tx.execute(select(table.c.endpoint_id).where(table.c.project_id == project_id)).scalars())


def endpoint_project_ids(tx: Connection, endpoint_id: str) -> list[str]:
    """Return the projects that were given an endpoint."""
    table = t.project_endpoints
    return list(tx.execute(select(table.c.project_id).where(table.c.endpoint_id == endpoint_id)).scalars())


def project_group_ids(tx: Connection, project_id: str) -> list[str]:
    """Return the endpoint groups that a project was given."""
    table = t.project_endpoint_groups
    return list(tx.execute(select(table.c.group_id).where(table.c.project_id == project_id)).scalars())


def group_project_ids(tx: Connection, group_id: str) -> list[str]:
    """Return the projects that were given an endpoint group."""
    table = t.project_endpoint_groups
    return list(tx.execute(select(table.c.project_id).where(table.c.group_id == group_id)).scalars())


def past_hashes(tx: Connection, user_id: str, count: int) -> list[str]:
    """Return the hashes of a user's last passwords before the present one, the newest first."""
    table = t.past_passwords
    query = select(table.c.password_hash).where(table.c.user_id == user_id).order_by(table.c.id.desc()).limit(count)
    return list(tx.execute(query).scalars())


def keep_hash(tx: Connection, user_id: str, password_hash: str, now: float) -> None:
    """Remember a password that is replaced."""
    tx.execute(insert(t.past_passwords).values(user_id=user_id, password_hash=password_hash, set_at=now))


def failures(tx: Connection, user_id: str) -> tuple[int, float]:
    """Return how often in a row a login of a user failed, and when it last did."""
    table = t.failed_logins
    row = tx.execute(select(table.c.count, table.c.last_at).where(table.c.user_id == user_id)).first()
    return (row.count, row.last_at) if row else (0, 0.0)  # type: ignore[return-value]


def set_failures(tx: Connection, user_id: str, count: int, now: float) -> None:
    """Write down how often in a row a login of a user failed."""
    table = t.failed_logins
    tx.execute(delete(table).where(table.c.user_id == user_id))
    if count:
        tx.execute(insert(table).values(user_id=user_id, count=count, last_at=now))
