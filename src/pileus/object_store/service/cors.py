"""Cross-origin requests (CORS) of browsers, as a container's metadata allow them."""

from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.request import Refused, Request, Response
from pileus.object_store.service import access

PREFIX = "X-Container-Meta-Access-Control-"
EXPOSED = (
    "cache-control", "content-language", "content-type", "expires", "last-modified", "pragma", "etag", "x-timestamp",
    "x-trans-id", "x-openstack-request-id",
)  # fmt: skip


def _allowed(info: ContainerInfo | None, origin: str) -> str | None:
    """Return the origin to name in an answer; None when it is not allowed."""
    origins = (info.metadata.get(PREFIX + "Allow-Origin", "") if info else "").split()
    if "*" in origins:
        return "*"
    return origin if origin in origins else None


async def preflight(req: Request, methods: list[str]) -> Response:
    """Answer OPTIONS: what a browser may do, or for others what the path takes.  :raises Refused: 401."""
    headers = {"Allow": ", ".join([*methods, "OPTIONS"])}
    origin = req.headers.get("origin")
    if origin is None:
        return Response(200, headers)
    wanted = req.headers.get("access-control-request-method", "")
    info = await access.container_info(req) if req.container else None
    shown = _allowed(info, origin)
    if shown is None or wanted not in methods:
        raise Refused(401, headers=headers)
    assert info is not None
    headers |= {"Access-Control-Allow-Origin": shown, "Access-Control-Allow-Methods": ", ".join(methods)}
    if age := info.metadata.get(PREFIX + "Max-Age"):
        headers["Access-Control-Max-Age"] = age
    allowed = {name.strip().lower() for name in info.metadata.get(PREFIX + "Allow-Headers", "").split() if name.strip()}
    asked = [name.strip() for name in req.headers.get("access-control-request-headers", "").split(",") if name.strip()]
    if asked or allowed:
        headers["Access-Control-Allow-Headers"] = ", ".join(dict.fromkeys([*sorted(allowed), *asked]))
        headers["Vary"] = "Access-Control-Request-Headers"
    return Response(200, headers)


async def headers_for(req: Request, sent: dict[str, str]) -> dict[str, str]:
    """Return the headers that let the page that asked see an answer."""
    origin = req.headers.get("origin")
    if origin is None or not req.container:
        return {}
    info = await access.container_info(req)
    shown = _allowed(info, origin)
    if info is None or shown is None:
        return {}
    named = info.metadata.get(PREFIX + "Expose-Headers", "").replace(",", " ").split()
    metas = [key.lower() for key in sent if "-meta-" in key.lower()]
    found = {"Access-Control-Expose-Headers": ", ".join(dict.fromkeys([*EXPOSED, *metas, *named]))}
    found["Access-Control-Allow-Origin"] = shown
    return found | ({} if shown == "*" else {"Vary": "Origin"})
