"""The log of what was asked of servers, and how each went."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from pileus.compute.tables.servers import server_actions

Action = Row[Any]
C = server_actions.c


@dataclass(frozen=True)
class Asked:
    """Who asks for what, when."""

    action: str
    request_id: str
    user_id: str
    project_id: str
    at: float


def add(tx: Connection, server_ids: Sequence[str], asked: Asked, events: list[dict[str, Any]] | None = None) -> None:
    """Write down that something was asked of servers."""
    facts = {
        "request_id": asked.request_id, "action": asked.action, "user_id": asked.user_id, "project_id": asked.project_id,
        "started_at": asked.at, "updated_at": asked.at, "events": events or [],
    }  # fmt: skip
    tx.execute(insert(server_actions), [{"server_id": id, **facts} for id in server_ids])


def latest(tx: Connection, server_id: str) -> Action | None:
    """Return what was last asked of a server."""
    query = select(server_actions).where(C.server_id == server_id).order_by(C.id.desc()).limit(1)
    return tx.execute(query).first()


def finish(tx: Connection, action: Action, event: dict[str, Any], error: bool) -> None:
    """Write down how a part of an action went."""
    values: dict[str, Any] = {"events": [*action.events, event], "updated_at": event["finished_at"]}
    if error:
        values["message"] = "Error"
    tx.execute(update(server_actions).where(C.id == action.id).values(**values))


def get(tx: Connection, server_id: str, request_id: str) -> Action | None:
    """Return the action of a request."""
    query = select(server_actions).where(C.server_id == server_id, C.request_id == request_id)
    return tx.execute(query.order_by(C.id.desc())).first()


def search(
    tx: Connection,
    server_id: str,
    since: float | None = None,
    before: float | None = None,
    limit: int | None = None,
    after: Action | None = None,
) -> Sequence[Action]:
    """Return the actions of a server, the newest first."""
    query = select(server_actions).where(C.server_id == server_id).order_by(C.id.desc())
    if since is not None:
        query = query.where(C.updated_at >= since)
    if before is not None:
        query = query.where(C.updated_at <= before)
    if after is not None:
        query = query.where(C.id < after.id)
    return tx.execute(query if limit is None else query.limit(limit)).all()
