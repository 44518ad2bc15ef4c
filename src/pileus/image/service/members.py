"""Use cases on sharing: an image of visibility "shared" is offered to a project, which accepts or rejects it."""

from dataclasses import replace

from sqlalchemy import Connection

from pileus.image import store
from pileus.image.service import finding
from pileus.image.store import Image, Member
from pileus.kernel.context import Context
from pileus.kernel.errors import BadRequest, Forbidden, NotFound, TooLarge

MEMBERS_MAX = 128
STATUSES = ("pending", "accepted", "rejected")


def _find(ctx: Context, tx: Connection, image_id: str) -> tuple[Image, dict[str, object]]:
    image, target = finding.find(ctx, tx, image_id)
    if image.visibility != "shared":
        raise Forbidden("Only shared images have members.")
    return image, target


def _find_member(ctx: Context, tx: Connection, image: Image, member_id: str) -> Member:
    """Return a sharing; who is neither the owner nor an admin sees their own only."""
    visible = ctx.is_admin or ctx.project_id in (image.owner, member_id)
    found = store.get_member(tx, image.id, member_id) if visible else None
    if found is None:
        raise NotFound(f"{member_id} not found in the member list of the image {image.id}.")
    return found


def list_members(ctx: Context, image_id: str) -> list[Member]:
    """Return the projects that an image is shared with; a project that is one of them sees itself only."""
    with ctx.cloud.db.read() as tx:
        image, target = _find(ctx, tx, image_id)
        ctx.require("get_members", target)
        found = store.list_members(tx, image_id)
    everyone = ctx.is_admin or ctx.project_id == image.owner
    return [member for member in found if everyone or member.member_id == ctx.project_id]


def get(ctx: Context, image_id: str, member_id: str) -> Member:
    """Return one sharing.

    :raises NotFound: when there is none, or the image has none.
    """
    with ctx.cloud.db.read() as tx:
        image, target = finding.find(ctx, tx, image_id)
        if image.visibility != "shared":
            raise NotFound("Only shared images have members.")
        ctx.require("get_member", target, hidden=NotFound(f"Image {image_id} not found."))
        return _find_member(ctx, tx, image, member_id)


def add(ctx: Context, image_id: str, member_id: str) -> Member:
    """Offer an image to a project.

    :raises Conflict: when it is offered already.
    :raises TooLarge: when it is offered to too many.
    """
    now = ctx.cloud.clock.now()
    member = Member(image_id, member_id, "pending", now, now)
    with ctx.cloud.db.begin() as tx:
        _, target = _find(ctx, tx, image_id)
        ctx.require("add_member", target)
        if len(store.list_members(tx, image_id)) >= MEMBERS_MAX:
            raise TooLarge(f"The limit has been exceeded on the number of allowed image members. Maximum: {MEMBERS_MAX}")
        store.add_member(tx, member)
    return member


def answer(ctx: Context, image_id: str, member_id: str, status: str) -> Member:
    """Accept or reject an image, as the project that it is offered to.

    :raises BadRequest: when the status is none.
    """
    now = ctx.cloud.clock.now()
    with ctx.cloud.db.begin() as tx:
        image, target = _find(ctx, tx, image_id)
        member = _find_member(ctx, tx, image, member_id)
        ctx.require("modify_member", {**target, "member_id": member_id})
        if status not in STATUSES:
            raise BadRequest('Incorrect request: Status must be "pending", "accepted" or "rejected".')
        store.set_member_status(tx, image_id, member_id, status, now)
    return replace(member, status=status, updated_at=now)


def remove(ctx: Context, image_id: str, member_id: str) -> None:
    """Take an offer back.

    :raises NotFound: when there is none.
    """
    with ctx.cloud.db.begin() as tx:
        image, target = _find(ctx, tx, image_id)
        _find_member(ctx, tx, image, member_id)
        ctx.require("delete_member", target)
        store.remove_member(tx, image_id, member_id)
