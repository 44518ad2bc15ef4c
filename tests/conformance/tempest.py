"""`make tempest`: what tempest says of this cloud.

Starts a fresh cloud of its own beside any other, fills tempest's configuration in, runs a list of tests or those that match
a regular expression, prints passed, failed and skipped by area with the first cause of each failure, and keeps the logs.

    make tempest                          the smoke tests
    make tempest REGEX=tempest.api.network
    make tempest LIST=interop-2022.11     a list of tests/conformance/lists, or the path of a file of ids
    make tempest LIST=all ARGS=--write-reference
"""

import argparse
import configparser
import contextlib
import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import openstack
import report
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SLOT = int(os.environ.get("SLOT", "0"))  # runs beside each other need a slot each
NAME, LISTEN, PUBLIC = f"pileustest{SLOT}", f"127.0.0.1:{8100 + SLOT}", f"172.24.{8 + SLOT}.0/24"
FILES = f"127.0.0.1:{8300 + SLOT}"  # what images are imported from
BACKENDS = "a=iscsi,b=file"  # the template makes types of storage_protocol iSCSI
READY_SECONDS = 120
SUITE = "47.0.0"
# What this cloud does not serve yet; everything else stays as the template says.
OFF = {
    "service_available": ("horizon",),
    "compute-feature-enabled": (
        "cold_migration", "shelve_migrate", "live_migration", "block_migration_for_live_migration",
    ),
}  # fmt: skip
# As the template's [identity] says.
COMPLIANCE = {
    "PILEUS_LOCKOUT_FAILURE_ATTEMPTS": "2", "PILEUS_LOCKOUT_SECONDS": "5", "PILEUS_PASSWORD_UNIQUE_LAST_COUNT": "2",
}  # fmt: skip
ON_VALUES = {
    "image": {"image_caching_enabled": "True"},
    "image-feature-enabled": {"http_store_enabled": "True"},
    "compute": {"min_compute_nodes": "1", "max_microversion": "2.100"},
    "compute-feature-enabled": {"attach_encrypted_volume": "True"},
    "volume": {"volume_type_multiattach": "multiattach"},
    "scenario": {"dhcp_client": "udhcpc"},
    "volume-feature-enabled": {"extend_attached_encrypted_volume": "True"},
}


def main() -> int:
    """Run; returns tempest's exit code."""
    options = _options()
    work = options.keep.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    tempest = _install()
    started = time.monotonic()
    with _files(work), _cloud(work) as state_dir:
        _configure(tempest, work, _facts(state_dir), state_dir)
        code = _run(tempest, work, options)
    results = report.read((work / "output.txt").read_text(errors="replace"))
    report.show(results)
    if options.write_reference:
        _write_reference(results, options, time.monotonic() - started)
    print(f"Logs: {work}")
    return code


