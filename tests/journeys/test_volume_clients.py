"""Block storage by its official clients, `cinder` and `openstack volume`, as they are: a cloud of fake hosts and back ends.

The clients run in this process, through what their programs call: to start one for each command would cost more than all else.
"""

import contextlib
import io
import json
import re
import secrets
from dataclasses import dataclass

import pytest
from cinderclient.shell import OpenStackCinderShell
from openstackclient.shell import OpenStackShell
from osc_lib.clientmanager import ClientCache, ClientManager

from tests.journeys.conftest import RealCloud, free_port, until

pytestmark = [
    pytest.mark.host, pytest.mark.xdist_group("fake-cloud"), pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:The ClientCache class"),
]  # fmt: skip


@dataclass
class FakeCloud(RealCloud):
    """A cloud that starts no guest and keeps volumes in memory."""

    @property
    def environment(self):
        fake = {"HYPERVISOR": "fake", "NETWORK_DRIVER": "fake", "VOLUME_BACKENDS": "fake,more=fake"}
        return {**super().environment, **{f"PILEUS_{name}": value for name, value in fake.items()}}


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    number = secrets.randbelow(200) + 20
    cloud = FakeCloud(
        tmp_path_factory.mktemp("fakes") / "state", f"plv{number}", f"127.0.0.1:{free_port()}", f"172.26.{number}.0/24"
    )
    cloud.up()
    try:
        yield cloud
    finally:
        cloud.pileus("down", "--purge", "--yes")


class Client:
    """A command-line client: what it prints, by what it is told.  A command that fails makes the test fail, unless it must."""

    def __init__(self, monkeypatch, variables, run) -> None:
        self.monkeypatch, self.run = monkeypatch, run
        self.variables = {user: {k: v for k, v in given.items() if k.startswith("OS_")} for user, given in variables.items()}

    def words_for(self, user: str) -> list[str]:
        """What a client is told of the user, beside its environment."""
        return []

    def __call__(self, *words: str, user: str = "demo", fails: bool = False) -> str:
        for name, value in self.variables[user].items():
            self.monkeypatch.setenv(name, value)
        out, told = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
            try:
                failed = bool(self.run([*self.words_for(user), *words]))
            except SystemExit as error:
                failed = bool(error.code)
            except Exception as error:  # how cinder's shell says no
                told.write(repr(error))
                failed = True
        assert failed == fails, f"{words}: {out.getvalue()} {told.getvalue()}"
        return told.getvalue() if fails else out.getvalue()


class Cinder(Client):
    def field(self, text: str, name: str) -> str:
        return re.search(rf"^\| {re.escape(name)} +\| (.*?) +\|", text, re.M)[1]

    def make(self, *words: str, **more) -> str:
        """Run a command that makes something; returns its id."""
        return self.field(self(*words, **more), "id")

    def settled(self, command: str, id: str, status: str = "available") -> None:
        def look():
            now = self.field(self(command, id), "status")
            assert "error" not in now, (command, id, now)
            return now == status

        until(look)


class OpenStack(Client):
    def words_for(self, user: str) -> list[str]:
        """All of it, and without what the user before was connected by: a process of this client has one user alone."""
        for found in vars(ClientManager).values():
            if isinstance(found, ClientCache):
                found._handle = None
        return [f"--{name.lower().replace('_', '-')}={value}" for name, value in self.variables[user].items()]

    def ask(self, *words: str, **more):
        return json.loads(self(*words, "-f", "json", **more))

    def settled(self, *words: str, status: str = "available") -> None:
        until(lambda: self.ask(*words)["status"] == status)

    def gone(self, name: str, *words: str) -> None:
        until(lambda: name not in [each["Name"] for each in self.ask(*words)])


@pytest.fixture
def users(fake):
    return {user: fake.openrc(user) for user in ("demo", "admin")}


@pytest.fixture
def cinder(monkeypatch, users):
    return Cinder(monkeypatch, users, lambda words: OpenStackCinderShell().main(["--os-volume-api-version", "3.70", *words]))


@pytest.fixture
def openstack(monkeypatch, users):
    return OpenStack(monkeypatch, users, lambda words: OpenStackShell().run(["--os-volume-api-version", "3.70", *words]))


