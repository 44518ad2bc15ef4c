"""How processes and hosts of one cloud hand one another files and byte streams: HTTPS, and both ends show a certificate.

    GET  /files/FOLDER/NAME          a file of one of the folders that are open to others; as pileus.kernel.sparse where wanted
    PUT  /files/FOLDER/NAME          write one, whole or not at all
    GET  /streams/NAME...            with Upgrade: bytes; a unix socket of this host, such as a guest's console

The bus carries calls; what is too large for it goes here.
"""

import asyncio
import contextlib
import http.client
import logging
import os
import re
import select
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit

from pileus.certificates import Identity
from pileus.kernel import ids, sparse

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
IDLE_SECONDS = 60
HANDSHAKE_SECONDS = 10
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\Z")


class PeerError(Exception):
    """Another process or host of the cloud did not hand over what was asked; the message says which and why."""


class TlsServer:
    """An HTTPS server, a thread a connection.

    :param counts: tells of the number of a client's certificate whether it still counts.
    """

    def __init__(
        self,
        terms: ssl.SSLContext,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        counts: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._server = _Server(address, handler)
        self._server.terms, self._server.counts = terms, counts
        self._thread = threading.Thread(target=self._server.serve_forever, name="peers", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """Serve nothing more."""
        self._server.shutdown()
        self._server.server_close()


class PeerServer(TlsServer):
    """Serves files and streams to others of the cloud, who show a certificate.

    :param folders: the folders that are open to others, by name.
    :param stream: returns the path of the unix socket of a stream by its name; None: there is none.
    :param counts: tells of the number of a certificate whether it still counts.
    :param takes: whether others may also write files.
    """

    def __init__(
        self,
        identity: Identity,
        address: tuple[str, int],
        folders: Mapping[str, Path],
        stream: Callable[[str], str | None] = lambda _: None,
        counts: Callable[[str], bool] = lambda _: True,
        takes: bool = True,
    ) -> None:
        handler = type("Handler", (_Handler,), {"folders": folders, "stream": staticmethod(stream), "takes": takes})
        super().__init__(identity.context(server=True), address, handler, counts)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    terms: ssl.SSLContext
    counts: Callable[[str], bool]

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            request.settimeout(HANDSHAKE_SECONDS)
            secure = self.terms.wrap_socket(request, server_side=True)
            secure.settimeout(IDLE_SECONDS)
            if not self.counts(str((secure.getpeercert() or {}).get("serialNumber", ""))):
                raise OSError("its certificate counts no longer")
        except OSError as error:
            log.info("refused %s: %s", client_address, error)
            self.shutdown_request(request)
            return
        super().process_request_thread(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.info("a peer at %s went away", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folders: Mapping[str, Path] = {}
    stream: Callable[[str], str | None]
    takes = True

    def do_GET(self) -> None:
        if self.path.startswith("/streams/"):
            return self._stream(unquote(self.path.removeprefix("/streams/")))
        path = self._file()
        try:
            file = open(path or "", "rb")  # noqa: SIM115  (closed below)
        except (FileNotFoundError, IsADirectoryError):
            return self._say(404)
        with file:
            self.send_response(200)
            if self.headers.get("Accept") == sparse.TYPE:
                return self._sparse(file)
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.end_headers()
            shutil.copyfileobj(file, self.wfile, CHUNK_BYTES)
        return None

    def _sparse(self, file: BinaryIO) -> None:
        self.close_connection = True
        self.send_header("Content-Type", sparse.TYPE)
        self.send_header("Connection", "close")
        self.end_headers()
        sparse.send(file, self.wfile)

    def do_PUT(self) -> None:
        path, length = self._file() if self.takes else None, self.headers.get("Content-Length", "")
        if path is None or not length.isdigit():
            self.close_connection = True
            return self._say(404 if path is None else 411)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.{ids.hex_id()}")
        try:
            with open(new, "wb") as file:
                _copy(self.rfile, file, int(length))
                os.fsync(file.fileno())
            os.rename(new, path)
        finally:
            new.unlink(missing_ok=True)
        return self._say(204)

    def _file(self) -> Path | None:
        parts = unquote(urlsplit(self.path).path).split("/")
        if len(parts) != 4 or parts[1] != "files" or parts[2] not in self.folders or not NAME.match(parts[3]):
            return None
        return self.folders[parts[2]] / parts[3]

    def _stream(self, name: str) -> None:
        path = self.stream(name)
        if path is None:
            return self._say(404)
        self.close_connection = True
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as other:
            try:
                other.connect(path)
            except OSError:
                return self._say(404)
            self.send_response(101)
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "bytes")
            self.end_headers()
            self.connection.settimeout(None)
            self.wfile.flush()
            _join(self.connection, other)
        return None

    def _say(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)


def fetch(identity: Identity, origin: str, folder: str, name: str, target: Path, holes: bool = False) -> None:
    """Copy a file of another host to a new file here, whole or not at all.

    :param holes: the file has holes, which the copy is to have, too.
    :raises PeerError: when it cannot be had.
    """
    new = target.with_name(f".{target.name}.{ids.hex_id()}")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with _asked(identity, origin, "GET", folder, name, None, holes) as answer, open(new, "wb") as file:
            if answer.headers.get("Content-Type") == sparse.TYPE:
                sparse.receive(answer, file)
            else:
                _copy(answer, file, int(answer.headers["Content-Length"]))
            os.fsync(file.fileno())
        os.rename(new, target)
    except (OSError, http.client.HTTPException) as error:
        raise PeerError(f"{folder}/{name} cannot be had of {origin}: {error}") from error
    finally:
        new.unlink(missing_ok=True)


def send(identity: Identity, origin: str, folder: str, name: str, source: Path) -> None:
    """Copy a file here to another host.  :raises PeerError: when that does not take it."""
    try:
        with open(source, "rb") as file, _asked(identity, origin, "PUT", folder, name, file):
            pass
    except (OSError, http.client.HTTPException) as error:
        raise PeerError(f"{folder}/{name} cannot be sent to {origin}: {error}") from error


async def connect(identity: Identity, url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a stream of another host, `https://HOST:PORT/streams/NAME`.  :raises OSError: when there is none."""
    parts = urlsplit(url)
    terms = identity.context(server=False)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=terms, server_hostname="")
    try:
        head = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in answer.partition(b"\r\n")[0]:
            raise OSError(f"There is no {parts.path} at {parts.netloc}.")
    except (OSError, asyncio.IncompleteReadError) as error:
        writer.close()
        raise OSError(f"{url}: {error}") from error
    return reader, writer


@contextlib.contextmanager
def _asked(identity: Identity, origin: str, method: str, folder: str, name: str, body: Any, holes: bool = False) -> Any:
    connection = http.client.HTTPSConnection(
        urlsplit(origin).netloc, timeout=IDLE_SECONDS, context=identity.context(server=False), blocksize=CHUNK_BYTES
    )
    with contextlib.closing(connection):
        headers = {"Content-Length": str(os.fstat(body.fileno()).st_size)} if body else {}
        headers |= {"Accept": sparse.TYPE} if holes else {}
        connection.request(method, f"/files/{quote(folder)}/{quote(name)}", body=body, headers=headers)
        answer = connection.getresponse()
        if answer.status // 100 != 2:
            raise OSError(f"the answer is {answer.status}")
        yield answer


def _copy(source: Any, target: Any, length: int) -> None:
    left = length
    while left:
        data = source.read(min(CHUNK_BYTES, left))
        if not data:
            raise OSError(f"{left} of {length} bytes are missing")
        target.write(data)
        left -= len(data)


def _join(secure: ssl.SSLSocket, plain: socket.socket) -> None:
    """Hand bytes to and fro, in one thread (TLS takes no two at once), until either end goes away."""
    with contextlib.suppress(OSError):
        while True:
            ready = [secure] if secure.pending() else select.select([secure, plain], [], [])[0]
            for source, target in ((secure, plain), (plain, secure)):
                if source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    target.sendall(data)