def _write_reference(results: list[report.Result], options: argparse.Namespace, seconds: float) -> None:
    said = subprocess.run(["git", "log", "-1", "--format=%h"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    facts = (
        ("suite", f"tempest {SUITE}, " + (f"tests that match `{options.regex}`" if options.regex else f"list `{options.list}`")),
        ("cloud", f"Pileus at {said.strip()}, embedded, emulated guests"),
        ("date", time.strftime("%Y-%m-%d", time.gmtime())),
        ("time", f"{seconds / 60:.0f} minutes, {options.workers} at once"),
    )
    report.write(results, ROOT / "docs" / "reference" / "conformance.md", facts)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", default=os.environ.get("LIST") or "smoke", help="a list's name, or a file of ids")
    parser.add_argument("--regex", default=os.environ.get("REGEX"))
    parser.add_argument("--workers", default="2")
    parser.add_argument(
        "--keep", type=Path, default=Path(os.environ.get("KEEP", f"/tmp/pileus-tempest-{SLOT}")), help="folder of the logs"
    )
    parser.add_argument("--write-reference", action="store_true", help="write docs/reference/conformance.md from this run")
    return parser.parse_args()


def _install() -> Path:
    """Have tempest in an environment of its own; returns its folder of programs."""
    venv = ROOT / ".venv-tempest"
    if not (venv / "bin" / "tempest").exists():
        uv = next((str(p) for p in (ROOT / ".venv-tools/bin/uv",) if p.exists()), "uv")
        subprocess.run([uv, "venv", "-q", str(venv)], check=True)
        lock = str(ROOT / "requirements" / "tempest.txt")
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", str(venv / "bin/python"), "--require-hashes", "-r", lock], check=True
        )
    return venv / "bin"


@contextlib.contextmanager
def _files(work: Path):
    """Serve the folder of the run over HTTP."""
    host, _, port = FILES.partition(":")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(work))
    with http.server.ThreadingHTTPServer((host, int(port)), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


@contextlib.contextmanager
def _cloud(work: Path):
    """A fresh cloud with the real drivers; gone afterwards."""
    state_dir = work / "state"
    environment = {**os.environ, "PILEUS_NAME": NAME, "PILEUS_PUBLIC_CIDR": PUBLIC, "PILEUS_LISTEN": LISTEN}
    environment |= {"PILEUS_CPU_ALLOCATION_RATIO": "16", "PILEUS_BCRYPT_ROUNDS": "6"}  # thousands of log-ins
    environment |= COMPLIANCE | {
        "PILEUS_IMAGE_IMPORT_HOSTS": "127.0.0.1",
        "PILEUS_IMAGE_STORES": "file,other=file,remote=swift,web=http",  # in the order of the alphabet, as the suite expects
        "PILEUS_IMAGE_SHOW_LOCATIONS": "true",
        "PILEUS_OBJECT_SYNC_REALMS": str(_realms(work)),
        "PILEUS_OBJECT_SYNC_HOSTS": LISTEN.partition(":")[0],
        "PILEUS_OBJECT_SYNC_SECONDS": "2",
        "PILEUS_OBJECT_POLICIES": "silver",
        "PILEUS_VOLUME_BACKENDS": os.environ.get("PILEUS_VOLUME_BACKENDS", BACKENDS),
    }

    def pileus(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "pileus.cli", "--state-dir", str(state_dir), *arguments], check=True, env=environment
        )

    pileus("up", "--detach")
    try:
        yield state_dir
    finally:
        shutil.copy(state_dir / "pileus.log", work / "pileus.log")
        pileus("down", "--purge", "--yes")


def _realms(work: Path) -> Path:
    """Write the file that lets containers be synced within this cloud, by the names in the template."""
    file = work / "container-sync-realms.conf"
    file.write_text(f"[realm1]\nkey = of the realm\ncluster_name1 = http://{LISTEN}/object-store/v1/\n")
    return file


def _connect(state_dir: Path) -> openstack.connection.Connection:
    said = subprocess.run(
        [sys.executable, "-m", "pileus.cli", "--state-dir", str(state_dir), "clouds-yaml"],
        check=True, capture_output=True, text=True, env={**os.environ, "PILEUS_NAME": NAME, "PILEUS_LISTEN": LISTEN},
    ).stdout  # fmt: skip
    auth = yaml.safe_load(said)["clouds"][f"{NAME}-admin"]["auth"]
    return openstack.connect(auth=auth, region_name="RegionOne")


def _facts(state_dir: Path) -> dict[str, str]:
    """What the template's marks stand for."""
    cloud = _connect(state_dir)
    deadline = time.monotonic() + READY_SECONDS
    while not (image := cloud.image.find_image("cirros-pileus")) or image.status != "active":
        if time.monotonic() > deadline:
            raise SystemExit("the guest image is not there")
        time.sleep(0.2)
    disk = state_dir.parent / "guest.qcow2"
    with open(disk, "wb") as file:
        cloud.image.download_image(image, output=file)
    cloud.block_storage.create_type(name="multiattach", extra_specs={"multiattach": "<is> True"})
    other = cloud.create_image(
        "cirros-alt", filename=str(disk), disk_format="qcow2", container_format="bare", visibility="public"
    )
    _register_limits(cloud)
    return {
        "WORKSPACE": str(state_dir.parent / "workspace"),
        "ADMIN_PASSWORD": json.loads((state_dir / "passwords.json").read_text())["admin"],
        "IMAGE_ID": image.id,
        "IMAGE_ALT_ID": other.id,
        "FLAVOR_ID": cloud.compute.find_flavor("m1.nano").id,
        "FLAVOR_ALT_ID": cloud.compute.find_flavor("m1.micro").id,
        "PUBLIC_NETWORK_ID": cloud.network.find_network("public").id,
        "FIXED_NETWORK_NAME": "private",
        "CIRROS_DISK_IMG": str(disk),
        "HTTP_IMAGE_URL": f"http://{FILES}/guest.qcow2",
        "HTTP_QCOW2_IMAGE_URL": f"http://{FILES}/guest.qcow2",
        "BACKEND_1": "a",
        "BACKEND_2": "b",
        "VENDOR_NAME": "Pileus",
        "EXTENSIONS": ",".join(sorted(extension.alias for extension in cloud.network.extensions())),
    }


