"""What tests of servers that move share: a cloud of three hosts, and where everything of a server is."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pileus.compute.service import hosts
from pileus.network.tasks import sync
from tests import engines
from tests.compute.servers_lab import prepare
from tests.compute.volumes_lab import VolumesLab
from tests.conftest import make_lab

ROOT = "/compute/v2.1"
HOSTS = ("host1", "host2", "host3")


class MovesLab(VolumesLab):
    """A lab of three hosts with an image, a network and block storage."""

    @property
    def manager(self) -> Any:
        """A manager of the project, in the newest microversion."""
        return self.lab.client("manager", {"X-OpenStack-Nova-API-Version": "latest"})

    def host(self, id: str) -> str | None:
        """Return the host that the API says a server is on."""
        found: str | None = self.show(id, self.admin)["OS-EXT-SRV-ATTR:host"]
        return found

    def act_as(self, persona: str, id: str, name: str, argument: Any = None, version: str = "latest") -> Any:
        """Ask for an action in the name of somebody, and let it be done."""
        client = self.lab.client(persona, {"X-OpenStack-Nova-API-Version": version})
        answer = self.act(id, name, argument, client)
        self.lab.settle()
        return answer

    def done(self, id: str, name: str, argument: Any = None, persona: str = "admin") -> None:
        """Ask for an action that is taken, and let it be done."""
        answer = self.act_as(persona, id, name, argument)
        assert answer.status_code in (200, 202, 204), answer.text

    def guests(self, id: str) -> dict[str, str]:
        """Return where a guest is, and how it looks there."""
        return {name: host.guests[id].power for name, host in self.lab.hypervisors.items() if id in host.guests}

    def running(self, id: str) -> list[str]:
        """Return the hosts where a guest runs: never more than one."""
        return [name for name, power in self.guests(id).items() if power in ("on", "paused")]

    def taps(self, id: str) -> list[str]:
        """Return the hosts that have the ports of a server."""
        sync.reconcile(self.lab.cloud)
        self.lab.settle()
        ports = [port["id"] for port in self.ports() if port["device_id"] == id]
        return [name for name, host in self.lab.network_hosts.items() if any(port in host.observe().ports for port in ports)]

    def used(self) -> dict[str, tuple[int, int, int]]:
        """Return what the hosts' usage is: vCPUs, MiB, GiB."""
        older = self.lab.client("admin", {"X-OpenStack-Nova-API-Version": "2.50"})
        found = older.get(f"{ROOT}/os-hypervisors/detail").json()["hypervisors"]
        return {
            each["hypervisor_hostname"]: (each["vcpus_used"], each["memory_mb_used"] - 512, each["local_gb_used"])
            for each in found
        }

    def migrations(self, query: str = "") -> list[Any]:
        """Return the migrations, the newest first."""
        return self.admin.get(f"{ROOT}/os-migrations{query}").json()["migrations"]

    def moved(self, id: str) -> tuple[str, str, str, str]:
        """Return type, status, source and destination of the newest migration of a server."""
        (last, *_) = self.migrations(f"?instance_uuid={id}")
        return last["migration_type"], last["status"], last["source_compute"], last["dest_compute"]

    def events(self, id: str) -> list[str]:
        """Return the events of what was asked last of a server, in order."""
        url = f"{ROOT}/servers/{id}/os-instance-actions"
        last = self.admin.get(url).json()["instanceActions"][0]
        found = self.admin.get(f"{url}/{last['request_id']}").json()["instanceAction"]["events"]
        return [event["event"] for event in found]

    def down(self, name: str, forced: bool = True) -> None:
        """Say that a host is down, or is not."""
        services = self.admin.get(f"{ROOT}/os-services?binary=nova-compute&host={name}").json()["services"]
        answer = self.admin.put(f"{ROOT}/os-services/{services[0]['id']}", json={"forced_down": forced})
        assert answer.status_code == 200, answer.text

    def disable(self, name: str) -> None:
        """Let a host take no more servers."""
        services = self.admin.get(f"{ROOT}/os-services?binary=nova-compute&host={name}").json()["services"]
        assert self.admin.put(f"{ROOT}/os-services/{services[0]['id']}", json={"status": "disabled"}).status_code == 200

    @contextmanager
    def away(self, name: str) -> Iterator[None]:
        """Have a host not answer for a while, as when its agent is gone."""
        kept = self.lab.cloud.bus._hosts.pop(name)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            self.lab.cloud.bus._hosts[name] = kept  # type: ignore[attr-defined]

    def nothing_left(self) -> bool:
        """Tell whether nothing is there of servers beside their rows."""
        guests = [id for host in self.lab.hypervisors.values() for id in host.guests]
        held = [each for each in self.used().values() if each != (0, 0, 0)]
        files = list((Path(self.lab.cloud.settings.state_dir) / "leaving").glob("*"))
        assert (guests, held, self.tasks(), self.ports(), files) == ([], [], [], [], [])
        return True

    def flavor(self, ram: int = 256, vcpus: int = 2, disk: int = 2, **more: Any) -> str:
        """Make a flavor."""
        wanted = {"name": f"f{ram}-{vcpus}-{disk}", "ram": ram, "vcpus": vcpus, "disk": disk, **more}
        answer = self.admin.post(f"{ROOT}/flavors", json={"flavor": wanted})
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["flavor"]["id"]
        return found


@contextmanager
def cloud_of_three(template_state: Path, tmp_path: Path, **settings: Any) -> Iterator[MovesLab]:
    """Make a cloud of three hosts."""
    state_dir = tmp_path / "state"
    shutil.copytree(template_state, state_dir)
    lab = make_lab(state_dir, hosts=3, **settings)
    hosts.refresh(lab.cloud)
    made = prepare(lab)
    yield MovesLab(lab, made.image, made.network, made.subnet)
    lab.app.close()
    lab.cloud.db.dispose()
    engines.drop(state_dir)
