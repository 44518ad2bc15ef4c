"""`pileus doctor`: what this machine can and cannot do for a cloud."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from pileus import host_checks
from pileus.cli.group import settings_of

MARKS = {"good": ("ok", "green"), "poor": ("--", "yellow"), "bad": ("NO", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Look at this machine: what works, what does not, and what to do about it.  Exit code 1 when a cloud cannot run."""
    findings = host_checks.check(Path(settings_of(ctx).state_dir))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mark, colour = MARKS[finding.grade]
            click.echo(f"{click.style(mark, fg=colour)}  {finding.name:<24} {finding.found}")
            if finding.remedy:
                click.echo(f"      -> {finding.remedy}")
    ctx.exit(1 if any(finding.grade == "bad" for finding in findings) else 0)
