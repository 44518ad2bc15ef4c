"""Repeats a daemon, and leaves figures of its last pass in DEVICE/recon/NAME.json."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import msgspec
import structlog

from pileus.object_store.storage.layout import Device

log = structlog.get_logger(__name__)


class Progress(msgspec.Struct):
    """The figures of one pass."""

    name: str
    started_at: float
    seconds: float = 0.0
    counts: Counter[str] = msgspec.field(default_factory=Counter)


class Daemon(Protocol):
    """Something that is done again and again on one device."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> Device: ...

    async def run_once(self) -> Counter[str]:
        """Do it once; return what was counted."""


async def run_once(daemon: Daemon, now: Callable[[], float]) -> Progress:
    """Make one pass and write its figures down."""
    progress = Progress(daemon.name, now())
    progress.counts = await daemon.run_once()
    progress.seconds = now() - progress.started_at
    folder = f"{daemon.device.root}/recon"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{daemon.name}.json.tmp", "wb") as file:
        file.write(msgspec.json.encode(progress))
    os.replace(f"{folder}/{daemon.name}.json.tmp", f"{folder}/{daemon.name}.json")
    return progress


async def run_forever(daemon: Daemon, now: Callable[[], float], interval_seconds: float) -> None:
    """Make passes until cancelled; a pass that fails is logged, and the next one tries again."""
    while True:
        try:
            progress = await run_once(daemon, now)
            log.info("pass done", daemon=daemon.name, seconds=progress.seconds, **progress.counts)
        except Exception:
            log.exception("pass failed", daemon=daemon.name)
        await asyncio.sleep(interval_seconds)
