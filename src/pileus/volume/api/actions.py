"""POST /.../action: one key in the body says what is to be done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Answer, Call
from pileus.kernel.microversion import parse
from pileus.kernel.server import explain


@dataclass(frozen=True)
class Action:
    """One action: what it does with a thing's id and the argument, the type of that (None: anything), since and until which
    microversion there is one, and the answer's status.
    """

    handler: Callable[[Call, str, Any], Any]
    body: Any = None
    since: str = ""
    until: str = ""
    status: int = 202


def dispatcher(name: str, actions: Mapping[str, Action]) -> Callable[[Call], Any]:
    """Return a route's handler for actions; name is that of the id in the path, such as "volume_id"."""

    def act(call: Call) -> Any:
        if not isinstance(call.body, dict) or len(call.body) != 1:
            raise BadRequest("Malformed request body: there must be exactly one action.")
        (word, argument), *_ = call.body.items()
        action = actions.get(word)
        if action is None or (action.since and not call.since(action.since)):
            raise BadRequest(f"There is no such action: {word}", kind="MalformedRequestBody")
        if action.until and call.version > parse(action.until):
            raise BadRequest(f"There is no such action: {word}", kind="MalformedRequestBody")
        if action.body is not None:
            try:
                argument = msgspec.convert(argument, action.body)
            except msgspec.ValidationError as error:
                raise BadRequest(explain(error)) from error
        return Answer(action.handler(call, call.path[name], argument), status=action.status)

    return act
