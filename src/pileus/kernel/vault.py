"""Folders of secret files that the processes of a control plane share by way of the database, on whichever machines they run.

The files lie in the database as one sealed text a folder; what is in the state directory is a copy of it.  The seal is made of
the setting `secret`, which is the same for all of these processes, so that a copy of the database alone opens nothing.
Without that setting nothing is shared: the state directory is what counts.
"""

import base64
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Column, Integer, String, Table, Text, insert, select, update
from sqlalchemy.exc import IntegrityError

from pileus.kernel.db import Database, metadata
from pileus.kernel.settings import Settings, SettingsError

SECRET_MIN = 16
SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
SALT = b"pileus vault"  # the same everywhere: who has the secret is to come to the same key

vault = Table(
    "vault", metadata,
    Column("name", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("sealed", Text, nullable=False, doc="the folder's files, encrypted"),
)  # fmt: skip


class File(msgspec.Struct, frozen=True, array_like=True):
    """A file: what is in it, and when that was written."""

    content: bytes
    at: float


class SharedFolder:
    """A folder here and its counterpart in the database."""

    def __init__(self, db: Database, secret: str, name: str, directory: Path) -> None:
        self._db, self._name, self._directory = db, name, directory
        self._seal = Fernet(_key(secret))
        self._version = 0
        self._lock = threading.Lock()
        self.looked_at = float("-inf")  # on the monotonic clock

    def settle(self, make: Callable[[], None]) -> None:
        """Have the folder here be what it is everywhere; where it is nowhere yet, make it (or take the one that is here).

        :raises SettingsError: when it was sealed with another secret.
        """
        while not self.pull():
            make()
            if self.push():
                return

    def pull(self) -> bool:
        """Copy the folder from the database unless it is here as it is there; tells whether there is one.

        :raises SettingsError: when it was sealed with another secret.
        """
        with self._db.read() as tx:
            row = tx.execute(select(vault.c.version, vault.c.sealed).where(vault.c.name == self._name)).first()
        self.looked_at = time.monotonic()
        if row is None:
            return False
        with self._lock:
            if row.version != self._version or not self._directory.exists():
                self._write(self._open(row.sealed))
                self._version = row.version
        return True

    def push(self) -> bool:
        """Copy the folder to the database; tells whether it is there now: not when it has changed there since the last look."""
        with self._lock:
            sealed, seen = self._seal.encrypt(msgspec.msgpack.encode(self._read())).decode(), self._version
            try:
                with self._db.begin() as tx:
                    if seen:
                        mine = (vault.c.name == self._name) & (vault.c.version == seen)
                        done = tx.execute(update(vault).where(mine).values(version=seen + 1, sealed=sealed)).rowcount == 1
                    else:
                        tx.execute(insert(vault).values(name=self._name, version=1, sealed=sealed))
                        done = True
            except IntegrityError:
                return False
            self._version = seen + 1 if done else seen
            return done

    def _open(self, sealed: str) -> dict[str, File]:
        try:
            return msgspec.msgpack.decode(self._seal.decrypt(sealed), type=dict[str, File])
        except InvalidToken:
            raise SettingsError(f"The {self._name} in the database were sealed with another secret than this one's.") from None

    def _read(self) -> dict[str, File]:
        paths = [path for path in self._directory.iterdir() if path.is_file() and not path.name.startswith(".")]
        return {path.name: File(path.read_bytes(), path.stat().st_mtime) for path in paths}

    def _write(self, files: dict[str, File]) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, file in files.items():
            part = self._directory / f".{name}.{os.getpid()}.new"
            part.unlink(missing_ok=True)
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
                target.write(file.content)
            os.utime(part, (file.at, file.at))
            part.rename(self._directory / name)
        for path in self._directory.iterdir():
            if path.name not in files and not path.name.startswith("."):
                path.unlink(missing_ok=True)


def share(db: Database, settings: Settings, name: str, directory: Path) -> SharedFolder | None:
    """Return a folder that all processes of the control plane share; None where the settings have none shared.

    :raises SettingsError: when the secret is too short to be one.
    """
    if not settings.secret:
        return None
    if len(settings.secret) < SECRET_MIN:
        raise SettingsError(f"Setting secret: it has fewer than {SECRET_MIN} characters.")
    return SharedFolder(db, settings.secret, name, directory)


def _key(secret: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.scrypt(secret.encode(), salt=SALT, **SCRYPT))
