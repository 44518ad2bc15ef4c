"""What operators and users do to networks with the official CLI, many commands in one session of it."""

import json
import re
import shlex
import subprocess

import pytest

from tests.journeys.test_openstack_cli import OPENSTACK

pytestmark = [pytest.mark.host, pytest.mark.xdist_group("real-cloud"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def session(real):
    environment = {project: real.openrc(project) for project in ("demo", "admin")}

    def ask(*commands: str, project: str = "demo") -> str:
        """Give commands to one process (its status says nothing of them); whatever they complain of fails the test."""
        done = subprocess.run(
            [OPENSTACK], env=environment[project], input="\n".join(commands) + "\n", capture_output=True, text=True,
            timeout=240, check=False,
        )  # fmt: skip
        complaints = [line for line in done.stderr.splitlines() if line.strip() and "Warning" not in line]
        assert not complaints, "\n".join(complaints)
        return done.stdout

    return ask


def shown(text: str) -> list:
    """The JSON documents among what a session printed; each begins a line, which tables do not."""
    decoder, found = json.JSONDecoder(), []
    for start in re.finditer(r"^[\[{]$|^\[\]$", text, re.MULTILINE):
        found.append(decoder.raw_decode(text, start.start())[0])
    return found


def test_complaints_are_heard(session):
    with pytest.raises(AssertionError, match="no-such-network"):
        session("network show no-such-network")


def test_quality_of_service_and_sharing(session, real):
    admin = real.connect("admin")
    demo = admin.identity.find_project("demo").id
    said = session(
        f"network qos policy create --project {demo} cli-slow",
        "network qos rule create --type bandwidth-limit --max-kbps 5000 --max-burst-kbits 4000 --egress cli-slow",
        "network qos rule create --type dscp-marking --dscp-mark 26 cli-slow",
        "network qos policy show cli-slow -f json",
        "network qos rule type list -f json",
        "network create cli-shared",
        f"network rbac create --target-project {demo} --action access_as_shared --type network cli-shared",
        "network rbac list -f json",
        project="admin",
    )
    policy, types, shares = shown(said)[:3]
    assert {rule["type"] for rule in policy["rules"]} == {"bandwidth_limit", "dscp_marking"}
    assert {each["Type"] for each in types} == {"bandwidth_limit", "dscp_marking"}
    assert any(each["Object Type"] == "network" for each in shares)
    said = session(
        "network show cli-shared -f json",
        "network create cli-net --qos-policy cli-slow",
        "subnet create --network cli-net --subnet-range 10.61.0.0/24 cli-subnet",
        "port create --network cli-net --qos-policy cli-slow cli-port",
        "port show cli-port -f json",
        "port unset --qos-policy cli-port",
        "port delete cli-port",
        "network delete cli-net",
    )
    network, port = shown(said)[:2]
    assert network["shared"] is True
    assert port["qos_policy_id"] == port["qos_network_policy_id"] == policy["id"]
    share = next(each["ID"] for each in shares if each["Object Type"] == "network" and each["Object ID"] == network["id"])
    session(
        f"network rbac delete {share}", "network delete cli-shared", "network qos policy delete cli-slow", project="admin"
    )  # fmt: skip


def test_trunks_forwarded_ports_and_address_groups(session):
    said = session(
        "network create cli-a",
        "subnet create --network cli-a --subnet-range 10.62.0.0/24 cli-a-subnet",
        "router create cli-router",
        "router set --external-gateway public cli-router",
        "router add subnet cli-router cli-a-subnet",
        "port create --network cli-a cli-parent",
        "port create --network cli-a cli-child",
        "network trunk create --parent-port cli-parent "
        "--subport port=cli-child,segmentation-type=vlan,segmentation-id=7 cli-trunk",
        "network trunk show cli-trunk -f json",
        "network subport list --trunk cli-trunk -f json",
        "network trunk unset --subport cli-child cli-trunk",
        "network trunk delete cli-trunk",
        "floating ip create public --description cli-fip -f json",
        "address group create --address 192.0.2.0/24 cli-group",
        "address group set --address 198.51.100.0/24 cli-group",
        "address group show cli-group -f json",
        "security group create cli-sg",
        "security group rule create --ingress --protocol tcp --dst-port 443 --remote-address-group cli-group cli-sg",
        "security group delete cli-sg",
        "address group delete cli-group",
        "port delete cli-child",
    )
    trunk, carried, floating, group = shown(said)[:4]
    assert trunk["status"] == "DOWN"
    assert carried[0]["Segmentation ID"] == 7
    assert group["addresses"] == ["192.0.2.0/24", "198.51.100.0/24"]
    address = floating["id"]
    said = session(
        f"floating ip port forwarding create --internal-ip-address {_address(session)} --port cli-parent "
        f"--internal-protocol-port 22 --external-protocol-port 2222 --protocol tcp {address} -f json",
        f"floating ip port forwarding list {address} -f json",
    )
    made, listed = shown(said)[:2]
    assert (made["external_port"], listed[0]["Internal Port"]) == (2222, 22)
    session(
        f"floating ip port forwarding set --port cli-parent --internal-ip-address {made['internal_ip_address']} "
        f"--internal-protocol-port 23 --external-protocol-port 2223 --protocol tcp {address} {made['id']}",
        f"floating ip port forwarding delete {address} {made['id']}",
        f"floating ip delete {address}",
        "port delete cli-parent",
        "router remove subnet cli-router cli-a-subnet",
        "router delete cli-router",
        "network delete cli-a",
    )


def _address(session) -> str:
    port = shown(session("port show cli-parent -f json"))[0]
    return str(port["fixed_ips"][0]["ip_address"])


def test_meters_agents_and_flavors(session):
    said = session(
        "network meter create cli-meter",
        "network meter rule create --remote-ip-prefix 10.0.0.0/8 --egress cli-meter",
        "network meter rule list -f json",
        "network meter delete cli-meter",
        "network agent list --agent-type l3 -f json",
        "network agent list --network private -f json",
        "network agent list --router router1 -f json",
        "ip availability list -f json",
        "network flavor create --service-type L3_ROUTER_NAT cli-flavor",
        "network flavor profile create --driver pileus.network.drivers.linux -f json",
        "network flavor list -f json",
        "network flavor delete cli-flavor",
        "default security group rule list -f json",
        "network service provider list -f json",
        project="admin",
    )
    rules, routing, serving, routed, taken, profile, flavors, defaults, _ = shown(said)[:9]
    assert rules[0]["Direction"] == "egress"
    assert [each["ID"] for each in routed] == [each["ID"] for each in routing]
    assert serving[0]["Agent Type"] == "DHCP agent"
    assert any(each["Network Name"] == "private" and each["Used IPs"] for each in taken)
    assert flavors[0]["Name"] == "cli-flavor"
    assert len(defaults) >= 4
    session(f"network flavor profile delete {shlex.quote(profile['id'])}", project="admin")
