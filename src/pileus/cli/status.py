"""`pileus status`: what runs."""

import json
import time
from pathlib import Path
from typing import Any

import click

from pileus import process
from pileus.cli.group import settings_of


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show whether the cloud runs, where, and what is on it.  Exit code 3 when it does not run."""
    settings = settings_of(ctx)
    state_dir = Path(settings.state_dir)
    running = process.find(state_dir)
    facts: dict[str, Any] = {"state_dir": str(state_dir), "running": running is not None}
    if running:
        facts |= {
            "url": running.url, "pid": running.pid, "up_seconds": round(time.time() - running.started_at),
            "memory_mib": _resident_mib(running.pid),
        }  # fmt: skip
    if (state_dir / "pileus.db").exists() or settings.database_url:
        facts |= _counts(settings.database)
    if as_json:
        click.echo(json.dumps(facts))
    else:
        for name, value in facts.items():
            click.echo(f"{name.replace('_', ' '):<14} {value}")
    if running is None:
        ctx.exit(3)


def _resident_mib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0


def _counts(url: str) -> dict[str, int]:
    from pileus.kernel.db import Database  # noqa: PLC0415  (the whole cloud is heavy, and help is quick)
    from pileus.main import census  # noqa: PLC0415

    return census(Database(url))
