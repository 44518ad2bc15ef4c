"""Networks, floating IPs and a server's further addresses in nova's old form, which newer clients ask the network for."""

from typing import Any

from pileus.compute import neighbours
from pileus.compute.policies.proxies import FLOATING, NETWORKS, POOLS, TENANT_NETWORKS
from pileus.compute.policies.servers import API
from pileus.compute.service import server_access as access
from pileus.kernel import ids
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Conflict, Forbidden, NotFound
from pileus.network.service import floating_ips, networks, proxied


def list_networks(ctx: Context, tenant: bool) -> list[Any]:
    """Return the networks of the project, and those shared with all."""
    ctx.require((TENANT_NETWORKS if tenant else NETWORKS) + "list")
    return proxied.list_networks(ctx)


def show_network(ctx: Context, id: str, tenant: bool) -> Any:
    """Return one network.  :raises NotFound: when the caller sees none."""
    ctx.require((TENANT_NETWORKS if tenant else NETWORKS) + "show")
    try:
        return networks.show(ctx, id)
    except NotFound:
        raise NotFound("Network not found") from None


def list_pools(ctx: Context) -> list[str]:
    """Return the names of the networks that floating IPs are taken of."""
    ctx.require(POOLS)
    return [network.name or network.id for network in proxied.list_pools(ctx)]


def list_floating_ips(ctx: Context) -> list[dict[str, Any]]:
    """Return the floating IPs of the project."""
    ctx.require(FLOATING + "list")
    pools = _pools(ctx)
    return [_shown(found, pools) for found in proxied.list_floating_ips(ctx)]


def show_floating_ip(ctx: Context, id: str) -> dict[str, Any]:
    """Return one floating IP.  :raises NotFound: when the caller sees none."""
    ctx.require(FLOATING + "show")
    return _shown(_find(ctx, id), _pools(ctx))


def _find(ctx: Context, id: str) -> floating_ips.Shown:
    if not ids.is_uuid(id):
        raise BadRequest(f"Invalid ID received {id}.", kind="InvalidID")
    try:
        return floating_ips.show(ctx, id)
    except NotFound:
        raise NotFound(f"Floating IP not found for ID {id}") from None


def _pools(ctx: Context) -> dict[str, str]:
    return {network.id: network.name or network.id for network in proxied.list_pools(ctx)}


def _shown(found: floating_ips.Shown, pools: dict[str, str]) -> dict[str, Any]:
    fip, port = found.fip, found.port_details
    return {
        "id": fip.id, "ip": fip.floating_ip_address, "fixed_ip": fip.fixed_ip_address,
        "instance_id": port["device_id"] if port else None,
        "pool": pools.get(fip.floating_network_id, fip.floating_network_id),
    }  # fmt: skip


def take_floating_ip(ctx: Context, pool: str | None) -> dict[str, Any]:
    """Take an address of a pool; None: of the first there is.

    :raises NotFound: when there is no such pool, or no address left in it.
    :raises Forbidden: when the project has its share.
    """
    ctx.require(FLOATING + "create")
    pools = _pools(ctx)
    chosen = next((id for id, name in pools.items() if pool in (None, id, name)), None)
    if chosen is None:
        raise NotFound("Floating IP pool not found.", kind="FloatingIpPoolNotFound")
    try:
        made = proxied.take_floating_ip(ctx, chosen)
    except Conflict as error:
        if error.kind == "IpAddressGenerationFailure":
            raise NotFound(f"No more floating IPs in pool {pools[chosen]}.") from None
        raise Forbidden(f"IP allocation over quota in pool {pools[chosen]}.") from None
    return _shown(floating_ips.show(ctx, made.id), pools)


def delete_floating_ip(ctx: Context, id: str) -> None:
    """Give a floating IP back.  :raises NotFound: when the caller sees none."""
    ctx.require(FLOATING + "delete")
    _find(ctx, id)
    floating_ips.remove(ctx, id)


def add_floating_ip(ctx: Context, server_id: str, address: str, fixed: str | None) -> None:
    """Let a floating IP lead to a server.

    :raises BadRequest: when the server has no such fixed address, or none that can be reached.
    :raises NotFound: when there is no such floating IP.
    """
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, server_id, FLOATING + "add")
        nics = neighbours.network.nics_of(tx, [server_id]).get(server_id, [])
    there = {each.ip: nic.port_id for nic in nics for each in nic.addresses if fixed or each.version == 4}
    if not there:
        raise BadRequest("No fixed IPs associated to instance")
    if fixed and fixed not in there:
        raise BadRequest("Specified fixed address not assigned to instance")
    found = proxied.floating_ip_at(ctx, address)
    if found is None:
        raise NotFound("floating IP not found")
    ip = fixed or next(iter(there))
    try:
        proxied.lead_floating_ip(ctx, found.fip.id, there[ip], ip)
    except Conflict:
        raise BadRequest("floating IP is already associated") from None
    except NotFound as error:
        text = f"Unable to associate floating IP {address} to fixed IP {ip} for instance {server_id}. Error: {error.message}"
        raise BadRequest(text) from None


def remove_floating_ip(ctx: Context, server_id: str, address: str) -> None:
    """Let a floating IP lead nowhere.

    :raises NotFound: when there is no such floating IP.
    :raises Conflict: when it does not lead to the server.
    """
    with ctx.cloud.db.read() as tx:
        access.find(ctx, tx, server_id, FLOATING + "remove")
    found = proxied.floating_ip_at(ctx, address)
    if found is None:
        raise NotFound("floating IP not found")
    if not (found.port_details and found.port_details["device_id"] == server_id):
        raise Conflict(f"Floating IP {address} is not associated with instance {server_id}.")
    proxied.lead_floating_ip(ctx, found.fip.id, None, None)


def add_fixed_ip(ctx: Context, server_id: str, network_id: str) -> None:
    """Give a server another address in a network that it is in.

    :raises NotFound: when it is not in it.
    :raises BadRequest: when there is no address left.
    """
    _require_unlocked(ctx, server_id, "add")
    try:
        proxied.add_address(ctx, server_id, network_id)
    except Conflict as error:
        raise BadRequest(error.message, kind="NoMoreFixedIps") from None


def remove_fixed_ip(ctx: Context, server_id: str, address: str) -> None:
    """Take an address from a server.  :raises BadRequest: when it has it not."""
    _require_unlocked(ctx, server_id, "remove")
    if not proxied.remove_address(ctx, server_id, address):
        text = f"Instance {server_id} does not have fixed IP '{address}'."
        raise BadRequest(text, kind="FixedIpNotFoundForInstance")


def _require_unlocked(ctx: Context, server_id: str, rule: str) -> None:
    with ctx.cloud.db.read() as tx:
        server = access.find(ctx, tx, server_id, API + "os-multinic:" + rule)
        access.require_unlocked(ctx, server)
