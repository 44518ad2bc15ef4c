"""/v3/messages (3.3)"""

from typing import Any

from pileus.kernel.http import Call, Route
from pileus.volume.api.queries import links, next_links, read_cut
from pileus.volume.api.volume_queries import given_filters, slice_of
from pileus.volume.schemas.fields import show_time
from pileus.volume.service import messages
from pileus.volume.store.messages import COLUMNS
from pileus.volume.store.pages import Slice

MINE = {"resource_uuid", "resource_type", "event_id", "request_id", "message_level"}


def index(call: Call) -> Any:
    if not call.since("3.5"):
        return {"messages": [_view(call, row) for row in messages.list_messages(call.ctx, {}, {}, Slice())]}
    cut, given = read_cut(call), given_filters(call, MINE)
    exact = {name: value for name, value in given.items() if name in COLUMNS}
    like = {name[:-1]: value for name, value in given.items() if name.endswith("~") and name[:-1] in COLUMNS}
    if call.since("3.34") and len(exact) + len(like) < len(given):
        return {"messages": []}
    found = messages.list_messages(call.ctx, exact, like if call.since("3.34") else {}, slice_of(cut))
    answer: dict[str, Any] = {"messages": [_view(call, row) for row in found]}
    if more := next_links(call, cut, [row.id for row in found]):
        answer["messages_links"] = more
    return answer


def show(call: Call) -> Any:
    return {"message": _view(call, messages.get(call.ctx, call.path["message_id"]))}


def delete(call: Call) -> None:
    messages.delete(call.ctx, call.path["message_id"])


def _view(call: Call, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "event_id": row.event_id,
        "user_message": row.user_message,
        "message_level": row.message_level,
        "created_at": show_time(row.created_at),
        "guaranteed_until": show_time(row.guaranteed_until),
        "request_id": row.request_id,
        "links": links(call, "messages", row.id),
        "resource_type": row.resource_type,
        "resource_uuid": row.resource_uuid,
    }


routes = (
    Route("GET", "/v3/messages", index, since="3.3"),
    Route("GET", "/v3/messages/{message_id}", show, since="3.3"),
    Route("DELETE", "/v3/messages/{message_id}", delete, since="3.3", status=204),
)