def test_a_volume_its_snapshots_and_its_copies(cinder):
    volume = cinder.make("create", "--name", "one", "--metadata", "a=b", "1")
    cinder.settled("show", volume)
    cinder("metadata", volume, "set", "k=v")
    assert cinder.field(cinder("metadata-show", volume), "k") == "v"
    cinder("image-metadata", volume, "set", "os=linux")
    cinder("rename", volume, "first")
    cinder("set-bootable", volume, "true")
    cinder("extend", volume, "2")
    cinder.settled("show", volume)
    shown = cinder("show", volume)
    assert [cinder.field(shown, name) for name in ("name", "size", "bootable")] == ["first", "2", "true"]
    snapshot = cinder.make("snapshot-create", "--name", "shot", volume)
    cinder.settled("snapshot-show", snapshot)
    cinder("revert-to-snapshot", snapshot)
    cinder.settled("show", volume)
    copies = [cinder.make("create", "--snapshot-id", snapshot), cinder.make("create", "--source-volid", volume)]
    for copy in copies:
        cinder.settled("show", copy)
    cinder("delete", volume, fails=True)
    cinder("delete", "--cascade", volume)
    cinder("delete", *copies)
    until(lambda: volume not in cinder("list"))


def test_backups_and_records(cinder):
    volume = cinder.make("create", "--name", "kept", "1")
    cinder.settled("show", volume)
    whole = cinder.make("backup-create", volume)
    cinder.settled("backup-show", whole)
    later = cinder.make("backup-create", "--incremental", volume)
    cinder.settled("backup-show", later)
    restored = cinder.field(cinder("backup-restore", "--name", "again", later), "volume_id")
    cinder.settled("show", restored)
    record = cinder("backup-export", whole, user="admin")
    told = cinder("backup-import", cinder.field(record, "backup_service"), cinder.field(record, "backup_url"),
                  user="admin", fails=True)  # fmt: skip
    assert "BadRequest" in told
    cinder("backup-delete", later)
    until(lambda: later not in cinder("backup-list"))
    cinder("backup-delete", whole)
    cinder("delete", volume, restored)


def test_types_qos_encryption_and_a_move(cinder):
    there = {"user": "admin"}
    for name, backend in (("here", "fake"), ("there", "more")):
        cinder("type-create", name, **there)
        cinder("type-key", name, "set", f"volume_backend_name={backend}", **there)
    cinder("type-create", "sealed", **there)
    cinder("encryption-type-create", "--cipher", "aes-xts-plain64", "--key-size", "256", "sealed", "luks", **there)
    sealed = cinder.make("create", "--volume-type", "sealed", "1")
    cinder.settled("show", sealed)
    assert cinder.field(cinder("show", sealed), "encrypted") == "True"
    specs = cinder.field(cinder("qos-create", "slow", "consumer=front-end", "read_iops_sec=9", **there), "id")
    kind = cinder.field(cinder("type-show", "here", **there), "id")
    cinder("qos-associate", specs, kind, **there)
    assert "here" in cinder("qos-get-association", specs, **there)
    cinder("qos-disassociate", specs, kind, **there)
    volume = cinder.make("create", "--volume-type", "here", "1")
    cinder.settled("show", volume)
    cinder("retype", "--migration-policy", "on-demand", volume, "there", **there)
    until(lambda: "@more#more" in cinder("show", volume, **there))
    cinder.settled("show", volume)
    assert cinder.field(cinder("show", volume), "volume_type") == "there"
    cinder("delete", volume, sealed)
    until(lambda: volume not in cinder("list") and sealed not in cinder("list"))
    cinder("qos-delete", specs, **there)
    cinder("type-delete", "here", "there", "sealed", **there)


def test_groups(cinder):
    cinder("group-type-create", "bound", user="admin")
    cinder("group-type-key", "bound", "set", "consistent_group_snapshot_enabled=<is> True", user="admin")
    group = cinder.make("group-create", "--name", "g", "bound", "__DEFAULT__")
    cinder.settled("group-show", group)
    cinder.settled("show", cinder.make("create", "--group-id", group, "--volume-type", "__DEFAULT__", "1"))
    snapshot = cinder.make("group-snapshot-create", group)
    cinder.settled("group-snapshot-show", snapshot)
    copy = cinder.make("group-create-from-src", "--group-snapshot", snapshot)
    cinder.settled("group-show", copy)
    cinder("group-failover-replication", group, user="admin", fails=True)
    cinder("group-snapshot-delete", snapshot)
    until(lambda: snapshot not in cinder("group-snapshot-list"))
    cinder("group-delete", "--delete-volumes", group, copy)
    until(lambda: group not in cinder("group-list") and copy not in cinder("group-list"))
    cinder("group-type-delete", "bound", user="admin")


