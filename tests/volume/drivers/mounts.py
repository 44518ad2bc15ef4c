"""File systems of their own for tests: in a file, mounted, and gone again.  Root only."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


@contextlib.contextmanager
def mounted(directory: Path, kind: str, size_bytes: int) -> Iterator[Path]:
    """Mount an empty file system; skips the test where that cannot be."""
    program = shutil.which(f"mkfs.{kind}", path=SBIN)
    if os.geteuid() != 0 or program is None or not Path("/dev/loop-control").exists():
        pytest.skip(f"needs root, loop devices and mkfs.{kind}")
    directory.mkdir(parents=True, exist_ok=True)
    image, place = directory / f"{kind}.img", directory / kind
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run([program, "-q", image], check=True)
    done = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)
        image.unlink()
