"""/v2.1/servers/{server_id}/shares (2.97): without a shared file system service no server has a share, and none can be had."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from pileus.compute.policies.servers import API
from pileus.compute.schemas import servers as schemas
from pileus.compute.service import server_shares
from pileus.kernel.http import Call, Route

ONE = "/v2.1/servers/{server_id}/shares"
RULE = API + "os-server-shares:"


class Share(Struct, forbid_unknown_fields=True):
    """The share that is wanted, and the tag by which the guest is to know it."""

    share_id: str
    tag: Annotated[str, Meta(min_length=1, max_length=255, pattern="^[a-zA-Z0-9-]*$")] | UnsetType = UNSET


class AttachShare(Struct, forbid_unknown_fields=True):
    """POST /servers/{server_id}/shares."""

    share: Share


def index(call: Call) -> Any:
    """List the shares of a server."""
    return {"shares": server_shares.list_shares(call.ctx, call.path["server_id"])}


def create(call: Call) -> None:
    """Attach a share to a server that is stopped."""
    schemas.check_uuid("share_id", call.body.share.share_id)
    server_shares.attach(call.ctx, call.path["server_id"], call.body.share.share_id)


def show(call: Call) -> None:
    """Show a share of a server."""
    server_shares.show(call.ctx, call.path["server_id"], call.path["share_id"])


def delete(call: Call) -> None:
    """Detach a share from a server."""
    server_shares.detach(call.ctx, call.path["server_id"], call.path["share_id"])


routes = (
    Route("GET", ONE, index, since="2.97", rule=RULE + "index"),
    Route(
        "POST", ONE, create, body=AttachShare, status=201, since="2.97", rule=RULE + "create", errors=(400, 401, 403, 404, 409)
    ),
    Route("GET", ONE + "/{share_id}", show, since="2.97", rule=RULE + "show"),
    Route("DELETE", ONE + "/{share_id}", delete, status=200, since="2.97", rule=RULE + "delete", errors=(401, 403, 404, 409)),
)  # fmt: skip
