"""The cipher under which the keys of encrypted volumes lie in the database: its own key files are no part of that.

(Shared ones are in the database, sealed with a secret of the settings.)
So a copy of the database alone opens no volume, and a volume whose row in `volume_keys` is gone can be opened by nobody.
"""

from pathlib import Path

from pileus.kernel import vault
from pileus.kernel.clock import Clock
from pileus.kernel.context import Cloud
from pileus.kernel.keyring import BadToken, KeyRing


class KeyLost(Exception):
    """A volume's key cannot be read: it is not there, or the key files are not those that it was written with."""


class VolumeKeys:
    """Seals and opens the keys of volumes.  `Cloud.parts` holds it."""

    def __init__(self, state_dir: Path) -> None:
        self._ring = KeyRing(state_dir / "volume-keys")

    def share(self, cloud: Cloud) -> None:
        """Have the key files that all processes of the cloud have, where they share any."""
        if shared := vault.share(cloud.db, cloud.settings, "volume keys", self._ring.directory):
            self._ring.share(shared)
            self._ring.ensure(cloud.clock.now())

    def seal(self, key: str, clock: Clock) -> str:
        """Encrypt a volume's key for the database."""
        return self._ring.encrypt(key.encode(), clock.now())

    def unseal(self, sealed: str, clock: Clock) -> str:
        """Return a volume's key.  :raises KeyLost: when it was sealed with key files that are not here."""
        try:
            return self._ring.decrypt(sealed, clock.now()).decode()
        except BadToken:
            raise KeyLost("The key of the volume was sealed with other key files than those of this cloud.") from None