def test_an_operator_looks_around(cinder):
    for command in (
        "service-list", "get-pools", "cluster-list", "quota-class-show default", "message-list", "list-filters", "rate-limits",
        "absolute-limits", "availability-zone-list", "version-list", "list-extensions", "service-get-log", "extra-specs-list",
        "summary", "transfer-list", "attachment-list", "default-type-list", "consisgroup-list", "cgsnapshot-list", "work-cleanup",
    ):  # fmt: skip
        cinder(*command.split(), user="admin")
    host = re.search(r"cinder-volume +\| (\S+@fake)", cinder("service-list", user="admin"))[1]
    cinder("freeze-host", host, user="admin")
    cinder("thaw-host", host, user="admin")
    cinder("failover-host", host, user="admin", fails=True)
    cinder("service-list", fails=True)


def test_the_other_client(openstack):
    openstack("volume", "create", "--size", "1", "--property", "a=b", "osc")
    openstack.settled("volume", "show", "osc")
    openstack("volume", "set", "--name", "osc2", "--bootable", "--size", "2", "osc")
    openstack.settled("volume", "show", "osc2")
    openstack("volume", "snapshot", "create", "--volume", "osc2", "shot")
    openstack.settled("volume", "snapshot", "show", "shot")
    openstack("volume", "create", "--snapshot", "shot", "copy")
    openstack.settled("volume", "show", "copy")
    openstack("volume", "backup", "create", "--name", "saved", "copy")
    openstack.settled("volume", "backup", "show", "saved")
    openstack("volume", "backup", "restore", "saved", "back")
    openstack.settled("volume", "show", "back")
    offer = openstack.ask("volume", "transfer", "request", "create", "copy")
    openstack("volume", "transfer", "request", "accept", "--auth-key", offer["auth_key"], offer["id"], user="admin")
    openstack("volume", "delete", "copy", user="admin")
    openstack("volume", "snapshot", "delete", "shot")
    openstack("volume", "backup", "delete", "saved")
    openstack.gone("shot", "volume", "snapshot", "list")
    openstack("volume", "delete", "osc2", "back")
    openstack.gone("osc2", "volume", "list")


def test_the_other_client_of_an_admin(openstack):
    there = {"user": "admin"}
    openstack("volume", "type", "create", "--private", "--property", "volume_backend_name=fake", "osc", **there)
    openstack("volume", "type", "set", "--project", "demo", "osc", **there)
    assert "osc" in [kind["Name"] for kind in openstack.ask("volume", "type", "list")]
    openstack("volume", "qos", "create", "--consumer", "back-end", "--property", "x=y", "osc", **there)
    openstack("volume", "qos", "associate", "osc", "osc", **there)
    openstack("volume", "qos", "disassociate", "--all", "osc", **there)
    openstack("volume", "qos", "delete", "osc", **there)
    openstack("volume", "type", "delete", "osc", **there)
    openstack("consistency", "group", "create", "--volume-type", "__DEFAULT__", "old")
    until(lambda: openstack.ask("consistency", "group", "show", "old")["status"] == "available")
    openstack("consistency", "group", "delete", "old")
    for command in (
        "volume service list", "volume backend pool list --long", "volume message list", "volume summary", "quota show --volume",
        "volume group list", "volume group type list", "volume group snapshot list", "volume attachment list",
        "block storage cluster list", "block storage resource filter list", "block storage log level list",
        "consistency group snapshot list",
    ):  # fmt: skip
        openstack.ask(*command.split(), **there)
    openstack("quota", "set", "--volumes", "12", "demo", **there)
    assert "12" in openstack("quota", "show", "--volume", "demo", **there)
    openstack("volume", "service", "list", fails=True)
