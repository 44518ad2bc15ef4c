"""Answers of the object store into the form that the server sends, and documents."""

from collections.abc import AsyncIterator

from pileus.faces.s3.request import S3Request
from pileus.kernel.http import Answer, FileAnswer, StreamAnswer
from pileus.object_store.request import FileSlice, Response

XML = "application/xml"


def xml_answer(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Answer with a document."""
    return Answer(body, status, headers or {}, XML)


def nothing(status: int = 204, headers: dict[str, str] | None = None) -> Answer:
    """Answer without a body."""
    return Answer(None, status, headers or {})


async def send(s3: S3Request, found: Response) -> Answer | FileAnswer | StreamAnswer:
    """Put an answer of the object store into the form that the server sends."""
    headers = dict(found.headers)
    if "Etag" in headers:
        headers["ETag"] = headers.pop("Etag")
    content_type = headers.pop("Content-Type", "application/octet-stream")
    body = found.body
    if isinstance(body, bytes) or s3.method == "HEAD":
        if found.close:
            await found.close()
        if s3.method == "HEAD" or not body:
            return Answer(None, found.status, {"Content-Type": content_type, **headers})
        assert isinstance(body, bytes)
        return Answer(body, found.status, headers, content_type)
    if isinstance(body, FileSlice):
        return FileAnswer(body.path, body.size_bytes, body.start, body.length, found.status, headers, content_type, found.close)
    return StreamAnswer(_closing(body, found), found.length, found.status, headers, content_type)


async def _closing(chunks: AsyncIterator[bytes], found: Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        if found.close:
            await found.close()