def _register_limits(cloud: openstack.connection.Connection) -> None:
    """Have the limits of images that those who use unified limits register."""
    service = cloud.identity.find_service("glance")
    for name in ("image_size_total", "image_stage_total", "image_count_total", "image_count_uploading"):
        cloud.identity.create_registered_limit(
            service_id=service.id, region_id="RegionOne", resource_name=name, default_limit=1_000_000
        )


def _configure(tempest: Path, work: Path, facts: dict[str, str], state_dir: Path) -> None:
    workspace = work / "workspace"
    register = str(work / "workspaces.yaml")  # not the one in the home folder, which runs beside this one would share
    command = [str(tempest / "tempest"), "init", "--workspace-path", register, str(workspace)]
    subprocess.run(command, check=True, capture_output=True)
    (workspace / "logs").mkdir(exist_ok=True)
    text = (HERE / "tempest.conf.template").read_text()
    for name, value in facts.items():
        text = text.replace(f"@{name}@", value)
    config = configparser.RawConfigParser(strict=False, allow_no_value=True)
    config.read_string(text)
    for section, options in OFF.items():
        for option in options:
            config.set(section, option, "False")
    for section, values in ON_VALUES.items():
        for option, value in values.items():
            config.set(section, option, value)
    config.set("identity", "uri_v3", f"http://{LISTEN}/identity/v3")
    config.set("network-feature-enabled", "api_extensions", facts["EXTENSIONS"])
    with urllib.request.urlopen(f"http://{LISTEN}/info", timeout=10) as answer:
        config.set("object-storage-feature-enabled", "discoverable_apis", ",".join(json.load(answer)))
    with open(workspace / "etc" / "tempest.conf", "w", encoding="utf-8") as file:
        config.write(file)


def _run(tempest: Path, work: Path, options: argparse.Namespace) -> int:
    command = [str(tempest / "tempest"), "run", "--concurrency", options.workers]
    if options.regex:
        command += ["--regex", options.regex]
    else:
        kept = HERE / "lists" / f"{options.list}.txt"
        file = kept if kept.exists() else Path(options.list)
        wanted = [line for line in file.read_text().splitlines() if line.strip()]
        chosen = work / "ids.txt"
        chosen.write_text("".join(f"{line.split('[')[0]}\n" for line in wanted))
        command += ["--load-list", str(_full_ids(tempest, work, chosen))]
    environment = {**os.environ, "PATH": f"{tempest}{os.pathsep}{os.environ['PATH']}"}
    with open(work / "output.txt", "w", encoding="utf-8") as out:
        process = subprocess.Popen(
            command, cwd=work / "workspace", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout
        for line in process.stdout:
            out.write(line)
            if report.RESULT.match(line):
                print(line, end="", flush=True)
        return process.wait()


def _full_ids(tempest: Path, work: Path, chosen: Path) -> Path:
    """Return a list whose ids are as this tempest spells them, with their attributes."""
    said = subprocess.run(
        [str(tempest / "tempest"), "run", "--list-tests"], cwd=work / "workspace", capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": f"{tempest}{os.pathsep}{os.environ['PATH']}"},
    ).stdout  # fmt: skip
    known = {line.split("[")[0]: line for line in said.splitlines() if line.startswith("tempest.")}
    full = work / "full-ids.txt"
    names = chosen.read_text().split()
    for name in names:
        if name not in known:
            print(f"tempest does not know {name}")
    full.write_text("".join(f"{known[name]}\n" for name in names if name in known))
    return full


if __name__ == "__main__":
    sys.exit(main())
