"""What tests of backups have in common: volumes with content, and targets that misbehave."""

import os
from dataclasses import dataclass, field
from typing import Any

from pileus.volume.backup_target import TargetError
from pileus.volume.backup_targets import Targets
from tests.conftest import Lab

LATEST = {"OpenStack-API-Version": "volume 3.71"}
MIB, GIB = 1 << 20, 1 << 30


class Killed(BaseException):
    """The process died."""


@dataclass
class Flaky:
    """A target that stands before another one, and fails or dies at the n-th call of a kind."""

    inner: Any
    at: int = 0
    error: BaseException = field(default_factory=lambda: Killed("killed"))
    method: str = "put"
    after: bool = False
    """Whether the object is stored before it happens."""
    calls: int = 0
    times: int = 1

    @property
    def service(self) -> str:
        return self.inner.service

    def _count(self, method, call):
        if method != self.method:
            return call()
        self.calls += 1
        hit = self.at <= self.calls < self.at + self.times
        if hit and not self.after:
            raise self.error
        found = call()
        if hit:
            raise self.error
        return found

    def put(self, container, name, data):
        return self._count("put", lambda: self.inner.put(container, name, data))

    def get(self, container, name):
        return self._count("get", lambda: self.inner.get(container, name))

    def delete(self, container, name):
        return self._count("delete", lambda: self.inner.delete(container, name))

    def list(self, container, prefix):
        return self._count("list", lambda: self.inner.list(container, prefix))


@dataclass
class Scene:
    """A lab with a client of block storage."""

    lab: Lab
    persona: str = "demo"

    def __post_init__(self):
        self.client = self.lab.client(self.persona, LATEST)

    @property
    def target(self):
        return self.lab.cloud.part(Targets).get(self.lab.cloud)

    def use(self, target):
        """Stand another target before, and return it."""
        self.lab.cloud.part(Targets).put(target)
        return target

    def break_target(self, **how) -> Flaky:
        return self.use(Flaky(self.target, **how))

    def mend(self):
        self.use(self.target.inner)

    def call(self, method, path, status, **body):
        answer = self.client.request(method, f"/volume/v3{path}", json=body or None)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def volume(self, size=1, **more) -> str:
        made = self.call("POST", "/volumes", 202, volume={"size": size, **more})["volume"]["id"]
        self.lab.settle()
        return made

    def backend(self, volume_id):
        host = self.call_as_admin("GET", f"/volumes/{volume_id}", 200)["volume"]["os-vol-host-attr:host"]
        return self.lab.cloud.bus.host(host.partition("#")[0], "volume")

    def call_as_admin(self, method, path, status, **body):
        return Scene(self.lab, "admin").call(method, path, status, **body)

    def write(self, volume_id, offset, data):
        content = self.backend(volume_id).open(volume_id, writable=True)
        content.write(offset, data)
        content.close()

    def read(self, volume_id, offset, length) -> bytes:
        return self.backend(volume_id).open(volume_id).read(offset, length)

    def same(self, one, other) -> bool:
        """Whether two volumes have the same content, up to the size of the first."""
        a, b = self.backend(one).open(one), self.backend(other).open(other)
        for offset, length, _ in list(a.extents()) + [e for e in b.extents() if e[0] + e[1] <= a.size_bytes]:
            for at in range(offset, offset + length, 8 * MIB) if length < 64 * MIB else (offset, offset + length - MIB):
                count = min(8 * MIB if length < 64 * MIB else MIB, offset + length - at)
                if a.read(at, count) != b.read(at, count):
                    return False
        return True

    def begin(self, volume_id, status=202, **more):
        answer = self.call("POST", "/backups", status, backup={"volume_id": volume_id, **more})
        return answer["backup"]["id"] if status == 202 else answer

    def backup(self, volume_id, **more) -> str:
        made = self.begin(volume_id, **more)
        self.lab.settle()
        assert self.show(made)["status"] == "available", self.show(made)
        return made

    def show(self, backup_id) -> dict:
        return self.call("GET", f"/backups/{backup_id}", 200)["backup"]

    def status(self, volume_id) -> str:
        return self.call("GET", f"/volumes/{volume_id}", 200)["volume"]["status"]

    def restore(self, backup_id, volume_id=None) -> str:
        given = {"volume_id": volume_id} if volume_id else {}
        restored = self.call("POST", f"/backups/{backup_id}/restore", 202, restore=given)["restore"]
        self.lab.settle()
        return restored["volume_id"]

    def objects(self, backup_id) -> list[str]:
        shown = self.show(backup_id)
        found = list(self.target.list(shown["container"], f"volume_{shown['volume_id']}"))
        return [name for name in found if backup_id in name]

    def settle_late(self):
        """Let so much time pass that what is tried again is, and what is late is given up."""
        for seconds in (1, 1, 2, 4, 8, 31, 31):
            self.lab.settle(seconds)

    def messages(self, backup_id) -> list[str]:
        found = self.call("GET", f"/messages?resource_uuid={backup_id}", 200)["messages"]
        return [message["event_id"] for message in found]


def noise(length) -> bytes:
    """Bytes that nothing compresses."""
    return os.urandom(length)


def refusal(text="it is away") -> TargetError:
    return TargetError(text)
