"""Static sites: to those without a token a container shows its index page, listings as pages, and its own error pages."""

from collections.abc import Awaitable, Callable
from html import escape
from typing import Any
from urllib.parse import quote

import msgspec

from pileus.object_store.caller import NOBODY
from pileus.object_store.indexes import ContainerInfo
from pileus.object_store.request import HTML, Refused, Request, Response, is_true
from pileus.object_store.service import access, containers

UseCase = Callable[[Request], Awaitable[Response]]
WEB = "X-Container-Meta-Web-"
STYLE = "th, td {text-align: left; padding: 0 1em;} a {text-decoration: none;}"
UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


async def site_of(req: Request) -> ContainerInfo | None:
    """Return the container that is to be shown as a site; None when the request is not for one."""
    if req.method not in ("GET", "HEAD") or not req.container:
        return None
    if (req.caller or NOBODY).known and not is_true(req.headers.get("x-web-mode", "")):
        return None
    info = await access.container_info(req)
    marks = ("Index", "Listings", "Error")
    return info if info and any(info.metadata.get(WEB + mark) for mark in marks) else None


async def show(req: Request, info: ContainerInfo, get: UseCase) -> Response:
    """Show a page of a site.

    :param get: how an object is read.
    """
    try:
        return await (_object(req, info, get) if req.name else _container(req, info, get))
    except Refused as refused:
        page = await _error_page(req, info, get, refused.status)
        if page is None:
            raise
        return page


async def _container(req: Request, info: ContainerInfo, get: UseCase) -> Response:
    await access.authorize(req, info, write=False)
    index = info.metadata.get(WEB + "Index")
    if not index and not _lists(info):
        raise Refused(404)
    if not req.facts["raw_path"].endswith("/"):
        return _with_slash(req)
    if index:
        page = await _found(_page(req, index), get)
        if page is not None:
            return page
    return await _listing(req, info)


async def _object(req: Request, info: ContainerInfo, get: UseCase) -> Response:
    found = await _found(req, get)
    if found is not None:
        kind = info.metadata.get(WEB + "Directory-Type") or "application/directory"
        if found.headers.get("Content-Type") != kind or (found.length or 0) > 1:
            return found
        await _let_go(found)
    index = info.metadata.get(WEB + "Index")
    if not index and not _lists(info):
        raise Refused(404)
    page = await _found(_page(req, req.name.rstrip("/") + "/" + index), get) if index else None
    if page is not None and req.name.endswith("/"):
        return page
    if page is not None:
        await _let_go(page)
    elif req.name.endswith("/"):
        return await _listing(req, info)
    elif not await _rows(req, req.name + "/", 1):
        raise Refused(404)
    return _with_slash(req)


async def _found(req: Request, get: UseCase) -> Response | None:
    """Read an object; None when there is none."""
    try:
        return await get(req)
    except Refused as refused:
        if refused.status != 404:
            raise
        return None


async def _let_go(found: Response) -> None:
    if found.close:
        await found.close()


def _lists(info: ContainerInfo) -> bool:
    return is_true(info.metadata.get(WEB + "Listings", ""))


def _page(req: Request, name: str) -> Request:
    return req.derived(name=name, headers=dict(req.headers), query=dict(req.query), facts=req.facts)


def _with_slash(req: Request) -> Response:
    location = f"{req.root_url}{req.mount}{quote(req.facts['raw_path'])}/"
    return Response(301, {"Content-Type": HTML, "Location": location}, b"<html><h1>Moved Permanently</h1></html>")


async def _rows(req: Request, prefix: str, limit: int) -> list[dict[str, Any]]:
    query = {"format": "json", "delimiter": "/", "prefix": prefix, "limit": str(limit)}
    answer = await containers.show(req.derived(name="", method="GET", query=query))
    found: list[dict[str, Any]] = msgspec.json.decode(answer.body) if isinstance(answer.body, bytes) else []
    return found


async def _listing(req: Request, info: ContainerInfo) -> Response:
    if not _lists(info):
        raise Refused(404)
    prefix = req.name
    rows = await _rows(req, prefix, req.store.limits.listing)
    if prefix and not rows:
        raise Refused(404)
    req.facts["site"] = True
    label = info.metadata.get(WEB + "Listings-Label")
    shown = f"{label}/{prefix}" if label else f"{req.mount}{req.facts['raw_path']}"
    css = info.metadata.get(WEB + "Listings-Css")
    signed = req.facts.get("signed", "")
    lines = [_line(row, prefix, signed) for row in sorted(rows, key=lambda row: "subdir" not in row)]
    if len(prefix) > len(req.facts.get("signed_prefix", "")):
        lines.insert(0, f'   <tr id="parent" class="item">\n    <td class="colname"><a href="../{signed}">../</a></td>\n'
                        '    <td class="colsize">&nbsp;</td>\n    <td class="coldate">&nbsp;</td>\n   </tr>\n')  # fmt: skip
    body = (
        f"<!DOCTYPE html>\n<html>\n <head>\n  <title>Listing of {escape(shown)}</title>\n{_style(css, prefix)} </head>\n"
        f' <body>\n  <h1 id="title">Listing of {escape(shown)}</h1>\n  <table id="listing">\n   <tr id="heading">\n'
        '    <th class="colname">Name</th>\n    <th class="colsize">Size</th>\n    <th class="coldate">Date</th>\n   </tr>\n'
        f"{''.join(lines)}  </table>\n </body>\n</html>\n"
    )
    return Response(200, {"Content-Type": HTML}, body.encode())


def _style(css: str | None, prefix: str) -> str:
    if not css:
        return f'  <style type="text/css">{STYLE}</style>\n'
    path = css if css.startswith(("/", "http://", "https://")) else "../" * prefix.count("/") + css
    return f'  <link rel="stylesheet" type="text/css" href="{escape(quote(path, safe=":/"))}" />\n'


def _line(row: dict[str, Any], prefix: str, signed: str) -> str:
    if "subdir" in row:
        name, kind, size, when = row["subdir"][len(prefix) :], "subdir", "&nbsp;", "&nbsp;"
    else:
        name, size = row["name"][len(prefix) :], _human(row["bytes"])
        kind = " ".join(f"type-{escape(part.lower())}" for part in row["content_type"].split("/"))
        when = escape(row["last_modified"]).partition(".")[0].replace("T", " ")
    return (
        f'   <tr class="item {kind}">\n    <td class="colname"><a href="./{quote(name)}{signed}">{escape(name)}</a></td>\n'
        f'    <td class="colsize">{size}</td>\n    <td class="coldate">{when}</td>\n   </tr>\n'
    )


def _human(count: float) -> str:
    place = 0
    while count >= 1024 and place < len(UNITS) - 1:
        count, place = count / 1024, place + 1
    return f"{round(count)}{UNITS[place]}"


async def _error_page(req: Request, info: ContainerInfo, get: UseCase, status: int) -> Response | None:
    suffix = info.metadata.get(WEB + "Error")
    if not suffix or status not in (401, 404):
        return None
    try:
        page = await get(req.derived(name=f"{status}{suffix}", method=req.method, facts=req.facts))
    except Refused:
        return None
    page.status = status
    return page
