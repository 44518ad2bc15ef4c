"""Everything leaves a host: while it runs where that can be, else off; what cannot is named.

Done bit by bit, by whoever asks for it again and again; what was begun and left is taken up by the next who asks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pileus.compute.service import hosts as services
from pileus.compute.service import live_migrations, moves, server_shapes
from pileus.compute.store import hosts, migrations, server_actions
from pileus.compute.store import servers as store
from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context, cloud_itself
from pileus.kernel.errors import Fault

REASON = "drained"
AT_ONCE = 4
OPERATOR_PROJECT = "0" * 32
LIVE, COLD = "live", "cold"
RUNNING = frozenset({"active", "paused"})
OFF = frozenset({"active", "stopped"})


@dataclass(frozen=True)
class Progress:
    """How far it is.

    :param here: how many servers are on the host still, of them under_way are leaving.
    :param left: those that cannot leave, by id, and why.
    """

    here: int
    under_way: int
    left: Mapping[str, str]

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done."""
        return not self.under_way and self.here == len(self.left)


@dataclass
class Drain:
    """One host's, and what has been tried for each server."""

    host: str
    tried: dict[str, list[str]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)


def operator(cloud: Cloud) -> Context:
    """Return who drains hosts for the cloud itself: an admin, in no project that there is."""
    return cloud_itself(cloud, OPERATOR_PROJECT)


def begin(ctx: Context, host: str) -> Drain:
    """Let a host take no more servers.  :raises NotFound: when there is none of that name."""
    services.update_by_name(ctx, host, services.COMPUTE_BINARY, disabled=True, disabled_reason=REASON)
    return Drain(host)


def undo(ctx: Context, host: str) -> None:
    """Let a host take servers again.  :raises NotFound: when there is none of that name."""
    services.update_by_name(ctx, host, services.COMPUTE_BINARY, disabled=False, disabled_reason=None)


def advance(ctx: Context, drain: Drain) -> Progress:
    """Confirm what has left, and have some more leave."""
    with ctx.cloud.db.read() as tx:
        rows = store.on_host(tx, drain.host)
        held = migrations.holding_on(tx, drain.host)
        found = hosts.find(tx, name=drain.host)
    gone = found is None or not found.is_up(ctx.cloud.clock.now())
    gone_from_here = [each for each in held if each.host == drain.host]  # but something of them is here, and they may come back
    for each in gone_from_here:
        _confirm(ctx, drain, each)
    here = {row.id for row in rows} | {each.server_id for each in gone_from_here}
    drain.left = {id: why for id, why in drain.left.items() if id in here}
    under_way = sum(1 for row in rows if row.task_state is not None)
    under_way += sum(1 for each in gone_from_here if each.server_id not in drain.left)
    for row in rows:
        if row.task_state is None and row.id not in drain.left and under_way < AT_ONCE:
            if why := "the host is down: evacuate it" if gone else _send(ctx, drain, row):
                drain.left[row.id] = why
            else:
                under_way += 1
    return Progress(len(here), under_way, dict(drain.left))


def _confirm(ctx: Context, drain: Drain, moved: Any) -> None:
    """Confirm what was begun for this; what users began is theirs to confirm or to take back."""
    if moved.user_id != ctx.user_id and moved.status == "finished":
        drain.left[moved.server_id] = "it has moved, and waits to be confirmed or taken back"
    elif moved.status == "finished":
        try:
            server_shapes.confirm_resize(replace(ctx, request_id=ids.request_id()), moved.server_id)
        except Fault as fault:
            drain.left[moved.server_id] = fault.message


def _send(ctx: Context, drain: Drain, row: Any) -> str:
    """Have a server leave in the best way that was not tried yet; returns why it cannot."""
    ctx, tried = replace(ctx, request_id=ids.request_id()), drain.tried.setdefault(row.id, [])
    why = _why_it_failed(ctx, row.id) if tried else f"it is {row.vm_state}"
    for way, possible in ((LIVE, RUNNING), (COLD, OFF)):
        if way in tried or row.vm_state not in possible:
            continue
        tried.append(way)
        try:
            if way == LIVE:
                live_migrations.migrate(ctx, row.id, live_migrations.Wanted(told=True))
            else:
                moves.migrate(ctx, row.id)
        except Fault as fault:
            why = fault.message
        else:
            return ""
    return why


def _why_it_failed(ctx: Context, server_id: str) -> str:
    with ctx.cloud.db.read() as tx:
        action = server_actions.latest(tx, server_id)
    told = [event["details"] for event in (action.events if action else ()) if event.get("details")]
    return str(told[-1]) if told else "it came back"
