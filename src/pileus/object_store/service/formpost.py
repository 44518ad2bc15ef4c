"""Uploads by an HTML form: fields signed like a temporary URL, then files."""

import binascii
import hashlib
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from pileus.object_store.multipart import Form, FormError, parse_header
from pileus.object_store.request import HTML, TEXT, Refused, Request, Response, Stream
from pileus.object_store.service import access, quotas, report, tempurl, versions, writing

FILE_HEADERS = ("content-type", "content-encoding")


@dataclass
class _Limited:
    """The content of a file of the form, up to the size that the form allows."""

    form: Form
    bytes_max: int

    async def chunks(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self.form.chunks():
            size += len(chunk)
            if size > self.bytes_max:
                raise Refused(413, "max_file_size exceeded")
            yield chunk


def is_used(req: Request) -> bool:
    """Tell whether a request is a form."""
    return req.method == "POST" and parse_header(req.headers.get("content-type", ""))[0] == "multipart/form-data"


async def submit(req: Request) -> Response:
    """Take the files of a form."""
    boundary = parse_header(req.headers["content-type"])[1].get("boundary", "")
    if not boundary or not req.container:
        raise Refused(400, "FormPost: Invalid Starting Boundary")
    fields: dict[str, str] = {}
    status, text = 201, ""
    try:
        status, text = await _take(req, Form(req.body.chunks(), boundary), fields)
    except FormError as error:
        raise Refused(400, f"FormPost: {str(error).title()}") from error
    except Refused as refused:
        if refused.status == 401 or not fields.get("redirect"):
            raise
        status, text = refused.status, refused.message
    if redirect := fields.get("redirect"):
        url = f"{redirect}{'&' if '?' in redirect else '?'}status={status}&message={quote(text)}"
        page = f'<html><body><p><a href="{escape(url)}">Click to continue...</a></p></body></html>'
        return Response(303, {"Content-Type": HTML, "Location": url}, page.encode())
    line = report.status_line(status)
    shown = f"{line}\r\nFormPost: {text.title()}" if text else line
    return Response(status, {"Content-Type": TEXT}, shown.encode())


async def _take(req: Request, form: Form, fields: dict[str, str]) -> tuple[int, str]:
    count = 0
    while (headers := await form.next_part()) is not None:
        _, facts = parse_header(headers.get("content-disposition", ""))
        if "filename" not in facts:
            fields[facts.get("name", "")] = await form.value()
            continue
        if not facts["filename"]:
            continue
        count += 1
        if count == 1:
            await _admit(req, fields)
        if count > _integer(fields, "max_file_count"):
            return 400, "max file count exceeded"
        await _store(req, form, fields, headers, facts["filename"].rpartition("\\")[2])
    return (201, "") if count else (400, "no files to process")


def _integer(fields: dict[str, str], name: str) -> int:
    try:
        return int(fields.get(name) or 0)
    except ValueError:
        raise Refused(400, f"FormPost: {name} not an integer") from None


async def _admit(req: Request, fields: dict[str, str]) -> None:
    """Check the form's signature.  :raises Refused: 401."""
    expires = _integer(fields, "expires")
    if expires < req.cloud.clock.now():
        raise Refused(401, "FormPost: Form Expired")
    try:
        digest, signature = tempurl.digest_of(fields.get("signature", ""))
    except (ValueError, binascii.Error):
        raise Refused(401, "FormPost: Invalid Signature") from None
    names = ("redirect", "max_file_size", "max_file_count", "expires")
    rest = "\n".join(fields.get(name) or ("" if name == "redirect" else "0") for name in names)
    for key, scope in await tempurl.keys_of(req):
        for mount in {"", req.mount}:
            text = f"{mount}{req.facts.get('raw_path') or req.path}\n{rest}"
            made = hmac.new(key.encode(), text.encode(), getattr(hashlib, digest)).hexdigest()
            if hmac.compare_digest(made.encode(), signature.encode()):
                req.vouched = scope
                return
    raise Refused(401, "FormPost: Invalid Signature")


async def _store(req: Request, form: Form, fields: dict[str, str], part: dict[str, str], filename: str) -> None:
    headers = {key: part.get(key) or fields.get(key, "") for key in FILE_HEADERS}
    headers["transfer-encoding"] = "chunked"
    for field, header in (("x_delete_at", "x-delete-at"), ("x_delete_after", "x-delete-after")):
        if fields.get(field):
            headers[header] = str(_integer(fields, field))
    body = Stream(_Limited(form, _integer(fields, "max_file_size")).chunks())
    at = req.store.next_timestamp(req.cloud.clock)
    given = {key: value for key, value in headers.items() if value}
    one = req.derived(method="PUT", name=req.name + filename, headers=given, body=body, at=at)
    info = await access.container_info(one)
    await access.authorize(one, info, write=True)
    if info is None:
        raise Refused(404)
    await quotas.check(one, info, None)
    await versions.store(one, info, writing.read_headers(one), body)
