"""The body of a request as it comes: plain, or in chunks of their own (aws-chunked), signed or not, with trailers; checked."""

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

from pileus.faces.s3 import checksums, sigv4
from pileus.faces.s3.auth import Signed
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.numbers import natural
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call

STREAMING = "STREAMING-"
CHUNK_ALGORITHM, TRAILER_ALGORITHM = "AWS4-HMAC-SHA256-PAYLOAD", "AWS4-HMAC-SHA256-TRAILER"
LINE_BYTES_MAX, TRAILER_BYTES_MAX = 4096, 16_384


@dataclass
class Wanted:
    """What the sender says of the body, to be checked: a digest of it now or (value None) in a trailer."""

    algorithm: str = ""
    value: str | None = None


@dataclass
class Upload:
    """The body of a request: read once, and checked on the way.

    checksum is the one asked for, once the body has been read.
    """

    call: Call
    signed: Signed
    length: int | None
    timeout_seconds: float
    wanted: Wanted = field(default_factory=Wanted)
    checksum: str = ""
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def is_chunked(self) -> bool:
        """Whether it comes in chunks of AWS's own."""
        return self.signed.payload.startswith(STREAMING)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the bytes.  :raises S3Error: when they are not what was said, or the client goes away."""
        sha256 = hashlib.sha256() if len(self.signed.payload) == 64 else None
        digest = checksums.new(self.wanted.algorithm) if self.wanted.algorithm else None
        size = 0
        async for chunk in self._unchunked() if self.is_chunked else self._raw():
            size += len(chunk)
            if self.length is not None and size > self.length:
                raise S3Error("IncompleteBody", "The body is longer than was said.")
            if sha256 is not None:
                sha256.update(chunk)
            if digest is not None:
                digest.update(chunk)
            yield chunk
        if self.length is not None and size != self.length:
            raise S3Error("IncompleteBody")
        if sha256 is not None and sha256.hexdigest() != self.signed.payload:
            raise S3Error("XAmzContentSHA256Mismatch")
        if digest is not None:
            self._judge(checksums.encode(digest.digest()))

    def _judge(self, found: str) -> None:
        header = checksums.HEADER + self.wanted.algorithm.lower()
        said = self.wanted.value if self.wanted.value is not None else self.trailers.get(header, found)
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

    async def _unchunked(self) -> AsyncIterator[bytes]:
        lines = _Lines(self._raw())
        chain = _Chain(self.signed) if self.signed.payload.startswith(STREAMING + "AWS4-HMAC-SHA256") else None
        while True:
            head = await lines.line()
            size_text, _, extension = head.partition(";")
            try:
                left = int(size_text.strip(), 16)
            except ValueError:
                raise S3Error("IncompleteBody", "A chunk of the body has no size.") from None
            if left < 0:
                raise S3Error("IncompleteBody", "A chunk of the body has no size.")
            digest = hashlib.sha256() if chain else None
            last = left == 0
            while left:
                piece = await lines.take(left)
                left -= len(piece)
                if digest:
                    digest.update(piece)
                yield piece
            if chain and digest:
                chain.check_chunk(extension.strip().removeprefix("chunk-signature="), digest.hexdigest())
            if last:
                break
            if await lines.line():
                raise S3Error("IncompleteBody", "A chunk of the body is longer than it says.")
        await self._read_trailers(lines, chain)

    async def _read_trailers(self, lines: "_Lines", chain: "_Chain | None") -> None:
        size, raw = 0, ""
        while True:
            line = await lines.line(at_end=True)
            if not line:
                break
            size += len(line)
            if size > TRAILER_BYTES_MAX:
                raise S3Error("MetadataTooLarge")
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            if name == "x-amz-trailer-signature":
                if chain:
                    chain.check_trailer(value, raw)
                raw = ""
                continue
            self.trailers[name] = value
            raw += f"{name}:{value}\n"
        if raw and chain and self.signed.payload.endswith("-TRAILER"):
            raise S3Error("SignatureDoesNotMatch")
        if self.wanted.algorithm and self.wanted.value is None:
            header = checksums.HEADER + self.wanted.algorithm.lower()
            if header not in self.trailers:
                raise S3Error("InvalidRequest", f"The trailer {header} is missing.")
            if checksums.decode(self.wanted.algorithm, self.trailers[header]) is None:
                raise S3Error("InvalidRequest", f"Value for {header} trailing header is invalid.")


STORED_ALGORITHM = "X-Object-Sysmeta-S3Api-Checksum-Algorithm"
STORED_CHECKSUM = "X-Object-Sysmeta-S3Api-Checksum"
STORED_TYPE = "X-Object-Sysmeta-S3Api-Checksum-Type"


class _Lines:
    """Lines and blocks out of a stream of chunks."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source, self._rest = source, b""

    async def _more(self) -> bool:
        chunk = await anext(self._source, None)
        if chunk is None:
            return False
        self._rest += chunk
        return True

    async def line(self, at_end: bool = False) -> str:
        """Return the next line without its end."""
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > LINE_BYTES_MAX:
                raise S3Error("IncompleteBody", "A line of the body is too long.")
            if not await self._more():
                if not at_end:
                    raise S3Error("IncompleteBody")
                end = len(self._rest)
                break
        found, self._rest = self._rest[:end], self._rest[end + 1 :]
        return found.decode("latin-1").rstrip("\r")

    async def take(self, most: int) -> bytes:
        """Return the next bytes, at least one."""
        if not self._rest and not await self._more():
            raise S3Error("IncompleteBody")
        if len(self._rest) <= most:
            found, self._rest = self._rest, b""
        else:
            found, self._rest = self._rest[:most], self._rest[most:]
        return found


