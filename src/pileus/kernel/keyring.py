"""Secret keys in a directory, one file a key, as Keystone keeps them.

    0          the staged key: known everywhere before it is used, becomes the primary at the next rotation
    highest    the primary: encrypts
    between    secondaries: still decrypt what they encrypted

So a process that has not yet seen a rotation can read what another one wrote after it.  A file's time of modification is
the time (of the cloud's clock) at which its key became what it is.  A directory may be shared by way of the database
(kernel.vault): then a process looks there every LOOK_SECONDS, and when it meets what none of its keys fits.
"""

import contextlib
import os
import threading
import time
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pileus.kernel.away import DatabaseAway
from pileus.kernel.vault import SharedFolder

LOOK_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 1.0  # at most that often for what nobody's key may fit


class BadToken(Exception):
    """The text was not encrypted with one of the keys."""


class KeyRing:
    """The keys of one directory, read again when it changes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._seen = 0
        self._cipher: MultiFernet | None = None
        self._shared: SharedFolder | None = None

    @property
    def directory(self) -> Path:
        """Where the keys are."""
        return self._directory

    def share(self, folder: SharedFolder | None) -> None:
        """From now on have the keys that all processes have; None: have one's own."""
        self._shared = folder

    def ensure(self, now: float) -> None:
        """Make the first two keys unless there are some."""
        if self._shared:
            self._shared.settle(lambda: self._ensure(now))
        else:
            self._ensure(now)

    def _ensure(self, now: float) -> None:
        with self._lock:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._numbers():
                self._write(1, now)
                self._write(0, now)

    def rotate(self, now: float, keep: int) -> None:
        """Make the staged key the primary, stage a new one, and keep at most so many keys in all."""
        self.ensure(now)
        with self._lock:
            newest = max(self._numbers()) + 1
            staged = self._directory / "0"
            if not staged.exists():
                self._write(0, now)
            staged.rename(self._directory / str(newest))
            os.utime(self._directory / str(newest), (now, now))
            self._write(0, now)
            old = [number for number in self._numbers() if number not in (0, newest)]
            for number in old[: max(0, len(old) - max(keep, 2) + 2)]:
                (self._directory / str(number)).unlink()
        if self._shared and not self._shared.push():
            self._shared.pull()  # another process was faster

    def primary_since(self) -> float:
        """Return when the primary key became that."""
        numbers = self._numbers()
        return (self._directory / str(max(numbers))).stat().st_mtime if numbers else 0.0

    def encrypt(self, data: bytes, now: float) -> str:
        """Encrypt with the primary key."""
        return self._current(now).encrypt_at_time(data, int(now)).decode().rstrip("=")

    def decrypt(self, text: str, now: float) -> bytes:
        """Decrypt with whichever key fits.

        :raises BadToken: when none does.
        """
        padded = (text + "=" * (-len(text) % 4)).encode("utf-8", "replace")
        for again in (False, True):
            if again:
                self._look(LOOK_AGAIN_SECONDS)
            cipher = self._current(now) if not again else self._current(now, look=True)
            try:
                return cipher.decrypt(padded)
            except (InvalidToken, TypeError, ValueError):
                continue
        raise BadToken

    def _look(self, seconds: float) -> None:
        """See whether the keys have changed elsewhere, unless that was done less than so many seconds ago."""
        if self._shared and time.monotonic() - self._shared.looked_at > seconds:
            with contextlib.suppress(DatabaseAway):
                self._shared.pull()

    def _current(self, now: float, look: bool = True) -> MultiFernet:
        self._look(LOOK_SECONDS)
        try:
            changed = self._directory.stat().st_mtime_ns
        except FileNotFoundError:
            self.ensure(now)
            changed = self._directory.stat().st_mtime_ns
        cipher = self._cipher
        if cipher is None or (look and changed != self._seen):
            cipher = self._load(now)
            self._cipher, self._seen = cipher, changed
        return cipher

    def _load(self, now: float) -> MultiFernet:
        if not self._numbers():
            self.ensure(now)
        keys = []
        for number in sorted(self._numbers(), reverse=True):
            try:
                keys.append(Fernet((self._directory / str(number)).read_bytes()))
            except FileNotFoundError:
                continue  # rotated away while we looked
        return MultiFernet(keys)

    def _numbers(self) -> list[int]:
        if not self._directory.exists():
            return []
        return sorted(int(name) for name in os.listdir(self._directory) if name.isdecimal())

    def _write(self, number: int, now: float) -> None:
        target = self._directory / str(number)
        part = self._directory / f".{number}.new"
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        os.utime(part, (now, now))
        part.rename(target)
