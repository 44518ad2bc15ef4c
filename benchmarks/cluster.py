#!/usr/bin/env python3
"""How a cloud of many hosts does: 500 fake hosts with 10,000 servers on PostgreSQL, against what it must reach.

    .venv/bin/python benchmarks/cluster.py [--hosts 500 --servers 10000 --burst 200] [--profile]

Figures are wall times where a target is one, with the CPU that was spent beside them: on a machine that others use, that is
what to compare.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
from sqlalchemy import insert, select, text
from tests.cluster.many import SECRET, Many, cloud_of_many, until
from tests.cluster.probe import Api, Probe

from pileus.compute.store import servers as servers_store
from pileus.compute.tables.hosts import hosts as hosts_table
from pileus.compute.tables.servers import servers as servers_table
from pileus.compute.tasks import placing
from pileus.kernel import ids
from pileus.kernel.bus import LocalBus
from pileus.kernel.clock import SystemClock
from pileus.kernel.db import Database
from pileus.kernel.settings import Settings
from pileus.main import build_cloud

PLACINGS = 200
TARGETS = {"placing_p95_ms": 50.0, "burst_seconds": 20.0, "agent_mib": 80.0}


class Bench:
    """One run."""

    def __init__(self, many: Many, wanted: argparse.Namespace) -> None:
        self.many, self.wanted, self.api = many, wanted, Api(many)
        self.db = Database(many.database.url)
        self.figures: dict[str, Any] = {}

    def fill(self) -> None:
        """Have so many servers be there: copies of one, spread over the hosts and over a hundred projects."""
        self.probe = Probe(self.many, 1)
        self.probe.prepare()
        until(lambda: self._hosts() == self.wanted.hosts, "the hosts")
        first = self._create(1)[0]
        until(lambda: self._active([first]), "the first server")
        with self.db.begin() as tx:
            row = dict(tx.execute(select(servers_table).where(servers_table.c.id == first)).one()._mapping)
            names = tx.execute(select(hosts_table.c.name)).scalars().all()
            rows = [
                {**row, "id": ids.uuid(), "project_id": f"{number % 100:032x}", "host": names[number % len(names)], "nics": []}
                for number in range(self.wanted.servers)
            ]
            for start in range(0, len(rows), 1000):
                tx.execute(insert(servers_table), rows[start : start + 1000])
        with self.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
        project = self.api.get("/identity/v3/projects?name=admin")["projects"][0]["id"]
        many = {"instances": -1, "cores": -1, "ram": -1}
        self.api.insist("PUT", f"/compute/v2.1/os-quota-sets/{project}", quota_set=many)
        self.api.insist("PUT", f"/network/v2.0/quotas/{project}", quota={"port": -1})

    def _hosts(self) -> int:
        with self.db.read() as tx:
            return len(tx.execute(select(hosts_table.c.id)).all())

    def place(self) -> None:
        """Place servers one after the other, each in a transaction of its own, which is undone."""
        settings = Settings(state_dir=str(self.many.folder / "api1"), database_url=self.many.database.url, secret=SECRET)
        cloud = build_cloud(settings, self.db, SystemClock(), LocalBus({}))
        with self.db.read() as tx:
            id = tx.execute(select(servers_table.c.id).limit(1)).scalar_one()
            server = servers_store.get(tx, id)
        assert server is not None
        wall, cpu = [], []
        for _ in range(PLACINGS):
            began, spent = time.perf_counter(), time.process_time()
            try:
                with self.db.begin() as tx:
                    assert placing.claim(tx, cloud, server, {}).host
                    raise _Undo
            except _Undo:
                pass
            wall.append((time.perf_counter() - began) * 1000)
            cpu.append((time.process_time() - spent) * 1000)
        self.figures["placing_p50_ms"] = round(statistics.median(wall), 1)
        self.figures["placing_p95_ms"] = round(statistics.quantiles(wall, n=20)[18], 1)
        self.figures["placing_cpu_ms"] = round(statistics.median(cpu), 1)

    def burst(self) -> None:
        """Ask for many servers at once; wait until all are ACTIVE."""
        before, began = self._cpu(), time.monotonic()
        asked = self._create(self.wanted.burst)
        self.figures["burst_asked_seconds"] = round(time.monotonic() - began, 1)
        until(lambda: self._active(asked), "the servers", 600)
        self.figures["burst_seconds"] = round(time.monotonic() - began, 1)
        spent = self._cpu()
        self.figures["burst_cpu_seconds"] = {name: round(spent[name] - before[name], 1) for name in spent}
        self.figures["burst_cpu_seconds"]["all"] = round(sum(spent.values()) - sum(before.values()), 1)
        logs = {name: self.many.log(name) for name in self.many.commands if name.startswith("worker")}
        done = {name: [id for id in asked if f"task {id} of compute.server: boot -> done" in log] for name, log in logs.items()}
        self.figures["booted_by"] = {name: len(ids) for name, ids in done.items()}
        self.figures["booted_twice"] = sum(map(len, done.values())) - len(set().union(*done.values()))

    def idle(self, seconds: float = 30.0) -> None:
        """What looking after the hosts costs while nothing is asked."""
        before = self._cpu()
        time.sleep(seconds)
        spent = self._cpu()
        self.figures["idle_cores"] = {name: round((spent[name] - before[name]) / seconds, 3) for name in spent}

    def sizes(self) -> None:
        """Memory of the processes."""
        for name, process in self.many.processes.items():
            fields = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
            kind = "agent" if name.startswith("host") else name.rstrip("0123456789")
            self.figures[f"{kind}_mib"] = round(int(fields["VmRSS"].split()[0]) / 1024, 1)

    def _create(self, count: int) -> list[str]:
        body = {"imageRef": self.probe.image, "flavorRef": self.probe.flavors[0], "networks": [{"uuid": self.probe.network}]}

        def one(number: int) -> str:
            url = f"{self.many.url}/compute/v2.1/servers"
            wanted = {"server": {**body, "name": f"bench{number}"}}
            answer = httpx.post(url, json=wanted, headers={"X-Auth-Token": token}, timeout=300)
            assert answer.status_code == 202, answer.text
            return str(answer.json()["server"]["id"])

        token = self.many.token()
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(one, range(count)))

    def _active(self, wanted: list[str]) -> bool:
        with self.db.read() as tx:
            query = select(servers_table.c.vm_state, servers_table.c.fault).where(servers_table.c.id.in_(wanted))
            found = tx.execute(query).all()
        failed = [fault for state, fault in found if state == "error"]
        assert not failed, failed[0]
        return all(state == "active" for state, _ in found)

    def _cpu(self) -> dict[str, float]:
        """CPU seconds of each process so far; `database` and `broker` with all of theirs."""
        ticks = os.sysconf("SC_CLK_TCK")
        used, parent = {}, {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            pid = int(stat.parent.name)
            parent[pid] = int(fields[1])
            used[pid] = sum(map(int, fields[11:15])) / ticks

        def tree(pid: int) -> float:
            return used.get(pid, 0.0) + sum(tree(child) for child, above in parent.items() if above == pid)

        found = {name: tree(process.pid) for name, process in self.many.processes.items()}
        return found | {"database": tree(self.many.database.process.pid), "broker": tree(self.many.broker.process.pid)}


class _Undo(Exception):
    pass


def main() -> None:
    """Run, print, and say what misses its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=500)
    parser.add_argument("--servers", type=int, default=10_000)
    parser.add_argument("--burst", type=int, default=200)
    parser.add_argument("--only", default="place,idle,burst", help="which parts")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pileus-bench-") as directory:
        folder = Path(directory)
        settings = {"IMAGE_STORES": f"file=file:{folder}/images", "BOOT_TIMEOUT_SECONDS": "600"}
        plain = [sys.executable, "-m", "pileus.cli", "--state-dir", str(folder / "host1"), "agent"]
        with cloud_of_many(folder, hosts=1, agent=plain, host_settings={"fake_hosts": wanted.hosts}, **settings) as many:
            bench = Bench(many, wanted)
            bench.fill()
            for part in wanted.only.split(","):
                getattr(bench, part)()
            bench.sizes()
    print(json.dumps(bench.figures, indent=1))
    for name, target in TARGETS.items():
        if name in bench.figures:
            ratio = bench.figures[name] / target
            print(f"{name}: {bench.figures[name]} of {target:g}, ratio {ratio:.2f}{' MISSED' if ratio > 1 else ''}")


if __name__ == "__main__":
    main()
