"""What users are told of work that failed; `report` tells them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound
from pileus.volume.messages import report
from pileus.volume.store import messages as store
from pileus.volume.store.messages import Message
from pileus.volume.store.pages import Slice, UnknownKey, UnknownMarker

__all__ = ["report"]


def find(tx: Connection, ctx: Context, message_id: str, rule: str = "message:get") -> Message:
    """Return a message.  :raises NotFound: when there is none, or it is another project's."""
    hidden = NotFound(f"Message {message_id} could not be found.", kind="MessageNotFound")
    found = store.get(tx, message_id)
    if found is None:
        raise hidden
    ctx.require(rule, {"project_id": found.project_id}, hidden=hidden)
    return found


def get(ctx: Context, message_id: str) -> Message:
    """Return a message.  :raises NotFound: when there is none, or it is another project's."""
    with ctx.cloud.db.read() as tx:
        return find(tx, ctx, message_id)


def delete(ctx: Context, message_id: str) -> None:
    """Forget a message.  :raises NotFound: when there is none, or it is another project's."""
    with ctx.cloud.db.begin() as tx:
        find(tx, ctx, message_id, "message:delete")
        store.remove(tx, message_id)


def list_messages(ctx: Context, exact: Mapping[str, str], parts: Mapping[str, str], wanted: Slice) -> Sequence[Message]:
    """Return a part of the messages of the caller's project.

    :raises NotFound: when the marker is no message.
    :raises BadRequest: when messages are not sorted by that.
    """
    ctx.require("message:get_all")
    with ctx.cloud.db.read() as tx:
        try:
            return store.search(tx, {**exact, "project_id": ctx.project_id}, parts, wanted)
        except UnknownMarker as error:
            raise NotFound(f"Message {error} could not be found.", kind="MessageNotFound") from error
        except UnknownKey as error:
            raise BadRequest("Invalid input received: Sort key supplied is not valid.", kind="InvalidInput") from error
