"""Network namespaces by name, as `ip netns` keeps them (/run/netns), without running `ip`.

A `Namespace` keeps its namespace open: if someone removes only the name, the name is put back and nothing was lost. Every
namespace that the driver works in is entered by one thread for a moment; the other threads stay where they are.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RUN_DIR = Path("/run/netns")

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 4096, 16384, 1 << 20
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


class Namespace:
    """One named network namespace, or with `name` None the one that the process was started in."""

    def __init__(self, name: str | None) -> None:
        self.name = name
        self._fd: int | None = None

    @property
    def path(self) -> Path:
        """Where its name is kept."""
        return Path("/proc/self/ns/net") if self.name is None else RUN_DIR / self.name

    def exists(self) -> bool:
        """Whether the name leads to a namespace: the very one held open, if one is held."""
        if self.name is None:
            return True
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        if self._fd is None:
            return there.st_dev == os.stat("/proc/self/ns/net").st_dev  # a name without a namespace is an ordinary file
        held = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

    def ensure(self) -> bool:
        """Make the namespace, or put back its name. True if it is a new and empty one."""
        if self.exists():
            return False
        held = self._fd is not None
        _share_run_dir()
        with suppress(FileNotFoundError):
            _forget_name(self.path)
        self.path.touch(mode=0o444)
        if held:
            _call("mount", f"/proc/self/fd/{self._fd}".encode(), bytes(self.path), b"none", _MS_BIND, None)
            return False
        with _returning_home():
            _call("unshare", _CLONE_NEWNET)
            _call("mount", b"/proc/thread-self/ns/net", bytes(self.path), b"none", _MS_BIND, None)
        return True

    def fileno(self) -> int:
        """A file descriptor of it. :raises FileNotFoundError: if there is none."""
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        return self._fd

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Within it, this thread (and what it starts) is in the namespace."""
        fd = self.fileno()
        with _returning_home():
            _call("setns", fd, _CLONE_NEWNET)
            yield

    def sysctl(self, values: dict[str, int]) -> None:
        """Write kernel settings under `net`, where they exist."""
        with self.entered():
            for name, value in values.items():
                with suppress(FileNotFoundError):
                    Path("/proc/sys/net", name).write_text(str(value))

    def sysctl_value(self, name: str) -> int | None:
        """One kernel setting under `net`."""
        with self.entered(), suppress(FileNotFoundError):
            return int(Path("/proc/sys/net", name).read_text())
        return None

    def destroy(self) -> None:
        """Remove the name and let go; the kernel ends the namespace when no process is left in it."""
        with suppress(FileNotFoundError):
            _forget_name(self.path)
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def names(prefix: str) -> list[str]:
    """The names of all namespaces that begin with a prefix."""
    try:
        return sorted(name for name in os.listdir(RUN_DIR) if name.startswith(prefix))
    except FileNotFoundError:
        return []


@contextmanager
def _returning_home() -> Iterator[None]:
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            _call("setns", home, _CLONE_NEWNET)
        finally:
            os.close(home)


def _share_run_dir() -> None:
    """As `ip netns` does it: names made in one mount namespace show in all that share this directory."""
    RUN_DIR.mkdir(parents=True, exist_ok=True)
    try:
        _call("mount", b"", bytes(RUN_DIR), b"none", _MS_SHARED | _MS_REC, None)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _call("mount", bytes(RUN_DIR), bytes(RUN_DIR), b"none", _MS_BIND | _MS_REC, None)
        _call("mount", b"", bytes(RUN_DIR), b"none", _MS_SHARED | _MS_REC, None)


def _forget_name(path: Path) -> None:
    while True:  # a name may have been mounted over more than once
        try:
            _call("umount2", bytes(path), _MNT_DETACH)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            break
    path.unlink()
