"""Command line of the guest image builder: `python -m pileus.guest build OUT.qcow2 [--kernel-dir DIR]`."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from pileus.guest.build import build
from pileus.guest.packages import MissingPackages, fetch, fetch_novnc


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pileus.guest", description="Build the guest image from Debian packages.")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="write a bootable qcow2")
    make.add_argument("out", type=Path, help="the image to write")
    make.add_argument("--kernel-dir", type=Path, help="also write vmlinuz and initrd into this folder")
    make.add_argument("--packages-dir", type=Path, help="where unpacked Debian packages are kept (default: the user's cache)")
    get = commands.add_parser(
        "fetch", help="download what is taken apart but never installed: for the guest image and the page of the consoles"
    )
    get.add_argument("--packages-dir", type=Path)
    args = parser.parse_args(argv)
    try:
        if args.command == "fetch":
            fetch(args.packages_dir, progress=say)
            fetch_novnc(args.packages_dir, progress=say)
            return 0
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="pileus-guest-") as work:
            facts = build(args.out, Path(work), say, kernel_dir=args.kernel_dir, packages_dir=args.packages_dir)
    except MissingPackages as error:
        print(f"pileus.guest: {error}", file=sys.stderr)
        return 1
    print(f"{facts.path}: {facts.size_bytes / 2**20:.1f} MiB, kernel {facts.kernel_version}, {time.monotonic() - started:.1f} s")
    return 0


def say(message: str) -> None:
    """Tell the person who waits what is being done."""
    print(f"  {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
