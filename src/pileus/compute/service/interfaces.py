"""The NICs of a server, attached and detached while it runs."""

from dataclasses import dataclass

from sqlalchemy import Connection

from pileus.compute import neighbours
from pileus.compute.neighbours.network import Nic, NicRequest
from pileus.compute.policies.servers import API
from pileus.compute.service import server_access as access
from pileus.compute.store import servers as store
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, NotFound

ROOT = API + "os-attach-interfaces:"


@dataclass(frozen=True)
class Interface:
    """A NIC, and the tag that was given to it."""

    nic: Nic
    tag: str | None


def list_interfaces(ctx: Context, server_id: str, rule: str = "list") -> list[Interface]:
    """Return the NICs of a server, in the guest's order."""
    with ctx.cloud.db.read() as tx:
        server = access.find(ctx, tx, server_id, ROOT + rule)
        tags = {nic["port_id"]: nic.get("tag") for nic in server.nics}
        return [Interface(nic, tags.get(nic.port_id)) for nic in neighbours.network.nics_of(tx, [server_id]).get(server_id, ())]


def show(ctx: Context, server_id: str, port_id: str) -> Interface:
    """Return one NIC.  :raises NotFound: when the server has no such port."""
    for found in list_interfaces(ctx, server_id, "show"):
        if found.nic.port_id == port_id:
            return found
    raise NotFound(f"Instance {server_id} does not have a port with id {port_id}")


def attach(ctx: Context, server_id: str, request: NicRequest) -> Interface:
    """Give a server another NIC; the guest gets it a moment after the answer.

    :raises BadRequest: when the network cannot be used.
    :raises NotFound: when there is no such network or port.
    :raises Conflict: when the port or address is in use, or the server's state or lock is against it.
    """

    def work(tx: Connection) -> Interface:
        server = access.find(ctx, tx, server_id, ROOT + "create")
        access.require_unlocked(ctx, server)
        access.require_state(server, "attach_interface")
        asked = neighbours.network.requested_nics(tx, ctx, [request] if request.network_id or request.port_id else None)
        device = neighbours.network.Device(server.id, server.hostname, server.security_groups or ("default",))
        made = neighbours.network.make_ports(tx, ctx, device, asked[:1])
        if not made:
            text = f"No specific network was requested and none are available for project '{ctx.project_id}'."
            raise BadRequest(text, kind="InterfaceAttachFailedNoNetwork")
        if server.host:
            neighbours.network.bind(tx, ctx.cloud, [nic["port_id"] for nic in made], server.host)
        access.begin(ctx, tx, server, "attach_interface", "mend", nics=[*server.nics, *made])
        nics = neighbours.network.nics_of(tx, [server_id])[server_id]
        return next(Interface(nic, request.tag) for nic in nics if nic.port_id == made[0]["port_id"])

    return neighbours.network.transact(ctx.cloud, work)


def detach(ctx: Context, server_id: str, port_id: str) -> None:
    """Take a NIC from a server; the port goes with it if it was made for the server.

    :raises NotFound: when the server has no such port.
    :raises Conflict: when the server's state or lock is against it.
    """
    with ctx.cloud.db.begin() as tx:
        server = access.find(ctx, tx, server_id, ROOT + "delete")
        access.require_unlocked(ctx, server)
        access.require_state(server, "detach_interface")
        if port_id not in [nic["port_id"] for nic in server.nics]:
            raise NotFound(f"Port id {port_id} could not be found.", kind="PortNotFound")
        nics = [{**nic, "leaving": True} if nic["port_id"] == port_id else nic for nic in server.nics]
        access.begin(ctx, tx, server, "detach_interface", "mend", nics=nics)
        store.change(tx, server_id, updated_at=ctx.cloud.clock.now())
