"""`make tempest`: what tempest says of this cloud.

Starts a fresh cloud of its own beside any other, fills tempest's configuration in, runs a list of tests or those that match
a regular expression, prints passed, failed and skipped by area with the first cause of each failure, and keeps the logs.

    make tempest                          the smoke tests
    make tempest REGEX=tempest.api.network
    make tempest LIST=interop-2022.11     a list of tests/conformance/lists, or the path of a file of ids; several by comma
    make tempest HOSTS=2 LIST=multinode   against a control plane and two hosts, each a namespace of this machine
    make tempest LIST=all ARGS=--write-reference

With --write-reference, docs/reference/conformance.md says what came out: of each area that ran whole, and of single tests
of such an area that ran again (see record.py).
"""

import argparse
import configparser
import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import openstack

from tests.conformance import clouds, record, report

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
READY_SECONDS = 120
SUITE = "47.0.0"
# What this cloud does not serve yet; everything else stays as the template says.
OFF = {"service_available": ("horizon",)}
NEEDS_TWO_HOSTS = {
    "compute-feature-enabled": (
        "cold_migration", "shelve_migrate", "live_migration", "block_migration_for_live_migration",
        "volume_backed_live_migration",
    ),
}  # fmt: skip
ON_VALUES = {
    "image": {"image_caching_enabled": "True"},
    "image-feature-enabled": {"http_store_enabled": "True"},
    "compute": {"max_microversion": "2.100"},
    "compute-feature-enabled": {"attach_encrypted_volume": "True"},
    "volume": {"volume_type_multiattach": "multiattach"},
    "scenario": {"dhcp_client": "udhcpc"},
    "volume-feature-enabled": {"extend_attached_encrypted_volume": "True"},
}


def main() -> int:
    """Run; returns tempest's exit code."""
    options = _options()
    work = options.keep.resolve()
    tempest = _install()
    started, run = time.monotonic(), _run_facts(options)
    with _files(work), clouds.started(work, options.hosts) as running:
        _configure(tempest, work, running, options.hosts)
        tests = _chosen(tempest, work, options)
        code = _run(tempest, work, options)
    run |= {"tests": len(tests), "minutes": round((time.monotonic() - started) / 60)}
    (work / "run.json").write_text(json.dumps(run))
    run, results = record.read_run(work)
    report.show(results)
    if options.write_reference:
        record.write(run, results)
    print(f"Logs: {work}")
    return code


