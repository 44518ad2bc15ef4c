"""nftables of a namespace through libnftables (the library behind `nft`), and a cheap way to see whether others touched it.

The kernel counts the committed rulesets of a namespace. Whoever writes all of them knows the count; a different one means that
somebody else wrote (`nft flush ruleset`, say), without a rule being listed.
"""

import ctypes
import struct
import threading
from functools import cache
from pathlib import Path

from pileus.network.driver import NetworkDriverError
from pileus.network.drivers.linux.netlink import NETFILTER, Netlink, attributes
from pileus.network.drivers.linux.netns import Namespace

_GET_GENERATION = (10 << 8) | 16
_ONE_AT_A_TIME = threading.Lock()  # the library shares tables between contexts


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libnftables.so.1")
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    for name in ("free", "buffer_output", "buffer_error", "get_output_buffer", "get_error_buffer"):
        getattr(library, f"nft_ctx_{name}").argtypes = [ctypes.c_void_p]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


class Nft:
    """The ruleset of one namespace. `keep` keeps the library's context for many calls, else it is made for each."""

    def __init__(self, namespace: Namespace, keep: bool = False) -> None:
        self._namespace = namespace
        self._keep = keep
        self._context: int | None = None

    def run(self, commands: str) -> str:
        """Run commands as one transaction. :raises NetworkDriverError: with what nft said; nothing is changed then."""
        library = _library()
        with _ONE_AT_A_TIME:
            context = self._context or self._open(library)
            try:
                failed = library.nft_run_cmd_from_buffer(context, commands.encode())
                output = (library.nft_ctx_get_output_buffer(context) or b"").decode()
                error = (library.nft_ctx_get_error_buffer(context) or b"").decode()
            finally:
                if self._keep and not self._context:
                    self._context = context
                elif not self._keep:
                    library.nft_ctx_free(context)
        if failed:
            raise NetworkDriverError(f"nft in {self._namespace.name or 'the outside'}: {error.strip()[:2000]}")
        return output

    def generation(self) -> int:
        """How many rulesets have been committed in the namespace."""
        with Netlink(self._namespace, NETFILTER) as netlink:
            body = netlink.get(_GET_GENERATION, b"\0\0\0\0")
        return int(struct.unpack(">I", attributes(body[4:])[1])[0])

    def close(self) -> None:
        """Let go of the context."""
        with _ONE_AT_A_TIME:
            if self._context:
                _library().nft_ctx_free(self._context)
                self._context = None

    def _open(self, library: ctypes.CDLL) -> int:
        with self._namespace.entered():
            context: int = library.nft_ctx_new(0)
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        return context


class Watermark:
    """Remembers, across processes, the count of rulesets after our own last one."""

    def __init__(self, nft: Nft, file: Path) -> None:
        self._nft = nft
        self._file = file
        self._generation = _number_in(file)

    def untouched(self) -> bool:
        """Whether ours was the last one."""
        return self._nft.generation() == self._generation

    def run(self, commands: str) -> None:
        """Run commands, and remember them as ours. The caller has seen to it that nobody else runs any meanwhile."""
        self._nft.run(commands)
        self._generation = self._nft.generation()
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file.write_text(str(self._generation))

    def forget(self) -> None:
        """The ruleset is not known any more."""
        self._generation = -1
        self._file.unlink(missing_ok=True)


def _number_in(file: Path) -> int:
    """Return the number in a file; -1 where there is none, as when whoever wrote it was killed: then nothing is known."""
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return -1
