"""What tests of servers share: a cloud with an image and a network, and short ways to ask for servers."""

from dataclasses import dataclass
from typing import Any

from starlette.testclient import TestClient

from tests.conftest import Lab

LATEST = {"X-OpenStack-Nova-API-Version": "latest"}
QCOW2_HEADER = b"QFI\xfb"


@dataclass
class ServersLab:
    """A lab with an image and a network of the demo project."""

    lab: Lab
    image: str
    network: str
    subnet: str

    @property
    def demo(self) -> TestClient:
        """A member of the project, in the newest microversion."""
        return self.lab.client("demo", LATEST)

    @property
    def admin(self) -> TestClient:
        """An admin, in the newest microversion."""
        return self.lab.client("admin", LATEST)

    def body(self, **changes: Any) -> dict[str, Any]:
        """The body of a request for a server; a change to None leaves a field out."""
        given = {"name": "one", "flavorRef": "42", "imageRef": self.image, "networks": [{"uuid": self.network}], **changes}
        return {"server": {key: value for key, value in given.items() if value is not None}}

    def post(self, client: TestClient | None = None, **changes: Any) -> Any:
        """Ask for a server."""
        return (client or self.demo).post("/compute/v2.1/servers", json=self.body(**changes))

    def boot(self, **changes: Any) -> str:
        """Make a server and let it become active."""
        answer = self.post(**changes)
        assert answer.status_code == 202, answer.text
        self.lab.settle()
        return answer.json()["server"]["id"]

    def show(self, id: str, client: TestClient | None = None) -> Any:
        """Return a server as it is shown, or None."""
        answer = (client or self.demo).get(f"/compute/v2.1/servers/{id}")
        return answer.json()["server"] if answer.status_code == 200 else None

    def act(self, id: str, name: str, argument: Any = None, client: TestClient | None = None) -> Any:
        """Ask for an action."""
        return (client or self.demo).post(f"/compute/v2.1/servers/{id}/action", json={name: argument})

    def delete(self, id: str) -> Any:
        """Delete a server."""
        answer = self.demo.delete(f"/compute/v2.1/servers/{id}")
        self.lab.settle()
        return answer

    def ports(self) -> list[Any]:
        """Return the ports of servers."""
        found = self.lab.client("admin").get("/network/v2.0/ports").json()["ports"]
        return [port for port in found if port["device_owner"].startswith("compute:") or not port["device_owner"]]

    def left_over(self) -> list[Any]:
        """Return what is there of servers beside their rows: nothing, where all were deleted."""
        return [*self.ports(), *self.lab.hypervisor.guests, *self.tasks()]

    def tasks(self) -> list[Any]:
        """Return the tasks of servers."""
        from sqlalchemy import select

        from pileus.kernel.tasks import tasks

        with self.lab.cloud.db.read() as tx:
            return list(tx.execute(select(tasks.c.id, tasks.c.step).where(tasks.c.program == "compute.server")))


def prepare(lab: Lab) -> ServersLab:
    """Make the image and the network."""
    demo = lab.client("demo")
    wanted = {"name": "small", "disk_format": "raw", "container_format": "bare"}
    image = demo.post("/image/v2/images", json=wanted).json()["id"]
    put = demo.put(f"/image/v2/images/{image}/file", content=bytes(4096), headers={"Content-Type": "application/octet-stream"})
    assert put.status_code == 204, put.text
    network = demo.post("/network/v2.0/networks", json={"network": {"name": "private"}}).json()["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24"}
    answer = demo.post("/network/v2.0/subnets", json={"subnet": subnet})
    assert answer.status_code == 201, answer.text
    lab.settle()
    return ServersLab(lab, image, network, answer.json()["subnet"]["id"])
