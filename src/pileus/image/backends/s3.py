"""Content in a bucket of an object store that speaks S3's API; requests are signed by version 4 of AWS's signatures.

    https://ACCESS_KEY:SECRET_KEY@HOST[:PORT][/PATH]/BUCKET[?region=NAME]

The bucket is made when it is missing.  The form of the signature: AWS, "Authenticating requests (AWS Signature Version 4)".
"""

import hashlib
import hmac
import http.client
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pileus.image.backend import BackendError, BackendFull, ContentMissing
from pileus.image.backends.objects import FilePart
from pileus.image.files import READ_BYTES, safe

TIMEOUT_SECONDS = 60.0
ANSWER_BYTES_MAX = 1 << 20
PART_BYTES = 1 << 30
SCHEME = "s3://"
REGION = "us-east-1"
NO_ROOM = (507,)
UNSIGNED = "UNSIGNED-PAYLOAD"
ALGORITHM = "AWS4-HMAC-SHA256"


class S3Backend:
    """Fulfils `Backend`.

    :param part_bytes: from which size on content is sent in parts, and how large these are.
    :raises BackendError: when the URL is none.
    """

    kind = "s3"
    read_only = False

    def __init__(self, url: str, part_bytes: int = PART_BYTES) -> None:
        parts = urlsplit(url)
        prefix, _, bucket = parts.path.rstrip("/").rpartition("/")
        if parts.scheme not in ("http", "https") or not parts.hostname or not parts.username or not parts.password or not bucket:
            raise BackendError("The URL of an s3 store is not of the form https://ACCESS_KEY:SECRET_KEY@HOST/BUCKET.")
        self._https, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._key, self._secret = unquote(parts.username), unquote(parts.password)
        self._prefix, self._bucket = prefix, bucket
        self._region = (parse_qs(parts.query).get("region") or [REGION])[-1]
        self._part_bytes = part_bytes

    def url(self, image_id: str, token: str) -> str:
        return f"{SCHEME}{self._bucket}/{safe(image_id)}.{safe(token)}"

    def put(self, url: str, source: Path) -> None:
        path = self._path(url)
        try:
            total = source.stat().st_size
            self._make_bucket()
            if total <= self._part_bytes:
                self._put_part(path, {}, source, 0, total)
            else:
                self._put_parts(path, source, total)
        except OSError as error:
            raise BackendError(f"The content could not be sent: {error.strerror or error}") from error

    def _make_bucket(self) -> None:
        with self._sent("HEAD", f"{self._prefix}/{self._bucket}") as answer:
            if answer.status != 404:
                return
        with self._asked("PUT", f"{self._prefix}/{self._bucket}"):
            return

    def _put_part(self, path: str, query: Mapping[str, str], source: Path, start: int, length: int) -> str:
        part = FilePart(source, start, length)
        try:
            with self._asked("PUT", path, query, part) as answer:
                return answer.getheader("ETag", "")
        finally:
            part.close()

    def _put_parts(self, path: str, source: Path, total: int) -> None:
        with self._asked("POST", path, {"uploads": ""}) as answer:
            found = re.search(rb"<UploadId>([^<]+)</UploadId>", answer.read(ANSWER_BYTES_MAX))
        if not found:
            raise BackendError(f"{self._host} began no upload in parts.")
        upload = {"uploadId": found[1].decode()}
        try:
            tags = [
                self._put_part(path, {"partNumber": str(number), **upload}, source, start, min(self._part_bytes, total - start))
                for number, start in enumerate(range(0, total, self._part_bytes), 1)
            ]
            parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>" for n, tag in enumerate(tags, 1))
            body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
            with self._asked("POST", path, upload, body) as answer:
                if b"<Error>" in answer.read(ANSWER_BYTES_MAX):  # said after the status, as S3 may
                    raise BackendError(f"{self._host} did not put the parts together.")
        except BackendError:
            with self._sent("DELETE", path, upload):
                raise

    def local_path(self, url: str) -> Path | None:
        return None

    def read(self, url: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if length == 0:
            return
        wanted = (
            {} if not start and length is None else {"range": f"bytes={start}-{'' if length is None else start + length - 1}"}
        )
        with self._asked("GET", self._path(url), headers=wanted) as answer:
            try:
                while block := answer.read(READ_BYTES):
                    yield block
            except (OSError, http.client.HTTPException) as error:
                raise BackendError(f"{self._host} broke off: {error}") from error
            if answer.length:
                raise BackendError(f"{self._host} broke off.")

    def size_bytes(self, url: str) -> int | None:
        with self._asked("HEAD", self._path(url)) as answer:
            told = answer.getheader("Content-Length")
            return int(told) if told else None

    def remove(self, url: str) -> None:
        try:
            with self._asked("DELETE", self._path(url)):
                return
        except ContentMissing:
            return

    def properties(self) -> Mapping[str, Any]:
        mib = self._part_bytes >> 20
        return {"s3_store_large_object_size": mib, "s3_store_large_object_chunk_size": mib, "s3_store_thread_pools": 1}

    def _path(self, url: str) -> str:
        return f"{self._prefix}/{quote(url.removeprefix(SCHEME))}"

    @contextmanager
    def _asked(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: FilePart | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:  # fmt: skip
        """Send one request.  :raises BackendError: when there is no answer, or it is a refusal."""
        with self._sent(method, path, query, body, headers) as answer:
            if 200 <= answer.status < 300:
                yield answer
            elif answer.status == 404:
                raise ContentMissing(f"There is no {path} at {self._host}.")
            else:
                found = re.search(rb"<Code>([^<]+)</Code>", answer.read(ANSWER_BYTES_MAX))
                told = found[1].decode(errors="replace") if found else answer.reason
                kind = BackendFull if answer.status in NO_ROOM else BackendError
                raise kind(f"{self._host} refused {path}: {answer.status} {told}")

    @contextmanager
    def _sent(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: FilePart | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:  # fmt: skip
        given = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted((query or {}).items()))
        link = self._connect()
        try:
            signed = self._signed(method, path, given, headers or {}, body)
            try:
                link.request(method, path + (f"?{given}" if given else ""), body, signed)
                answer = link.getresponse()
            except (OSError, http.client.HTTPException) as error:
                raise BackendError(f"The object store at {self._host} does not answer: {error}") from error
            yield answer
        finally:
            link.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self._https:
            link: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
            )
        else:
            link = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        link.blocksize = READ_BYTES
        return link

    def _signed(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: FilePart | bytes | None
    ) -> dict[str, str]:
        """Return a request's headers with its signature."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        digest = UNSIGNED if isinstance(body, FilePart) else hashlib.sha256(body or b"").hexdigest()
        host = self._host if self._port is None else f"{self._host}:{self._port}"
        given = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now, **headers}
        names = ";".join(sorted(given))
        lines = "".join(f"{name}:{given[name]}\n" for name in sorted(given))
        canonical = "\n".join((method, path, query, lines, names, digest))
        scope = f"{now[:8]}/{self._region}/s3/aws4_request"
        text = "\n".join((ALGORITHM, now, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        key = b"AWS4" + self._secret.encode()
        for part in (*scope.split("/"), text):
            key = hmac.digest(key, part.encode(), "sha256")
        sized = {"Content-Length": str(body.length)} if isinstance(body, FilePart) else {}
        said = f"{ALGORITHM} Credential={self._key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
        return {**given, **sized, "Authorization": said}
