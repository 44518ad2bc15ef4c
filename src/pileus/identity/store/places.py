"""Which policy is for which endpoint, service or region."""

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from pileus.identity.tables import policy_places as t


def _at(endpoint_id: str, service_id: str, region_id: str) -> list[ColumnElement[bool]]:
    return [t.c.endpoint_id == endpoint_id, t.c.service_id == service_id, t.c.region_id == region_id]


def policy_at(tx: Connection, endpoint_id: str, service_id: str, region_id: str) -> str | None:
    """Return the policy of a place."""
    return tx.execute(select(t.c.policy_id).where(*_at(endpoint_id, service_id, region_id))).scalar()


def put(tx: Connection, policy_id: str, endpoint_id: str, service_id: str, region_id: str) -> None:
    """Make a policy that of a place, instead of any other."""
    tx.execute(delete(t).where(*_at(endpoint_id, service_id, region_id)))
    tx.execute(insert(t).values(policy_id=policy_id, endpoint_id=endpoint_id, service_id=service_id, region_id=region_id))


def take(tx: Connection, policy_id: str, endpoint_id: str, service_id: str, region_id: str) -> None:
    """Leave a place without this policy."""
    tx.execute(delete(t).where(t.c.policy_id == policy_id, *_at(endpoint_id, service_id, region_id)))
