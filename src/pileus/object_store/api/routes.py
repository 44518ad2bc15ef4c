"""The routes of Swift v1: accounts, containers, objects."""

from collections.abc import Awaitable, Callable

from pileus.kernel.http import Call, Route
from pileus.object_store.api import front
from pileus.object_store.request import Refused, Request, Response
from pileus.object_store.service import accounts, containers, objects

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
    """Serve one request."""
    req = await front.read_request(call)
    req.caller = await front.identify(call, req.store)
    return await front.reply(call, _decide(req))


async def _decide(req: Request) -> Response:
    table = OBJECT if req.name else CONTAINER if req.container else ACCOUNT
    case = table.get(req.method)
    if case is None:
        raise Refused(405, headers={"Allow": ", ".join(sorted(table))})
    return await case(req)


METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS")
PATHS = ("/{version}/{account}", "/{version}/{account}/{container}", "/{version}/{account}/{container}/{object:rest}")
ROUTES = tuple(Route(method, path, serve, stream=True, public=True) for path in PATHS for method in METHODS)
