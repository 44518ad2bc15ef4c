"""What `pileus settings` shows, and what it keeps to itself."""

from dataclasses import fields

import pytest
from click.testing import CliRunner

from pileus.cli.group import main
from pileus.kernel.settings import Settings


def shown(tmp_path, monkeypatch, name: str, value: str) -> str:
    monkeypatch.setenv(f"PILEUS_{name.upper()}", value)
    done = CliRunner().invoke(main, ["--state-dir", str(tmp_path), "settings"])
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith(f"{name} = ")]
    return line.partition(" = ")[2]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("secret", "the secret of the cloud", "'***'"),
        ("secret", "", "''"),
        ("database_url", "postgresql+psycopg://pileus:hush@db/pileus", "'postgresql+psycopg://pileus:***@db/pileus'"),
        ("database_url", "postgresql+psycopg://pileus@db/pileus", "'postgresql+psycopg://pileus@db/pileus'"),
        ("database_url", "postgresql+psycopg://db/p?user=u&password=hush", "'postgresql+psycopg://db/p?user=u&password=***'"),
        ("database_url", "mysql://u:hu@sh/hush@db/p", "'mysql://u:***@db/p'"),
        ("bus_url", "amqps://pileus:hush@mq//", "'amqps://pileus:***@mq//'"),
        (
            "object_tempauth_users", "test:tester:hush:.admin x,a:b:hush",
            "'test:tester:***:.admin x,a:b:***'",
        ),
        ("object_tempauth_users", "hush", "'***'"),
        ("object_encryption_secrets", "k2:hush==,k1:hush", "'k2:***,k1:***'"),
        ("object_encryption_secrets", "hush", "'***'"),
        ("object_identity_password", "hush", "'***'"),
        ("volume_backup_url", "https://u:hush@h/identity/v3?project=p", "'https://u:***@h/identity/v3?project=p'"),
        ("image_stores", "a=file,b=swift:https://u:hush@h/auth/v1.0", "'a=file,b=swift:https://u:***@h/auth/v1.0'"),
        ("listen", "127.0.0.1:9", "'127.0.0.1:9'"),
        ("object_account_rate", "2.5", "2.5"),
    ],
)  # fmt: skip
def test_secrets_are_masked_and_the_rest_is_not(tmp_path, monkeypatch, name: str, value: str, said: str) -> None:
    assert shown(tmp_path, monkeypatch, name, value).partition(" [")[0] == said


def test_no_setting_that_sounds_secret_is_shown(tmp_path, monkeypatch) -> None:
    """A new setting for a secret has to say how it is hidden."""
    sounds = ("password", "secret", "key")
    about = [field.name for field in fields(Settings) if str(field.type) in ("str", "<class 'str'>")]
    suspects = [name for name in about if any(word in name for word in sounds) and not name.startswith("password_")]
    assert len(suspects) >= 3
    for name in suspects:
        assert "hush" not in shown(tmp_path, monkeypatch, name, "hush")
