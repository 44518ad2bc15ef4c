"""What a machine does as a host is chosen by a setting."""

from pathlib import Path

import pytest

from pileus import drivers
from pileus.kernel.settings import Settings


def roles_of(folder: Path, roles: str) -> tuple[dict[str, set[str]], dict[str, dict[str, str]]]:
    settings = Settings(
        state_dir=str(folder), hypervisor="fake", network_driver="fake", volume_backends="one=fake", host_name="h", roles=roles
    )
    hosts = drivers.build(settings)
    try:
        return {name: set(found) for name, found in hosts.roles.items()}, hosts.facts(settings)
    finally:
        hosts.close()


def test_a_host_does_what_it_is_told(tmp_path: Path) -> None:
    everything = {"h": {"hypervisor", "network"}, "h@one": {"volume"}}
    assert roles_of(tmp_path, "compute,network,volume") == (everything, {"h": {"network": "fake"}})
    assert roles_of(tmp_path, "volume") == ({"h@one": {"volume"}}, {})
    assert roles_of(tmp_path, "network") == ({"h": {"network"}}, {"h": {"network": "fake"}})
    assert roles_of(tmp_path, "compute, volume") == (everything, {"h": {"network": "fake", "routes": "no"}})


@pytest.mark.parametrize("roles", ["", "compute,dashboard", " , "])
def test_what_is_no_role_is_refused(tmp_path: Path, roles: str) -> None:
    with pytest.raises(drivers.HostUnusable, match="compute, network, volume"):
        roles_of(tmp_path, roles)


def test_a_host_for_volumes_needs_no_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)  # guests and networks need root; volumes in files do not
    settings = Settings(state_dir=str(tmp_path), volume_backends="one=fake", host_name="h", roles="volume")
    hosts = drivers.build(settings)
    assert list(hosts.roles) == ["h@one"]
    hosts.close()
