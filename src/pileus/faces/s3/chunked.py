"""Bodies in chunks of AWS's own (aws-chunked): `SIZE;chunk-signature=...`, the bytes, ..., `0`, trailers; signed or not.

Each signature is also of the one before it, the first of them of that of the request.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator

from pileus.faces.s3 import sigv4
from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.sigv4 import Signed

CHUNK_ALGORITHM, TRAILER_ALGORITHM = "AWS4-HMAC-SHA256-PAYLOAD", "AWS4-HMAC-SHA256-TRAILER"
LINE_BYTES_MAX, TRAILER_BYTES_MAX = 4096, 16_384
SIZE_DIGITS_MAX = 16
SIGNED_CHUNK_BYTES_MIN = 8192
SIGNATURE = "x-amz-trailer-signature"
ENDED = "The request body terminated unexpectedly"


class Chunked:
    """One such body.

    :param announced: the name of the header that comes in a trailer; "" for none.
    """

    def __init__(self, source: AsyncIterator[bytes], signed: Signed, length: int, announced: str) -> None:
        self._lines = _Lines(source)
        self._chain = _Chain(signed) if signed.payload.startswith("STREAMING-AWS4-HMAC-SHA256") else None
        self._signs_trailers = signed.payload.endswith("-TRAILER") and self._chain is not None
        self._length, self._announced = length, announced
        self.trailers: dict[str, str] = {}

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes.  :raises S3Error: when the form or a signature is not right, or the length."""
        total, before, count = 0, 0, 0
        while True:
            size, signature = self._head(await self._lines.line())
            count += 1
            if self._chain and size and 0 < before < SIGNED_CHUNK_BYTES_MIN:
                raise S3Error("InvalidChunkSizeError", Chunk=str(count), BadChunkSize=str(before))
            before, total = size, total + size
            if total > self._length or (not size and total < self._length):
                raise S3Error("IncompleteBody", NumberBytesExpected=str(self._length), NumberBytesProvided=str(total))
            digest = hashlib.sha256()
            while size:
                piece = await self._lines.take(size)
                size -= len(piece)
                if self._chain:
                    digest.update(piece)
                yield piece
            if self._chain:
                self._chain.check_chunk(signature, digest.hexdigest())
            if not before:
                break
            if await self._lines.line():
                raise S3Error("IncompleteBody", ENDED)
        await self._read_trailers()

    def _head(self, line: str) -> tuple[int, str]:
        """Return the size of a chunk and its signature."""
        text, _, extension = line.partition(";")
        text = text.strip()
        if not text or len(text) > SIZE_DIGITS_MAX or not all(char in "0123456789abcdefABCDEF" for char in text):
            raise S3Error("IncompleteBody", ENDED)
        name, _, signature = (part.strip() for part in extension.partition("="))
        if self._chain and (not signature or (";" in signature and name == "chunk-signature")):
            raise S3Error("IncompleteBody", ENDED)
        return int(text, 16), signature

    async def _read_trailers(self) -> None:
        size, raw, signature = 0, "", ""
        while line := await self._lines.line(at_end=True):
            size += len(line)
            if size > TRAILER_BYTES_MAX:
                raise S3Error("MalformedTrailerError")
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            if name == SIGNATURE and self._signs_trailers and self._announced:
                signature = value
                break
            if name != self._announced:
                raise S3Error("MalformedTrailerError") if self._announced else S3Error("IncompleteBody", ENDED)
            self.trailers[name] = value
            raw += f"{name}:{value}\n"
        if self._announced and self._announced not in self.trailers:
            raise S3Error("MalformedTrailerError")
        if self._signs_trailers and self._chain and self._announced:
            if not signature:
                raise S3Error("IncompleteBody", ENDED)
            self._chain.check_trailer(signature, raw)


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
        """Return the next line without its end; at_end: there need not be one."""
        while (end := self._rest.find(b"\r\n")) < 0:
            if len(self._rest) > LINE_BYTES_MAX:
                raise S3Error("IncompleteBody", ENDED)
            if not await self._more():
                if self._rest or not at_end:
                    raise S3Error("IncompleteBody", ENDED)
                return ""
        found, self._rest = self._rest[:end], self._rest[end + 2 :]
        return found.decode("latin-1")

    async def take(self, most: int) -> bytes:
        """Return the next bytes, at least one."""
        if not self._rest and not await self._more():
            raise S3Error("IncompleteBody", ENDED)
        if len(self._rest) <= most:
            found, self._rest = self._rest, b""
        else:
            found, self._rest = self._rest[:most], self._rest[most:]
        return found


class _Chain:
    """The signatures of the chunks."""

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
            raise sigv4.mismatch(self._signed.access, text, given, self._signed.canonical)
        self._last = made
