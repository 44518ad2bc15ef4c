"""The work that changes a server's form: another flavor, a rescue, put away on a shelf and taken back.

    resize --> (resized)      revert --> (as before)      rescue --> (rescued)      unrescue --> (active)
    shelve --> offload --> (shelved_offloaded)            unshelve --> (active)

What such a step needs to know stands in the row's `aside`, so that a step that is repeated finds it.
"""

from pileus.compute import neighbours, states
from pileus.compute.driver import Power
from pileus.compute.store import servers as store
from pileus.compute.store.servers import Server
from pileus.compute.tasks import disks, guests, moves, placing
from pileus.compute.tasks.moves import as_before
from pileus.compute.tasks.servers import FAILURES, begin, program, step, undo
from pileus.kernel.tasks import Done, Fail, Hop, Outcome, Run

__all__ = ["offload", "program", "rescue", "resize", "revert", "shelve", "unrescue", "unshelve"]


def _restart(run: Run, server: Server, power: Power = "on") -> None:
    """Have the guest stop, and (power on) start in the form that the row has now."""
    guests.ensure(run.cloud, server, "off")
    if power == "on":
        guests.ensure(run.cloud, server, "on", run.memo.get("admin_password", ""))


@step
def resize(run: Run, server: Server) -> Outcome:
    """Start the guest with another flavor; the old one is kept aside until the user confirms."""
    if server.task_state != "resize_migrating":
        return Hop(begin)
    if moves.is_moving(server):
        return Hop(moves.leave, moves.MOVE_SECONDS)
    power, values = as_before(server)
    try:
        _restart(run, server, power)
    except FAILURES as error:
        return Fail(str(error))
    return Done() if guests.finish(run.cloud, server, **{**values, "vm_state": "resized", "fault": None}) else Hop(begin)


@step
def revert(run: Run, server: Server) -> Outcome:
    """Start the guest with the flavor it had, which stands in the row again, as are its disks as they were then."""
    if server.task_state != "resize_reverting":
        return Hop(begin)
    if moves.is_moving(server):
        return Hop(moves.go_back)
    power, values = as_before(server)
    try:
        _restart(run, server, power)
    except FAILURES as error:
        return Fail(str(error))
    return Done() if guests.finish(run.cloud, server, **values, aside=None, fault=None) else Hop(begin)


@step
def rescue(run: Run, server: Server) -> Outcome:
    """Start the guest from a disk that is made for the rescue; its own disks are there beside it."""
    if server.task_state != "rescuing":
        return Hop(begin)
    try:
        _restart(run, server)
    except FAILURES as error:
        return Fail(str(error))
    values = {"vm_state": "rescued", "power_state": states.RUNNING, "fault": None}
    return Done() if guests.finish(run.cloud, server, **values) else Hop(begin)


@step
def unrescue(run: Run, server: Server) -> Outcome:
    """Start the guest from its own disk; that of the rescue goes."""
    if server.task_state != "unrescuing":
        return Hop(begin)
    try:
        _restart(run, server)
    except FAILURES as error:
        return Fail(str(error))
    values = {"vm_state": "active", "power_state": states.RUNNING, "aside": None, "fault": None}
    return Done() if guests.finish(run.cloud, server, **values) else Hop(begin)


@step
def shelve(run: Run, server: Server) -> Outcome:
    """Stop the guest and make an image of its disk.  Once that is whole, and not before, the guest can go."""
    if server.task_state != "shelving":
        return Hop(begin)
    host = guests.hypervisor(run.cloud, str(server.host))
    try:
        guests.ensure(run.cloud, server, "off")
        if not server.image_id:
            return _put_away(run, server)
        image_id, disk_format = server.aside["image_id"], server.aside["disk_format"]
        neighbours.images.fill_image(run.cloud, image_id, disk_format, lambda path: host.capture(server.id, path, disk_format))
    except FAILURES as error:
        return Fail(str(error))
    return _put_away(run, server)


def _put_away(run: Run, server: Server) -> Outcome:
    """Go on to take a server off its host whose disk is kept: in an image, or because it is a volume."""
    with run.cloud.db.begin() as tx:
        values = {"power_state": states.SHUTDOWN, "updated_at": run.cloud.clock.now()}
        written = store.change_if(tx, server, task_state="shelving_offloading", **values)
    return Hop(offload) if written else Hop(begin)


@step
def offload(run: Run, server: Server) -> Outcome:
    """Take a server off its host; its image and its ports stay."""
    if server.task_state != "shelving_offloading":
        return Hop(begin)
    undo(run.cloud, server)
    values = {"vm_state": "shelved_offloaded", "task_state": None, "host": None, "updated_at": run.cloud.clock.now()}
    with run.cloud.db.begin() as tx:
        if not store.change_if(tx, server, **values, availability_zone=None, fault=None):
            return Hop(begin)
        neighbours.network.unbind(tx, run.cloud, guests.staying(server))
        disks.park(tx, run.cloud, server.id)
        guests.log_event(tx, run.cloud, server)
    return Done()


@step
def unshelve(run: Run, server: Server) -> Outcome:
    """Find a host, and have it start the guest from the image that was made when it was put away."""
    if server.task_state != "unshelving":
        return Hop(begin)
    if server.host is None:
        with run.cloud.db.begin() as tx:
            choice = placing.claim(tx, run.cloud, server, {})
            values = {
                "host": choice.host,
                "availability_zone": choice.zone,
                "root_image_id": (server.aside or {}).get("image_id"),
            }
            if choice.host and store.change_if(tx, server, **values):
                neighbours.network.bind(tx, run.cloud, guests.staying(server), choice.host)
        return Hop(unshelve) if choice.host else Fail(choice.why)
    try:
        guests.ensure(run.cloud, server, "on")
    except FAILURES as error:
        return _put_back(run, server, str(error))
    if image_id := (server.aside or {}).get("image_id"):
        neighbours.images.delete_image(run.cloud, server.project_id, image_id)
    now = run.cloud.clock.now()
    values = {"vm_state": "active", "power_state": states.RUNNING, "launched_at": now, "aside": None, "fault": None}
    return Done() if guests.finish_start(run.cloud, server, **values) else Hop(begin)


def _put_back(run: Run, server: Server, why: str) -> Outcome:
    """Leave a server on its shelf that a host could not start."""
    undo(run.cloud, server)
    with run.cloud.db.begin() as tx:
        if store.change_if(tx, server, host=None, availability_zone=None):
            neighbours.network.unbind(tx, run.cloud, guests.staying(server))
            disks.park(tx, run.cloud, server.id)
    return Fail(why)
