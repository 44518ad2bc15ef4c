"""The commands of the official CLI, as the tutorials have them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.host, pytest.mark.xdist_group("real-cloud"), pytest.mark.timeout(300)]

OPENSTACK = str(Path(sys.executable).parent / "openstack")


@pytest.fixture(scope="module")
def run(real):
    environment = {project: real.openrc(project) for project in ("demo", "admin")}

    def ask(*command: str, project: str = "demo"):
        done = subprocess.run(
            [OPENSTACK, *command], env=environment[project], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if "-f" in command and done.stdout.strip() else done.stdout

    return ask


JSON = ("-f", "json")


def test_tokens_and_the_catalog(run):
    assert run("token", "issue", *JSON)["project_id"]
    assert {entry["Type"] for entry in run("catalog", "list", *JSON)} >= {"identity", "image", "compute", "network", "placement"}


def test_a_network_a_server_and_an_address(run, tmp_path):
    run("network", "create", "tour")
    run("subnet", "create", "--network", "tour", "--subnet-range", "10.5.0.0/24", "tour-subnet")
    run("router", "create", "tour-router")
    run("router", "set", "--external-gateway", "public", "tour-router")
    run("router", "add", "subnet", "tour-router", "tour-subnet")
    run("security", "group", "create", "tour-group")
    run("security", "group", "rule", "create", "--proto", "tcp", "--dst-port", "22", "tour-group")
    private = tmp_path / "key.pem"
    private.write_text(run("keypair", "create", "tour-key"))
    assert "PRIVATE KEY" in private.read_text()
    run(
        "server", "create", "--image", "cirros-pileus", "--flavor", "m1.nano", "--network", "tour", "--key-name", "tour-key",
        "--security-group", "tour-group", "--wait", "tour-server",
    )  # fmt: skip
    assert run("server", "show", "tour-server", *JSON)["status"] == "ACTIVE"
    address = run("floating", "ip", "create", "public", *JSON)["floating_ip_address"]
    run("server", "add", "floating", "ip", "tour-server", address)
    assert address in json.dumps(run("server", "show", "tour-server", *JSON)["addresses"])
    run("console", "log", "show", "tour-server")
    run("server", "delete", "--wait", "tour-server")
    run("floating", "ip", "delete", address)
    run("router", "remove", "subnet", "tour-router", "tour-subnet")
    run("router", "delete", "tour-router")
    run("network", "delete", "tour")
    run("security", "group", "delete", "tour-group")
    run("keypair", "delete", "tour-key")
    assert run("server", "list", "--name", "tour", *JSON) == []


def test_an_admin_looks_around(run):
    assert run("hypervisor", "list", *JSON, project="admin")
    assert run("compute", "service", "list", *JSON, project="admin")
    assert run("network", "agent", "list", *JSON, project="admin")
    assert {flavor["Name"] for flavor in run("flavor", "list", *JSON)} >= {"m1.tiny", "m1.nano", "m1.xlarge"}
    run("project", "create", "tour-project", project="admin")
    run("project", "delete", "tour-project", project="admin")


def test_a_user_may_not(run, real):
    done = subprocess.run(
        [OPENSTACK, "user", "list"], env=real.openrc("demo"), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "403" in done.stderr
