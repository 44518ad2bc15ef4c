"""Secret files that several processes share by way of the database: the same everywhere, also while they change."""

from pathlib import Path

import pytest

from pileus import certificates
from pileus.kernel import keyring, vault
from pileus.kernel.keyring import BadToken, KeyRing
from pileus.kernel.settings import Settings, SettingsError
from pileus.nodes.service import authority_of

SECRET = "sixteen characters, or more"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(keyring, "LOOK_AGAIN_SECONDS", -1.0)


@pytest.fixture
def machine(lab, tmp_path):
    """Makes the keys of a process on a machine of its own."""

    def made(name: str, secret: str = SECRET) -> KeyRing:
        ring = KeyRing(tmp_path / name / "keys")
        ring.share(vault.share(lab.cloud.db, settings_of(tmp_path / name, secret), "trial keys", ring.directory))
        return ring

    return made


def settings_of(state_dir: Path, secret: str = SECRET) -> Settings:
    return Settings(state_dir=str(state_dir), secret=secret)


def files(directory: Path) -> dict[str, tuple[bytes, float, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime, path.stat().st_mode) for path in directory.iterdir()}


def test_keys_are_the_same_on_each_machine(machine):
    one, two = machine("one"), machine("two")
    one.ensure(1000.0)
    two.ensure(2000.0)
    assert files(one.directory) == files(two.directory)
    assert two.primary_since() == 1000.0
    assert {mode & 0o777 for _, _, mode in files(two.directory).values()} == {0o600}
    assert two.decrypt(one.encrypt(b"hello", 1.0), 1.0) == b"hello"


def test_a_rotation_reaches_the_others(machine):
    one, two = machine("one"), machine("two")
    one.ensure(1000.0)
    two.ensure(1000.0)
    old = two.encrypt(b"old", 1.0)
    for _ in range(3):  # two knows nothing of these, not even of the staged key
        one.rotate(2000.0, keep=5)
    assert two.decrypt(one.encrypt(b"new", 1.0), 1.0) == b"new"
    assert one.decrypt(old, 1.0) == b"old"
    two.rotate(3000.0, keep=5)
    one.ensure(3000.0)
    assert files(one.directory) == files(two.directory)


def test_of_two_rotations_at_once_one_counts(machine):
    one, two = machine("one"), machine("two")
    one.ensure(1000.0)
    two.ensure(1000.0)
    one._shared.pull = lambda: True  # it has looked, and is slow
    two.rotate(2000.0, keep=5)
    assert not one._shared.push()
    del one._shared.pull
    one.ensure(2000.0)
    assert files(one.directory) == files(two.directory)


def test_keys_that_were_here_before_they_were_shared_are_kept(machine, tmp_path):
    before = KeyRing(tmp_path / "one" / "keys")
    text = before.encrypt(b"before", 1.0)
    one, two = machine("one"), machine("two")
    one.ensure(1000.0)
    two.ensure(1000.0)
    assert two.decrypt(text, 1.0) == b"before"


def test_another_secret_opens_nothing(machine):
    machine("one").ensure(1000.0)
    with pytest.raises(SettingsError, match="another secret"):
        machine("two", "another one that is long enough").ensure(1000.0)
    with pytest.raises(SettingsError, match="characters"):
        machine("three", "short")


def test_what_lies_in_the_database_is_sealed(machine, lab):
    ring = machine("one")
    ring.ensure(1000.0)
    with lab.cloud.db.read() as tx:
        kept = tx.execute(vault.vault.select()).one()
    assert all(key.decode() not in kept.sealed for key, _, _ in files(ring.directory).values())
    with pytest.raises(BadToken):
        ring.decrypt(kept.sealed, 1.0)


def test_machines_have_one_authority(lab, tmp_path):
    one = authority_of(lab.cloud.db, settings_of(tmp_path / "one"))
    certificates.own_identity(tmp_path / "two", "machine2")  # it had one of its own
    two = authority_of(lab.cloud.db, settings_of(tmp_path / "two"))
    assert one.fingerprint == two.fingerprint
    identity = certificates.own_identity(tmp_path / "two", "machine2")
    assert identity.authority_pem == one.pem
    identity.context(server=True)


def test_without_a_secret_each_state_directory_has_its_own(lab, tmp_path):
    one, two = (authority_of(lab.cloud.db, settings_of(tmp_path / name, "")) for name in ("one", "two"))
    one.ensure()
    two.ensure()
    assert one.fingerprint != two.fingerprint
