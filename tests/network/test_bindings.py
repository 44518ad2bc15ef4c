"""How ports of hosts are bound, and what their agents are called, by what makes the networks of a host."""

import shutil
from dataclasses import replace

import pytest

from pileus.kernel.bus import LocalBus
from pileus.network.schemas import answers
from pileus.network.store import agents as agents_store
from pileus.network.store import ports as ports_store
from pileus.network.tables import ports
from tests import engines
from tests.conftest import make_lab
from tests.network.test_api import Api


@pytest.fixture
def switched(template_state, tmp_path):
    """A cloud whose setting is Open vSwitch."""
    shutil.copytree(template_state, tmp_path / "state")
    made = make_lab(tmp_path / "state", network_driver="ovs")
    yield made
    made.app.close()
    made.cloud.db.dispose()
    engines.drop(tmp_path / "state")


def bound_port(lab):
    admin = Api(lab.client("admin"))
    network, _ = Api(lab.client("demo")).network()
    port = admin.make("port", network_id=network["id"], **{"binding:host_id": "host1"})
    return admin, port


def kinds(lab):
    agents_store.beat(lab.cloud, ["host1"])
    agents = Api(lab.client("admin")).call("GET", "agents")["agents"]
    return {each["agent_type"]: each["binary"] for each in agents}


def test_a_switch_is_shown_as_one(switched):
    admin, port = bound_port(switched)
    assert port["binding:vif_type"] == "ovs"
    details = port["binding:vif_details"]
    assert (details["bridge_name"], details["ovs_hybrid_plug"], details["port_filter"]) == ("br-int", False, True)
    unbound = admin.make("port", network_id=port["network_id"])
    assert (unbound["binding:vif_type"], unbound["binding:vif_details"]) == ("unbound", {})
    assert set(kinds(switched)) == {"Open vSwitch agent", "DHCP agent", "L3 agent", "Metadata agent"}
    assert kinds(switched)["Open vSwitch agent"] == "neutron-openvswitch-agent"


def test_bridges_are_shown_as_such(lab):
    _, port = bound_port(lab)
    assert port["binding:vif_type"] == "bridge"
    assert "bridge_name" not in port["binding:vif_details"]
    assert set(kinds(lab)) == {"Linux bridge agent", "DHCP agent", "L3 agent", "Metadata agent"}


def test_a_host_says_itself_what_it_has(lab):
    _, port = bound_port(lab)
    facts = {"host1": {"network": "ovs", "datapath": "netdev"}}
    lab.cloud = replace(lab.cloud, bus=LocalBus({"host1": {"network": lab.network_host}}, facts))
    with lab.cloud.db.read() as tx:
        [found] = ports_store.ports_where(tx, ports.c.id == port["id"])
    shown = answers.ports(lab.ctx("admin"))(found)
    assert shown["binding:vif_type"] == "ovs"
    assert shown["binding:vif_details"]["datapath_type"] == "netdev"
    assert "Open vSwitch agent" in kinds(lab)
