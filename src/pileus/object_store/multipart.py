"""The body of an HTML form (multipart/form-data), read as it comes: fields whole, files in pieces.  Pure."""

from collections.abc import AsyncIterator

LINE_BYTES_MAX = 16_384


class FormError(Exception):
    """The body is not a form."""


def parse_header(text: str) -> tuple[str, dict[str, str]]:
    """Return a header's value and its parameters: `form-data; name="file1"`."""
    value, *rest = text.split(";")
    found: dict[str, str] = {}
    for part in rest:
        name, _, content = part.strip().partition("=")
        found[name.strip().lower()] = content.strip().strip('"')
    return value.strip().lower(), found


class Form:
    """The parts of a form, one after the other."""

    def __init__(self, source: AsyncIterator[bytes], boundary: str) -> None:
        self._source, self._buffer = source, b"\r\n"
        self._mark = b"\r\n--" + boundary.encode()
        self._ended = False

    async def _more(self) -> bool:
        chunk = await anext(self._source, None)
        if chunk is None:
            self._ended = True
            return False
        self._buffer += chunk
        return True

    async def next_part(self) -> dict[str, str] | None:
        """Skip what is left of this part and return the headers of the next; None at the end.  :raises FormError: no form."""
        async for _ in self.chunks():
            pass
        self._buffer = self._buffer[len(self._mark) :]
        head = await self._line()
        if head.startswith(b"--"):
            return None
        headers: dict[str, str] = {}
        while line := await self._line():
            name, _, value = line.decode("utf-8", "replace").partition(":")
            headers[name.strip().lower()] = value.strip()
        return headers

    async def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > LINE_BYTES_MAX:
                raise FormError("a header is too long")
            if not await self._more():
                if self._buffer.startswith(b"--"):
                    return self._buffer
                raise FormError("the form ended early")
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content of the part up to the next boundary.  :raises FormError: when there is none."""
        while True:
            place = self._buffer.find(self._mark)
            if place >= 0:
                content, self._buffer = self._buffer[:place], self._buffer[place:]
                if content:
                    yield content
                return
            keep = len(self._mark) - 1
            if len(self._buffer) > keep:
                content, self._buffer = self._buffer[:-keep], self._buffer[-keep:]
                yield content
            if not await self._more():
                raise FormError("the form ended early")

    async def value(self) -> str:
        """Return the content of a field.  :raises FormError: when it is too long."""
        found = b""
        async for chunk in self.chunks():
            found += chunk
            if len(found) > LINE_BYTES_MAX:
                raise FormError("a value is too long")
        return found.decode("utf-8", "replace")
