"""The guest image, built once, and a guest started from it with QEMU's own user network."""

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import pycdlib
import pytest

from pileus.guest import Facts, build

SSH_OPTIONS = [
    "-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=10",
]  # fmt: skip
# slirp answers DHCP in the link-local network, so that the metadata address is a neighbour and can be forwarded to a test server
METADATA_NETWORK = "net=169.254.169.0/24,dhcpstart=169.254.169.15,dns=169.254.169.3,host=169.254.169.2"


@dataclass
class Guest:
    """A running guest: its process, console, QMP socket and the port that leads to its SSH."""

    folder: Path
    key: Path
    port: int
    process: "subprocess.Popen[bytes]"
    qmp_socket: socket.socket | None = None
    started: float = field(default_factory=time.monotonic)

    def console(self) -> str:
        """Return what the guest has written to its serial console."""
        path = self.folder / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Wait until the console shows the text."""
        end = time.monotonic() + seconds
        while text not in self.console():
            assert time.monotonic() < end, f"no {text!r} on the console:\n{self.console()}"
            assert self.process.poll() is None, f"QEMU ended with {self.process.returncode}"
            time.sleep(0.02)

    def ssh(self, command: str, user: str = "cirros", options: list[str] | None = None, env: dict[str, str] | None = None) -> str:
        """Run a command in the guest and return its output, without the last newline."""
        login = options if options is not None else ["-o", "BatchMode=yes", "-i", str(self.key)]
        result = subprocess.run(
            ["ssh", *SSH_OPTIONS, *login, "-p", str(self.port), f"{user}@127.0.0.1", command],
            capture_output=True, text=True, timeout=60, check=False, env=os.environ | (env or {}), stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert result.returncode == 0, f"{command}: {result.returncode} {result.stdout}{result.stderr}"
        return result.stdout.rstrip("\n")

    def qmp(self, command: str, **arguments: Any) -> Any:
        """Send one QMP command."""
        if self.qmp_socket is None:
            self.qmp_socket = socket.socket(socket.AF_UNIX)
            self.qmp_socket.connect(str(self.folder / "qmp"))
            self.qmp("qmp_capabilities")
        self.qmp_socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        stream = self.qmp_socket.makefile()
        while True:
            message = json.loads(stream.readline())
            assert "error" not in message, message
            if "return" in message:
                return message["return"]

    def stop(self) -> None:
        """End the guest at once."""
        if self.qmp_socket:
            self.qmp_socket.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SSH key pair; the path of its private half."""
    path = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tester", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    """The guest image, with the kernel beside it."""
    folder = tmp_path_factory.mktemp("image")
    work = folder / "work"
    work.mkdir()
    return build(folder / "guest.qcow2", work, kernel_dir=folder)


def start(image: Facts, key: Path, folder: Path, *arguments: str, network: str = "", disk: str = "300M") -> Guest:
    """Start a guest on an overlay of the image, booting by its own boot loader."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    overlay = folder / "disk.qcow2"
    if not overlay.exists():
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image.path), str(overlay), disk], check=True
        )
    (folder / "console.log").unlink(missing_ok=True)
    command = [
        "qemu-system-x86_64", "-M", "pc", "-accel", "tcg,tb-size=64", "-cpu", "qemu64", "-m", "192",
        "-nodefaults", "-no-user-config", "-display", "none",
        "-chardev", f"file,id=console,path={folder}/console.log", "-serial", "chardev:console",
        "-qmp", f"unix:{folder}/qmp,server=on,wait=off", "-device", "virtio-rng-pci",
        "-drive", f"if=none,id=root,file={overlay},format=qcow2", "-device", "virtio-blk-pci,drive=root",
        "-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{port}-:22{',' + network if network else ''}",
        "-device", "virtio-net-pci,netdev=n0,romfile=", *arguments,
    ]  # fmt: skip
    return Guest(folder, key, port, subprocess.Popen(command))


def write_config_drive(path: Path, files: dict[str, str]) -> None:
    """Write an ISO 9660 image labelled config-2 with the files, by their path."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=4, rock_ridge="1.09", vol_ident="config-2")
    folders: set[str] = set()
    for name, text in files.items():
        parts = name.split("/")
        for depth in range(1, len(parts)):
            folder = "/" + "/".join(parts[:depth])
            if folder not in folders:
                iso.add_directory(folder, rr_name=parts[depth - 1])
                folders.add(folder)
        content = text.encode()
        iso.add_fp(BytesIO(content), len(content), "/" + name, rr_name=parts[-1])
    iso.write(str(path))
    iso.close()


@dataclass
class MetadataServer:
    """A metadata service of fixed answers; unknown paths are 404."""

    answers: dict[str, str]
    port: int


@pytest.fixture
def metadata_server() -> Iterator[MetadataServer]:
    """A metadata service on a free port; the test fills in its answers."""
    answers: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield MetadataServer(answers, server.server_port)
    server.shutdown()
    server.server_close()
