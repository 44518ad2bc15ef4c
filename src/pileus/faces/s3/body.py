"""The body of a request as it comes: plain, or in chunks of their own (aws-chunked); checked."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from pileus.faces.s3 import announced, checksums, sigv4
from pileus.faces.s3.announced import Wanted
from pileus.faces.s3.chunked import ENDED, Chunked
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.numbers import natural
from pileus.faces.s3.sigv4 import Signed
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call

STORED_ALGORITHM = "X-Object-Sysmeta-S3Api-Checksum-Algorithm"
STORED_CHECKSUM = "X-Object-Sysmeta-S3Api-Checksum"
STORED_TYPE = "X-Object-Sysmeta-S3Api-Checksum-Type"


@dataclass
class Upload:
    """The body of a request: read once, and checked on the way.

    :param sha256: the digest that it must have, as the request words it; "" for none.
    :param checksum: the checksum asked for, once the body has been read.
    """

    call: Call
    signed: Signed
    length: int | None
    timeout_seconds: float
    is_chunked: bool = False
    sha256: str = ""
    wanted: Wanted = field(default_factory=Wanted)
    checksum: str = ""

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes.  :raises S3Error: when they are not what was said, or the client goes away."""
        sha256 = hashlib.sha256() if self.sha256 else None
        digest = checksums.new(self.wanted.algorithm) if self.wanted.algorithm else None
        framed, size = self._unchunked() if self.is_chunked else None, 0
        async for chunk in framed.pieces() if framed else self._raw():
            size += len(chunk)
            if self.length is not None and size > self.length:
                raise S3Error("IncompleteBody", ENDED)
            if sha256 is not None:
                sha256.update(chunk)
            if digest is not None:
                digest.update(chunk)
            yield chunk
        if self.length is not None and size != self.length:
            raise S3Error("IncompleteBody", NumberBytesExpected=str(self.length), NumberBytesProvided=str(size))
        if sha256 is not None and sha256.hexdigest() != self.sha256.lower():
            made = sha256.hexdigest()
            raise S3Error("XAmzContentSHA256Mismatch", ClientComputedContentSHA256=self.sha256, S3ComputedContentSHA256=made)
        if digest is not None:
            self._judge(checksums.encode(digest.digest()), framed.trailers if framed else {})

    def _unchunked(self) -> Chunked:
        trailer = announced.trailer_of(self.call.headers)
        name = checksums.HEADER + trailer.lower() if trailer else ""
        return Chunked(self._raw(), self.signed, self.length or 0, name)

    def _judge(self, found: str, trailers: Mapping[str, str]) -> None:
        header = checksums.HEADER + self.wanted.algorithm.lower()
        said = self.wanted.value
        if said is None:
            said = trailers.get(header, found)
            if checksums.decode(self.wanted.algorithm, said) is None:
                raise S3Error("InvalidRequest", f"Value for {header} trailing header is invalid.")
        if said != found:
            raise S3Error("BadDigest", f"The {self.wanted.algorithm} you specified did not match the calculated checksum.")
        self.checksum = found

    def footer(self) -> Mapping[str, str]:
        """Return what is to be kept with the object and is known only after the body: its checksum."""
        if not self.checksum:
            return {}
        return {STORED_ALGORITHM: self.wanted.algorithm, STORED_CHECKSUM: self.checksum}

    async def whole(self, most: int) -> bytes:
        """Return all of it.  :raises S3Error: when it has more bytes than most."""
        found = bytearray()
        async for chunk in self.chunks():
            found += chunk
            if len(found) > most:
                raise S3Error("MalformedXML", "The body is too large.")
        return bytes(found)

    async def _raw(self) -> AsyncIterator[bytes]:
        assert self.call.chunks is not None
        source = self.call.chunks()
        while True:
            try:
                async with asyncio.timeout(self.timeout_seconds):
                    chunk = await anext(source, None)
            except TimeoutError:
                raise S3Error("RequestTimeout") from None
            except BadRequest:
                raise S3Error("IncompleteBody") from None
            if chunk is None:
                return
            yield chunk


def read(call: Call, signed: Signed, timeout_seconds: float, checked: bool = True) -> Upload:
    """Return the body of a request.

    :param checked: its checksum is among the headers.
    :raises S3Error: when its headers do not fit together.
    """
    headers, length = call.headers, None
    chunked = signed.payload.startswith("STREAMING-") or (not signed.access and _comes_in_chunks(headers))
    raw_length = natural(headers.get("content-length"))
    if chunked:
        length = natural(headers.get("x-amz-decoded-content-length"))
        if length is None:
            raise S3Error("MissingContentLength")
    elif "content-length" in headers:
        length = raw_length
        if length is None:
            raise S3Error("InvalidArgument", "The length of the body is not a number.")
    elif headers.get("transfer-encoding", "").lower() != "chunked":
        length = 0
    sha256, said = headers.get("x-amz-content-sha256", ""), headers.get("x-amz-decoded-content-length")
    if not chunked and sha256.startswith("STREAMING-") and natural(said) is None:
        raise S3Error("MissingContentLength")
    if not chunked and said is not None and length is not None and said != str(length):
        raise S3Error("IncompleteBody", NumberBytesExpected=said, NumberBytesProvided=str(length))
    sha256 = "" if chunked or sha256 == sigv4.UNSIGNED else sha256
    wanted = announced.checksum_of(headers, chunked) if checked else Wanted()
    if chunked and raw_length == length:
        raise S3Error("IncompleteBody", ENDED)
    return Upload(call, signed, length, timeout_seconds, chunked, sha256, wanted)


def _comes_in_chunks(headers: Mapping[str, str]) -> bool:
    """Tell whether the body of a request that nobody signed comes in chunks: some SDKs send those all the same."""
    encodings = {part.strip().lower() for part in headers.get("content-encoding", "").split(",")}
    return "aws-chunked" in encodings and "x-amz-decoded-content-length" in headers
