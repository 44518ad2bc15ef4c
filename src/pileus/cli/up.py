"""`pileus up`: start the cloud."""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import click

from pileus import process
from pileus.cli.group import settings_of
from pileus.cli.parts import run_until_stopped
from pileus.kernel.settings import Settings

READY_SECONDS = 60.0


@click.command()
@click.option("--detach", is_flag=True, help="Return once all APIs answer; the cloud runs on in the background.")
@click.option("--state-dir", type=click.Path(), help="Where everything that lasts is kept.")
@click.option("--listen", metavar="ADDRESS:PORT", help="Where the APIs are served (127.0.0.1:8000).")
@click.option("--classic-ports", is_flag=True, default=None, help="Serve each API at its well-known port, too.")
@click.pass_context
def up(ctx: click.Context, detach: bool, state_dir: str | None, listen: str | None, classic_ports: bool | None) -> None:
    """Start the cloud: every API, the workers and this machine as its first host.

    \b
    pileus up                               in the foreground, until Ctrl-C
    pileus up --detach                      in the background
    pileus up --listen 0.0.0.0:8000         for other machines, too
    """
    settings = settings_of(ctx, state_dir=state_dir, listen=listen, classic_ports=classic_ports)
    if running := process.find(Path(settings.state_dir)):
        if not detach:
            raise click.ClickException(f"The cloud runs already at {running.url} (pid {running.pid}).")
        click.echo(f"The cloud runs already at {running.url} (pid {running.pid}).")
        return
    if detach:
        _detach(settings, ctx)
    else:
        from pileus import daemon  # noqa: PLC0415  (help and --detach do not need the cloud)

        run_until_stopped(settings, daemon.run)


def _detach(settings: Settings, ctx: click.Context) -> None:
    state_dir = Path(settings.state_dir)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = state_dir / "pileus.log"
    command = [sys.executable, "-m", "pileus.cli", "--state-dir", str(state_dir)]
    if ctx.obj["config"]:
        command += ["--config", str(ctx.obj["config"])]
    command += ["up", "--listen", settings.listen] + (["--classic-ports"] if settings.classic_ports else [])
    with open(state_dir / "pileus.out", "ab") as out:
        out.truncate(0)
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            env={**os.environ, "PILEUS_LOG": str(log)}, cwd="/",
        )  # fmt: skip
    deadline = time.monotonic() + READY_SECONDS
    while not _answers(f"http://{settings.listen}/health"):
        if child.poll() is not None:
            said = (state_dir / "pileus.out").read_text(errors="replace").strip()
            raise click.ClickException(f"The cloud did not start:\n{said}")
        if time.monotonic() > deadline:
            raise click.ClickException(f"The cloud does not answer after {READY_SECONDS:.0f} s. See {log}.")
        time.sleep(0.02)
    click.echo(f"The cloud runs at http://{settings.listen} (pid {child.pid}, log {log}).")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