def _run_facts(options: argparse.Namespace) -> dict[str, Any]:
    """What this run is, for the reference."""
    command = ["git", "describe", "--always", "--dirty=, changed"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    now = time.gmtime()
    return {
        "name": time.strftime("%Y-%m-%dT%H:%M:%S", now), "date": time.strftime("%Y-%m-%d", now), "commit": said,
        "suite": f"tempest {SUITE}", "hosts": options.hosts, "workers": int(options.workers),
        "what": f"`{options.regex}`" if options.regex else options.list,
    }  # fmt: skip


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", default=os.environ.get("LIST") or "smoke", help="a list's name, or a file of ids")
    parser.add_argument("--regex", default=os.environ.get("REGEX"))
    parser.add_argument("--hosts", type=int, default=int(os.environ.get("HOSTS") or 1), help="more than one: a cluster")
    parser.add_argument("--workers", default="2")
    parser.add_argument(
        "--keep", type=Path, default=Path(os.environ.get("KEEP", f"/tmp/pileus-tempest-{clouds.SLOT}")), help="folder of the logs"
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
    """Serve the folder of the run, which is empty at first, over HTTP."""
    host, _, port = clouds.FILES.partition(":")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(work))
    with http.server.ThreadingHTTPServer((host, int(port)), handler) as server:  # fails while another run has this slot
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def _facts(running: clouds.Running, work: Path) -> dict[str, str]:
    """What the template's marks stand for."""
    cloud = running.connect()
    image = clouds.wait_for_image(cloud, "cirros-pileus", READY_SECONDS)
    disk = work / "guest.qcow2"
    with open(disk, "wb") as file:
        cloud.image.download_image(image, output=file)
    cloud.block_storage.create_type(name="multiattach", extra_specs={"multiattach": "<is> True"})
    other = cloud.create_image(
        "cirros-alt", filename=str(disk), disk_format="qcow2", container_format="bare", visibility="public"
    )
    _register_limits(cloud)
    return {
        "WORKSPACE": str(work / "workspace"),
        "ADMIN_PASSWORD": running.admin_password,
        "IMAGE_ID": image.id,
        "IMAGE_ALT_ID": other.id,
        "FLAVOR_ID": cloud.compute.find_flavor("m1.nano").id,
        "FLAVOR_ALT_ID": cloud.compute.find_flavor("m1.micro").id,
        "PUBLIC_NETWORK_ID": cloud.network.find_network("public").id,
        "FIXED_NETWORK_NAME": "private",
        "CIRROS_DISK_IMG": str(disk),
        "HTTP_IMAGE_URL": f"http://{clouds.FILES}/guest.qcow2",
        "HTTP_QCOW2_IMAGE_URL": f"http://{clouds.FILES}/guest.qcow2",
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


def _configure(tempest: Path, work: Path, running: clouds.Running, hosts: int) -> None:
    facts = _facts(running, work)
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
    for off in (OFF, NEEDS_TWO_HOSTS if hosts == 1 else {}):
        for section, options in off.items():
            for option in options:
                config.set(section, option, "False")
    for section, values in ON_VALUES.items():
        for option, value in values.items():
            config.set(section, option, value)
    config.set("compute", "min_compute_nodes", str(hosts))
    for end, name in zip(("migration_source_host", "migration_dest_host"), running.hosts, strict=False):
        config.set("compute", end, name)
    config.set("identity", "uri_v3", f"http://{running.listen}/identity/v3")
    config.set("network-feature-enabled", "api_extensions", facts["EXTENSIONS"])
    with urllib.request.urlopen(f"http://{running.listen}/info", timeout=10) as answer:
        config.set("object-storage-feature-enabled", "discoverable_apis", ",".join(json.load(answer)))
    with open(workspace / "etc" / "tempest.conf", "w", encoding="utf-8") as file:
        config.write(file)


def _run(tempest: Path, work: Path, options: argparse.Namespace) -> int:
    command = [str(tempest / "tempest"), "run", "--concurrency", options.workers, "--load-list", str(work / "full-ids.txt")]
    environment = {**os.environ, "PATH": f"{tempest}{os.pathsep}{os.environ['PATH']}"}
    with open(work / "output.txt", "w", buffering=1, encoding="utf-8") as out:
        process = subprocess.Popen(
            command, cwd=work / "workspace", env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout
        for line in process.stdout:
            out.write(line)
            if report.RESULT.match(line):
                print(line, end="", flush=True)
        return process.wait()


def _chosen(tempest: Path, work: Path, options: argparse.Namespace) -> list[str]:
    """Write the list of the tests to run, as this tempest spells them with their attributes, and return it."""
    said = subprocess.run(
        [str(tempest / "tempest"), "run", "--list-tests"], cwd=work / "workspace", capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": f"{tempest}{os.pathsep}{os.environ['PATH']}"},
    ).stdout  # fmt: skip
    known = {line.split("[")[0]: line for line in said.splitlines() if line.startswith("tempest.")}
    if options.regex:
        wanted = [name for name, line in known.items() if re.search(options.regex, line)]
    else:
        files = [(HERE / "lists" / f"{name}.txt", Path(name)) for name in options.list.split(",")]
        wanted = list(dict.fromkeys(name for kept, own in files for name in record.names(kept if kept.exists() else own)))
    for name in wanted:
        if name not in known:
            print(f"tempest does not know {name}")
    chosen = [known[name] for name in wanted if name in known]
    (work / "full-ids.txt").write_text("".join(f"{line}\n" for line in chosen))
    return chosen


if __name__ == "__main__":
    sys.exit(main())