class _Chain:
    """The signatures of the chunks: each is also of the one before it."""

    def __init__(self, signed: Signed) -> None:
        self._signed, self._last = signed, signed.signature

    def check_chunk(self, given: str, digest: str) -> None:
        """Check a chunk.  :raises S3Error: when it is not signed well."""
        self._check(given, f"{CHUNK_ALGORITHM}\n{self._place}\n{self._last}\n{sigv4.EMPTY_SHA256}\n{digest}")

    def check_trailer(self, given: str, raw: str) -> None:
        """Check the trailers.  :raises S3Error: when they are not signed well."""
        digest = hashlib.sha256(raw.encode("latin-1")).hexdigest()
        self._check(given, f"{TRAILER_ALGORITHM}\n{self._place}\n{self._last}\n{digest}")

    @property
    def _place(self) -> str:
        return f"{self._signed.stamp}\n{self._signed.scope}"

    def _check(self, given: str, text: str) -> None:
        made = sigv4.sign(self._signed.key, text)
        if not hmac.compare_digest(made.encode(), given.encode("latin-1", "replace")):
            raise S3Error("SignatureDoesNotMatch")
        self._last = made


def read(call: Call, signed: Signed, timeout_seconds: float, checked: bool = True) -> Upload:
    """Return the body of a request.

    :param checked: its checksum is among the headers.
    :raises S3Error: when its headers do not fit together.
    """
    headers, length = call.headers, None
    if not signed.payload:
        signed = replace(signed, payload=_unsigned_payload(headers))
    chunked = signed.payload.startswith(STREAMING)
    text = headers.get("x-amz-decoded-content-length" if chunked else "content-length")
    if text is not None:
        length = natural(text)
        if length is None:
            raise S3Error("InvalidArgument", "The length of the body is not a number.")
    elif chunked:
        raise S3Error("MissingContentLength")
    elif headers.get("transfer-encoding", "").lower() != "chunked":
        length = 0
    return Upload(call, signed, length, timeout_seconds, _wanted(headers) if checked else Wanted())


def _unsigned_payload(headers: Mapping[str, str]) -> str:
    """Return what the body of a request is that was not signed in the newer way; SDKs send chunks then, too."""
    found = headers.get("x-amz-content-sha256", "")
    encodings = {part.strip().lower() for part in headers.get("content-encoding", "").split(",")}
    if found.startswith(STREAMING) or ("aws-chunked" in encodings and "x-amz-decoded-content-length" in headers):
        return sigv4.CHUNKED_UNSIGNED
    return found if sigv4.is_payload(found) else ""


def _wanted(headers: Mapping[str, str]) -> Wanted:
    """Return the checksum that a request gives or announces.  :raises S3Error: when it is none, or more than one."""
    given = {
        name: headers[checksums.HEADER + name.lower()]
        for name in checksums.ALGORITHMS
        if checksums.HEADER + name.lower() in headers
    }
    trailer = headers.get("x-amz-trailer", "").strip().lower()
    announced = headers.get("x-amz-sdk-checksum-algorithm", "").upper()
    if announced and announced not in checksums.ALGORITHMS:
        raise S3Error(
            "InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types."
        )
    if len(given) > 1 or (given and trailer.startswith(checksums.HEADER)):
        raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    for name, value in given.items():
        if announced and announced != name:
            raise S3Error("InvalidRequest", "x-amz-sdk-checksum-algorithm does not name the checksum that was provided.")
        if checksums.decode(name, value) is None:
            raise S3Error("InvalidRequest", f"Value for {checksums.HEADER}{name.lower()} header is invalid.")
        return Wanted(name, value)
    if trailer.startswith(checksums.HEADER):
        name = trailer[len(checksums.HEADER) :].upper()
        if name not in checksums.ALGORITHMS:
            raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
        return Wanted(name, None)
    return Wanted()


def md5_of(headers: Mapping[str, str]) -> str:
    """Return the MD5 that a request gives, in hexadecimal; "" when it gives none.  :raises S3Error: when it is none."""
    text = headers.get("content-md5")
    if text is None:
        return ""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != 16:
        raise S3Error("InvalidDigest")
    return found.hex()
