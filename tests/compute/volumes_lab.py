"""What tests of servers with volumes share: short ways to make volumes, to attach them, and to see where they are."""

from typing import Any

from starlette.testclient import TestClient

from tests.compute.servers_lab import ServersLab

VOLUMES = "/volume/v3/" + "b" * 32


class VolumesLab(ServersLab):
    """A lab with an image, a network and block storage."""

    @property
    def cinder(self) -> TestClient:
        """A member of the project, as a client of block storage."""
        return self.lab.client("demo", {"OpenStack-API-Version": "volume 3.70"})

    def volume(self, size: int = 1, **wanted: Any) -> str:
        """Make a volume and let it become available."""
        answer = self.cinder.post(f"{VOLUMES}/volumes", json={"volume": {"size": size, **wanted}})
        assert answer.status_code == 202, answer.text
        self.lab.settle()
        return answer.json()["volume"]["id"]

    def boot_volume(self, size: int = 1, **wanted: Any) -> str:
        """Make a volume of the image and let it become available."""
        return self.volume(size, imageRef=self.image, **wanted)

    def see(self, volume_id: str) -> Any:
        """Return a volume as block storage shows it, or None."""
        answer = self.cinder.get(f"{VOLUMES}/volumes/{volume_id}")
        return answer.json()["volume"] if answer.status_code == 200 else None

    def status(self, volume_id: str) -> str:
        """Return the status of a volume; "": there is none."""
        found = self.see(volume_id)
        return found["status"] if found else ""

    def ask(self, server_id: str, volume_id: str, client: TestClient | None = None, **wanted: Any) -> Any:
        """Ask for a volume to be attached."""
        body = {"volumeAttachment": {"volumeId": volume_id, **wanted}}
        return (client or self.demo).post(f"/compute/v2.1/servers/{server_id}/os-volume_attachments", json=body)

    def attach(self, server_id: str, volume_id: str, **wanted: Any) -> Any:
        """Attach a volume and let that be done."""
        answer = self.ask(server_id, volume_id, **wanted)
        assert answer.status_code == 200, answer.text
        self.lab.settle()
        return answer.json()["volumeAttachment"]

    def detach(self, server_id: str, volume_id: str, client: TestClient | None = None) -> Any:
        """Ask for a volume to be detached, and let that be done."""
        url = f"/compute/v2.1/servers/{server_id}/os-volume_attachments/{volume_id}"
        answer = (client or self.demo).delete(url)
        self.lab.settle()
        return answer

    def attached(self, server_id: str) -> list[Any]:
        """Return the volumes of a server."""
        url = f"/compute/v2.1/servers/{server_id}/os-volume_attachments"
        return self.demo.get(url).json()["volumeAttachments"]

    def plugged(self, server_id: str) -> list[str]:
        """Return the volumes that the guest has."""
        return list(self.lab.hypervisor.guests[server_id].volumes)

    def connected(self, volume_id: str) -> int:
        """Return how many ways the back ends have to a volume."""
        found = self.lab.volumes.volumes.get(volume_id)
        return len(found.connectors) if found else 0

    def log(self, server_id: str) -> list[tuple[str, str | None]]:
        """Return what was asked of a server and whether it failed, the newest first."""
        found = self.demo.get(f"/compute/v2.1/servers/{server_id}/os-instance-actions").json()["instanceActions"]
        return [(entry["action"], entry["message"]) for entry in found]

    def on_volume(self, volume_id: str = "", **more: Any) -> dict[str, Any]:
        """The fields of a request for a server that boots from a volume, or (no id) from one made of the image."""
        if volume_id:
            device = {"source_type": "volume", "uuid": volume_id}
        else:
            device = {"source_type": "image", "uuid": self.image, "volume_size": 1}
        device |= {"destination_type": "volume", "boot_index": 0, **more}
        return {"imageRef": None, "block_device_mapping_v2": [device]}


def with_volumes(cloud: ServersLab) -> VolumesLab:
    """Return a lab of servers as one with volumes."""
    return VolumesLab(cloud.lab, cloud.image, cloud.network, cloud.subnet)
