"""What the tests of volumes share: a cloud in memory with two back ends, and short words for what is done to it."""

from sqlalchemy import select

from pileus.kernel.tasks import tasks
from tests.conftest import BLUE, Lab

OCTETS = {"Content-Type": "application/octet-stream"}
BLOCK = 65536


class VolumesLab:
    """A lab seen by those who use volumes."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.backends = {name: lab.cloud.bus.host(name, "volume") for name in lab.cloud.bus.hosts("volume")}
        self.demo, self.admin, self.other = self.api("demo"), self.api("admin"), self.api("other")

    def api(self, persona: str = "demo", version: str = "3.71", **changes):
        """A client that speaks a microversion; paths begin at /v3."""
        client = self.lab.client(persona, {"OpenStack-API-Version": f"volume {version}"}, **changes)
        client.base_url = f"{client.base_url}/volume/v3"
        return client

    def post(self, client=None, hints=None, **body):
        body = {"size": 1, **body}
        whole = {"volume": {key: value for key, value in body.items() if value is not None}}
        return (client or self.demo).post("/volumes", json=whole | ({"OS-SCH-HNT:scheduler_hints": hints} if hints else {}))

    def make(self, client=None, **body) -> str:
        """A volume that is available."""
        answer = self.post(client, **body)
        assert answer.status_code == 202, answer.text
        self.lab.settle()
        id = answer.json()["volume"]["id"]
        assert self.show(id)["status"] == "available", self.why(id)
        return id

    def show(self, id: str, client=None):
        answer = (client or self.admin).get(f"/volumes/{id}")
        return answer.json()["volume"] if answer.status_code == 200 else None

    def why(self, id: str):
        from pileus.volume.store import volumes

        with self.lab.cloud.db.read() as tx:
            found = volumes.get(tx, id)
        return found and found.reported_error

    def act(self, id: str, action: str, argument=None, client=None):
        return (client or self.demo).post(f"/volumes/{id}/action", json={action: argument})

    def delete(self, id: str, client=None, **params):
        return (client or self.demo).delete(f"/volumes/{id}", params=params)

    def snap(self, volume_id: str, client=None, **body):
        return (client or self.demo).post("/snapshots", json={"snapshot": {"volume_id": volume_id, **body}})

    def make_snapshot(self, volume_id: str, **body) -> str:
        answer = self.snap(volume_id, **body)
        assert answer.status_code == 202, answer.text
        self.lab.settle()
        id = answer.json()["snapshot"]["id"]
        assert self.snapshot(id)["status"] == "available"
        return id

    def snapshot(self, id: str):
        answer = self.admin.get(f"/snapshots/{id}")
        return answer.json()["snapshot"] if answer.status_code == 200 else None

    def type(self, name: str, extra_specs=None, **body) -> str:
        """A new type."""
        answer = self.admin.post("/types", json={"volume_type": {"name": name, "extra_specs": extra_specs or {}, **body}})
        assert answer.status_code == 200, answer.text
        return answer.json()["volume_type"]["id"]

    def limit(self, **limits: int) -> None:
        """Set the project's limits."""
        from pileus.kernel import quota

        with self.lab.cloud.db.begin() as tx:
            quota.set_limits(tx, "volume", BLUE, limits)

    def image(self, content: bytes = b"boot" * 512, persona: str = "demo", **fields) -> str:
        """An image with content."""
        client = self.lab.client(persona)
        made = client.post("/image/v2/images", json={"name": "x", "disk_format": "raw", "container_format": "bare", **fields})
        id = made.json()["id"]
        assert client.put(f"/image/v2/images/{id}/file", content=content, headers=OCTETS).status_code == 204
        return id

    def place(self, id: str):
        """The back end that a volume is on."""
        return self.backends[self.show(id)["os-vol-host-attr:host"].partition("#")[0]]

    def write(self, id: str, data: bytes, offset: int = 0) -> None:
        content = self.place(id).open(id, writable=True)
        content.write(offset, data)
        content.close()

    def read(self, id: str, length: int, offset: int = 0) -> bytes:
        return self.place(id).open(id).read(offset, length)

    def messages(self) -> list[str]:
        """What the project was told, the newest first."""
        return [message["user_message"] for message in self.demo.get("/messages").json()["messages"]]

    def attach(self, id: str, server_id: str = "11111111-1111-4111-8111-111111111111") -> str:
        """Have a server use a volume; returns the attachment."""
        connector = {"host": "host1", "ip": "192.0.2.1", "initiator": "iqn.x"}
        body = {"volume_uuid": id, "instance_uuid": server_id, "connector": connector}
        answer = self.demo.post("/attachments", json={"attachment": body})
        assert answer.status_code == 200, answer.text
        found = answer.json()["attachment"]["id"]
        assert self.demo.post(f"/attachments/{found}/action", json={"os-complete": {}}).status_code == 204
        return found

    def tasks(self) -> list[str]:
        with self.lab.cloud.db.read() as tx:
            return list(tx.execute(select(tasks.c.id)).scalars())

    def left_over(self) -> list[str]:
        """What is there although there are no volumes: on back ends, as tasks, as files."""
        from pathlib import Path

        work = Path(self.lab.cloud.settings.state_dir) / "volumes" / ".work"
        found = [f"{name}: {id}" for name, backend in self.backends.items() for id in backend.volumes]
        return found + self.tasks() + ([path.name for path in work.iterdir()] if work.exists() else [])
