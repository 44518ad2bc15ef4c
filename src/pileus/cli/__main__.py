"""`python -m pileus.cli` is `pileus`."""

from pileus.cli.group import main

main(prog_name="pileus")
