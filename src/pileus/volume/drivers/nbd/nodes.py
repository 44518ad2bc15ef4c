"""Layers as block nodes, and what is done to them while a daemon serves them.

Every node is named in full, with its format, so that no header decides what is opened.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pileus.volume.driver import VolumeDriverError
from pileus.volume.drivers.layers.programs import LOOK_SECONDS, Interrupted, failure
from pileus.volume.drivers.layers.tree import format_of
from pileus.volume.drivers.nbd.daemon import Export, Node, export_arguments
from pileus.volume.drivers.nbd.qmp import Monitor, monitor

GONE_SECONDS = 10.0
SHORTEN = "shorten"


def name_of(layer: str) -> str:
    """Return the name of a layer's node."""
    return f"n{layer.partition('.')[0]}"


def layered(paths: Sequence[Path], *, writable: bool) -> Node:
    """Return the node of a layer over those below it, from the top down; only the top is ever written to."""
    top, *below = paths
    disk_format = format_of(top.name)
    made = _node(top, writable)
    if disk_format == "qcow2":
        made["backing"] = layered(below, writable=False) if below else None
    return made


def remote(socket: Path, export: str, *, writable: bool) -> Node:
    """Return a node that passes everything on to another daemon, and waits for it when it is started again."""
    server = {"type": "unix", "path": str(socket)}
    client = {"driver": "nbd", "server": server, "export": export, "reconnect-delay": 60, "discard": "unmap"}
    return {"driver": "raw", "node-name": "gate", "read-only": not writable, "discard": "unmap", "file": client}


def top_of(talk: Monitor) -> str:
    """Return the name of the node that is exported."""
    return str(talk.execute("query-block-exports")[0]["node-name"])


def overlay(qmp: Path, path: Path) -> None:
    """Let a daemon write to a new, empty layer over what it wrote to until now; nothing happens when it does already."""
    with monitor(qmp) as talk:
        top, wanted = top_of(talk), name_of(path.name)
        if top == wanted:
            return
        with contextlib.suppress(VolumeDriverError):  # what an attempt that was cut short left
            talk.execute("blockdev-del", node_name=wanted)
        talk.execute("blockdev-add", **{**_node(path, True), "backing": None})
        try:
            talk.execute("blockdev-snapshot", node=top, overlay=wanted)
        except VolumeDriverError:
            with contextlib.suppress(VolumeDriverError):
                talk.execute("blockdev-del", node_name=wanted)
            raise


def resize(qmp: Path, exports: Sequence[Export], size_bytes: int) -> None:
    """Make what is exported larger.  Its users lose the connection for a moment and come back.

    :raises VolumeDriverError: when there is no room; it goes on as it was.
    """
    with monitor(qmp) as talk:
        top = top_of(talk)
        for export in talk.execute("query-block-exports"):
            with contextlib.suppress(VolumeDriverError):
                talk.execute("block-export-del", id=export["id"], mode="hard")
        try:
            _await_none(talk)
            talk.execute("block_resize", node_name=top, size=size_bytes)
        finally:
            for number, export in enumerate(exports):
                talk.execute("block-export-add", **export_arguments(f"export{number}", export))


def shorten(qmp: Path, base: str, stop: Callable[[], bool]) -> None:
    """Pull everything between the top and a lower layer up into the top, while it is served.

    :raises Interrupted: when it was stopped.
    :raises VolumeDriverError: when it cannot be done.
    """
    with monitor(qmp) as talk:
        arguments = {"job-id": SHORTEN, "device": top_of(talk), "base-node": name_of(base), "backing-file": base}
        talk.execute("block-stream", **arguments, auto_dismiss=False)
        stopped = False
        while _status(talk) != "concluded":
            if stop() and not stopped:
                talk.execute("job-cancel", id=SHORTEN)
                stopped = True
            time.sleep(LOOK_SECONDS)
        job = next(job for job in talk.execute("query-jobs") if job["id"] == SHORTEN)
        talk.execute("job-dismiss", id=SHORTEN)
    if stopped:
        raise Interrupted("shortening was stopped")
    if "error" in job:
        raise failure(f"the storage daemon could not shorten the chain: {job['error']}")


def _status(talk: Monitor) -> str:
    return next((str(job["status"]) for job in talk.execute("query-jobs") if job["id"] == SHORTEN), "concluded")


def _await_none(talk: Monitor) -> None:
    deadline = time.monotonic() + GONE_SECONDS
    while talk.execute("query-block-exports"):
        if time.monotonic() > deadline:
            raise VolumeDriverError("the storage daemon does not let go of its users")


def _node(path: Path, writable: bool) -> dict[str, Any]:
    file = {"driver": "file", "filename": str(path), "discard": "unmap", "read-only": not writable}
    node = {"driver": format_of(path.name), "node-name": name_of(path.name), "read-only": not writable}
    return {**node, "discard": "unmap", "file": file}
