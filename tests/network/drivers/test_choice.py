"""Which driver a host's networks are made by: as the settings say, and always the same while there are any."""

from pathlib import Path

import pytest

from pileus import drivers
from pileus.kernel.settings import Settings
from pileus.network.drivers.linux.host import LinuxNetworkHost
from pileus.network.drivers.ovs.host import OvsNetworkHost
from tests.network.drivers.guests import with_switch

pytestmark = [pytest.mark.host, with_switch]


def settings_of(folder: Path, **changes: str) -> Settings:
    return Settings(state_dir=str(folder), name="choice", hypervisor="fake", volume_backends="fake", **changes)  # type: ignore[arg-type]


def test_a_host_keeps_its_driver(tmp_path: Path) -> None:
    bridges, switch = settings_of(tmp_path), settings_of(tmp_path, network_driver="ovs")
    hosts = drivers.build(bridges)
    assert isinstance(hosts.roles[bridges.host]["network"], LinuxNetworkHost)
    assert hosts.facts(bridges)[bridges.host] == {"network": "linux"}
    hosts.close()
    with pytest.raises(drivers.HostUnusable, match="made by network_driver linux"):
        drivers.build(switch)
    drivers.build(bridges).close()
    (tmp_path / "network" / "driver").write_text("")  # whoever wrote it was killed
    drivers.build(bridges).close()
    assert (tmp_path / "network" / "driver").read_text() == "linux"


def test_a_switch_is_chosen_by_setting(tmp_path: Path) -> None:
    switch = settings_of(tmp_path, network_driver="ovs")
    hosts = drivers.build(switch)
    made = hosts.roles[switch.host]["network"]
    assert isinstance(made, OvsNetworkHost)
    assert hosts.facts(switch)[switch.host]["datapath"] == ("netdev" if made.plain_frames else "system")
    hosts.close()
    with pytest.raises(drivers.HostUnusable, match="ipip"):
        drivers.build(settings_of(tmp_path, network_driver="ovs", tunnel_type="ipip"))


def test_networks_made_before_there_was_a_choice_are_bridges(tmp_path: Path) -> None:
    (tmp_path / "network" / "network").mkdir(parents=True)
    with pytest.raises(drivers.HostUnusable, match="made by network_driver linux"):
        drivers.build(settings_of(tmp_path, network_driver="ovs"))
