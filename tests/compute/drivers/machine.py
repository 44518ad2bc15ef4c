"""A Linux guest under the QEMU driver whose shell is reached over its serial port, and a storage daemon that serves files."""

import json
import os
import re
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pileus.compute.driver import DiskSpec, GuestSpec
from pileus.compute.drivers.qemu import QemuHypervisor

SHELL_SECONDS = 60.0


class Shell:
    """A root shell of a guest."""

    def __init__(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        directory = os.open(folder, os.O_PATH)  # the path may be longer than an address has room for
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(f"/proc/self/fd/{directory}/{name}")
        os.close(directory)
        self._text, self._number = "", 0

    def log_in(self) -> None:
        for sent, awaited in (("", "login: "), ("cirros", "assword: "), ("gocubsgo", r"[$#] ")):
            self._socket.sendall(f"{sent}\n".encode())
            self._until(awaited)
        self._socket.sendall(b"exec sudo sh\n")
        self._socket.sendall(b"stty -echo; PS1=\n")
        self.run("true")

    def begin(self, command: str) -> None:
        """Start a command."""
        self._number += 1
        self._socket.sendall(f'{command}; echo "=="{self._number}:$?==\n'.encode())

    def end(self, seconds: float = SHELL_SECONDS) -> str:
        """Return what the command that was started has said, when it has ended."""
        said, status = self._until(rf"=={self._number}:(\d+)==\r?\n", seconds)
        assert status == "0", said
        return re.sub(r"(?m)^GUEST:.*\n", "", said.replace("\r", "")).strip()

    def run(self, command: str, seconds: float = SHELL_SECONDS) -> str:
        self.begin(command)
        return self.end(seconds)

    def close(self) -> None:
        self._socket.close()

    def _until(self, pattern: str, seconds: float = SHELL_SECONDS) -> tuple[str, str]:
        deadline = time.monotonic() + seconds
        while (found := re.search(pattern, self._text)) is None:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            self._text += self._socket.recv(65536).decode(errors="replace")
        said, self._text = self._text[: found.start()], self._text[found.end() :]
        return said, found.group(found.lastindex or 0)


@dataclass
class Machine:
    """A Linux guest that is up."""

    hypervisor: QemuHypervisor
    spec: GuestSpec
    shell: Shell = field(init=False)

    def start(self, *volumes: DiskSpec) -> "Machine":
        seen = len(self.hypervisor.console_log(self.spec.id)) if self.hypervisor.observe(self.spec.id) else 0
        self.have(*volumes)
        deadline = time.monotonic() + SHELL_SECONDS
        while "GUEST: sshd up=" not in self.hypervisor.console_log(self.spec.id)[seen:]:
            assert time.monotonic() < deadline, self.hypervisor.console_log(self.spec.id)
            time.sleep(0.05)
        self.open_shell().log_in()
        return self

    def open_shell(self) -> Shell:
        state = self.hypervisor.observe(self.spec.id)
        assert state is not None
        self.shell = Shell(state.serial)
        return self.shell

    def having(self, *volumes: DiskSpec, **changes: Any) -> GuestSpec:
        return replace(self.spec, disks=(*self.spec.disks, *volumes), **changes)

    def have(self, *volumes: DiskSpec, **changes: Any) -> None:
        self.hypervisor.ensure(self.having(*volumes, **changes))

    def disks(self) -> list[str]:
        """The names of the guest's disks."""
        return [name for name in self.shell.run("ls /sys/block").split() if name.startswith(("vd", "sd"))]

    def await_disk(self, name: str = "vdb") -> None:
        self.shell.run(f"until [ -b /dev/{name} ]; do sleep 0.02; done")

    def volumes(self) -> tuple[str, ...]:
        state = self.hypervisor.observe(self.spec.id)
        assert state is not None
        return state.disks


def linux_spec(image: Path) -> GuestSpec:
    """A guest of the project's own image."""
    root = DiskSpec("root", "image", size_mib=300, source=str(image), boot_index=0)
    files = {"openstack/latest/meta_data.json": b'{"uuid": "x", "hostname": "volumes", "name": "volumes"}'}
    return GuestSpec(str(uuid.uuid4()), "volumes", 1, 192, (root,), config_drive=files)


class Storage:
    """A storage daemon with one raw file a volume, served over NBD on a unix socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volumes: dict[str, Path] = {}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "nbd"

    def start(self) -> None:
        """Start the daemon with all volumes."""
        self.socket.unlink(missing_ok=True)
        command = ["qemu-storage-daemon", "--chardev", "socket,id=m,path=qmp,server=on,wait=off", "--monitor", "chardev=m"]
        command += ["--nbd-server", "addr.type=unix,addr.path=nbd"]
        for number, (volume_id, path) in enumerate(self.volumes.items()):
            file = f"file.driver=file,file.filename={path},file.discard=unmap"
            command += ["--blockdev", f"driver=raw,node-name=n{number},discard=unmap,{file}"]
            command += ["--export", f"type=nbd,id=e{number},node-name=n{number},name={volume_id},writable=on"]
        (self.folder / "qmp").unlink(missing_ok=True)
        self.process = subprocess.Popen(command, cwd=self.folder)
        while not self.socket.exists():
            assert self.process.poll() is None
            time.sleep(0.005)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def make(self, size_mib: int, file: Path | None = None) -> str:
        """Make a volume; the daemon is started anew."""
        volume_id = str(uuid.uuid4())
        self.volumes[volume_id] = file or self.folder / volume_id
        if file is None:
            with self.volumes[volume_id].open("wb") as content:
                content.truncate(size_mib * 1024**2)
        self.stop()
        self.start()
        return volume_id

    def grow(self, volume_id: str, size_mib: int) -> None:
        """Make a volume larger while it is served."""
        number = list(self.volumes).index(volume_id)
        self.ask("block-export-del", id=f"e{number}", mode="hard")
        while self.ask("query-block-exports") and any(each["id"] == f"e{number}" for each in self.ask("query-block-exports")):
            time.sleep(0.01)
        self.ask("block_resize", **{"node-name": f"n{number}", "size": size_mib * 1024**2})
        export = {"type": "nbd", "id": f"e{number}", "node-name": f"n{number}", "name": volume_id, "writable": True}
        self.ask("block-export-add", **export)

    def ask(self, command: str, **arguments: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "qmp"))
            stream = connection.makefile("rw")
            stream.readline()
            for message in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                stream.write(json.dumps(message) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "event" in answer:
                    answer = json.loads(stream.readline())
            assert "error" not in answer, answer
            return answer["return"]

    def disk(self, volume_id: str, **options: Any) -> DiskSpec:
        """The volume as a guest's disk."""
        data = {"socket": str(self.socket), "export": volume_id}
        return DiskSpec(volume_id, "volume", connection={"driver_volume_type": "nbd", "data": data}, **options)


def file_disk(path: Path, volume_id: str = "", **options: Any) -> DiskSpec:
    """A volume that is a file of the host."""
    data = {"path": str(path), "format": "raw"}
    return DiskSpec(volume_id or str(uuid.uuid4()), "volume", connection={"driver_volume_type": "file", "data": data}, **options)
