"""The routes of Swift v1: accounts, containers, objects; and in which order the features are asked whether it is theirs."""

from collections.abc import Awaitable, Callable

from pileus.kernel.http import Call, Route
from pileus.object_store.api import front, unread
from pileus.object_store.caller import NOBODY
from pileus.object_store.request import Refused, Request, Response
from pileus.object_store.service import (
    accounts,
    bulk,
    containers,
    cors,
    formpost,
    objects,
    ratelimit,
    staticweb,
    syncing,
    tempurl,
)

UseCase = Callable[[Request], Awaitable[Response]]

ACCOUNT: dict[str, UseCase] = {
    "GET": accounts.show, "HEAD": accounts.show, "PUT": accounts.create, "POST": accounts.update, "DELETE": accounts.delete,
}  # fmt: skip
CONTAINER: dict[str, UseCase] = {
    "GET": containers.show, "HEAD": containers.show, "PUT": containers.create, "POST": containers.update,
    "DELETE": containers.delete,
}  # fmt: skip
OBJECT: dict[str, UseCase] = {
    "GET": objects.show, "HEAD": objects.show, "PUT": objects.create, "POST": objects.update, "DELETE": objects.delete,
    "COPY": objects.copy_to,
}  # fmt: skip


async def serve(call: Call) -> object:
    """Serve one request to an account, a container or an object."""
    body = None
    try:
        req = await front.read_request(call)
        body = req.body
        req.caller = await front.identify(call, req.store)
        return await front.reply(call, _with_cors(req))
    except Refused as refused:
        refused.headers |= await unread.settle(call, body)
        raise


async def _with_cors(req: Request) -> Response:
    if "origin" not in req.headers or req.method == "OPTIONS":
        return await _decide(req)
    try:
        found = await _decide(req)
    except Refused as refused:
        refused.headers |= await cors.headers_for(req, refused.headers)
        raise
    found.headers |= await cors.headers_for(req, found.headers)
    return found


async def _decide(req: Request) -> Response:
    table = OBJECT if req.name else CONTAINER if req.container else ACCOUNT
    if req.method == "OPTIONS":
        return await cors.preflight(req, sorted(table))
    if syncing.AUTH in req.headers or syncing.KEY in req.headers:
        await syncing.admit(req)
    await ratelimit.wait(req)
    if formpost.is_used(req):
        return await formpost.submit(req)
    if tempurl.is_used(req):
        req.caller = NOBODY
        await tempurl.admit(req)
        return tempurl.dress(req, await _by_path(req, table))
    if req.method == "PUT" and "extract-archive" in req.query:
        return await bulk.extract(req)
    if req.method in ("POST", "DELETE") and "bulk-delete" in req.query:
        return await bulk.delete(req)
    return await _by_path(req, table)


async def _by_path(req: Request, table: dict[str, UseCase]) -> Response:
    site = await staticweb.site_of(req)
    if "temp_url_sig" in req.query and req.vouched:
        tempurl.check_site(req, site is not None)
    if site is not None:
        return await staticweb.show(req, site, objects.show)
    case = table.get(req.method)
    if case is None:
        raise Refused(405, headers={"Allow": ", ".join(sorted(table))})
    return await case(req)


METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS")
PLACES = ("/{version}", "/{version}/{account}", "/{version}/{account}/{container}")
PATHS = ("/", *PLACES, f"{PLACES[-1]}/{{object:rest}}")
ROUTES = tuple(Route(method, path, serve, stream=True, public=True) for path in PATHS for method in METHODS)
