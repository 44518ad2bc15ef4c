"""Layers as block nodes, and what is done to them while a daemon serves them.

Every node is named in full, with its format, so that no header decides what is opened.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pileus.volume.driver import VolumeDriverError
from pileus.volume.drivers.layers.programs import LOOK_SECONDS, Interrupted, failure
from pileus.volume.drivers.layers.tree import format_of
from pileus.volume.drivers.nbd.daemon import Export, Node, export_arguments
from pileus.volume.drivers.nbd.qmp import Monitor, monitor

GONE_SECONDS = 10.0
Protocol = Callable[[str], dict[str, Any]]
"""Gives the node by which the bytes of a layer are reached."""
SHORTEN, STILL = "shorten", "still"


def name_of(layer: str) -> str:
    """Return the name of a layer's node."""
    return f"n{layer.partition('.')[0]}"


def layered(layers: Sequence[str], protocol: Protocol, *, writable: bool) -> list[Node]:
    """Return the nodes of a layer over those below it, given from the top down; only the top is ever written to."""
    top, *below = layers
    backing = _reading(below, protocol) if below else None
    return _writing(top, protocol, backing) if writable else [_reading(layers, protocol)]


def remote(socket: Path, export: str, *, writable: bool) -> Node:
    """Return a node that passes everything on to another daemon, and waits for it when it is started again."""
    server = {"type": "unix", "path": str(socket)}
    client = {"driver": "nbd", "server": server, "export": export, "reconnect-delay": 60, "discard": "unmap"}
    return {"driver": "raw", "node-name": "gate", "read-only": not writable, "discard": "unmap", "file": client}


def top_of(talk: Monitor) -> str:
    """Return the name of the node that is exported."""
    return str(talk.execute("query-block-exports")[0]["node-name"])


def overlay(qmp: Path, layer: str, protocol: Protocol) -> None:
    """Let a daemon write to a new, empty layer over what it wrote to until now; nothing happens when it does already."""
    with monitor(qmp) as talk:
        top, wanted = top_of(talk), name_of(layer)
        if top == wanted:
            return
        _forget(talk, [layer])  # what an attempt that was cut short left
        try:
            for node in _writing(layer, protocol, None):
                talk.execute("blockdev-add", **node)
            talk.execute("blockdev-snapshot", node=top, overlay=wanted)
        except VolumeDriverError:
            _forget(talk, [layer])
            raise


@contextlib.contextmanager
def still(qmp: Path, volume_id: str) -> Iterator[None]:
    """Let nobody write to what a daemon exports, and all that was asked of it be done, as long as this is open."""
    with monitor(qmp) as talk:
        unused = Export(f"{volume_id}.still", top_of(talk), False)  # one export is left, so that the top is known
        talk.execute("block-export-add", **export_arguments(STILL, unused))
        _take_away(talk, {f"export{number}" for number in range(2)})
    try:
        yield
    finally:
        with monitor(qmp) as talk:
            _give_back(talk, exports_of(volume_id, top_of(talk)))
            talk.execute("block-export-del", id=STILL, mode="hard")


def resize(qmp: Path, volume_id: str, size_bytes: int) -> None:
    """Make what is exported larger.  Its users lose the connection for a moment and come back.

    :raises VolumeDriverError: when there is no room; it goes on as it was.
    """
    with monitor(qmp) as talk:
        top = top_of(talk)
        try:
            _take_away(talk, {f"export{number}" for number in range(2)})
            talk.execute("block_resize", node_name=top, size=size_bytes)
        finally:
            _give_back(talk, exports_of(volume_id, top))


def is_whole(qmp: Path) -> bool:
    """Whether a daemon exports all that it should: whoever took something away may have been killed before giving it back."""
    with monitor(qmp) as talk:
        return {export["id"] for export in talk.execute("query-block-exports")} == {"export0", "export1"}


def exports_of(volume_id: str, node: str) -> list[Export]:
    """Return what the daemon of a volume exports."""
    return [Export(volume_id, node, True), Export(f"{volume_id}.ro", node, False)]


def _take_away(talk: Monitor, ids: set[str]) -> None:
    for id in ids:
        talk.execute("block-export-del", id=id, mode="hard")
    deadline = time.monotonic() + GONE_SECONDS
    while ids & {export["id"] for export in talk.execute("query-block-exports")}:
        if time.monotonic() > deadline:
            raise VolumeDriverError("the storage daemon does not let go of its users")


def _give_back(talk: Monitor, wanted: Sequence[Export]) -> None:
    there = {export["id"] for export in talk.execute("query-block-exports")}
    for number, export in enumerate(wanted):
        if f"export{number}" not in there:
            talk.execute("block-export-add", **export_arguments(f"export{number}", export))


def shorten(qmp: Path, layers: Sequence[str], flush: Callable[[], None], stop: Callable[[], bool]) -> None:
    """Pull everything between the first and the last of some layers up into the first, which is exported, while it is served.

    QEMU does not look after the order of what it writes here: the top's header, which lets go of the layers between, may be on
    the disk before the top has what was in them.  So the job waits with it until all is flushed.

    :param flush: brings to the disk what was written to the volume.
    :raises Interrupted: when it was stopped.
    :raises VolumeDriverError: when it cannot be done.
    """
    _, *between, base = layers
    with monitor(qmp) as talk:
        arguments = {"job-id": SHORTEN, "device": top_of(talk), "base-node": name_of(base), "backing-file": base}
        talk.execute("block-stream", **arguments, auto_finalize=False, auto_dismiss=False)
        stopped = False
        try:
            while (status := _status(talk)) not in ("pending", "concluded"):
                if not stopped and stop():
                    stopped = True
                    _cancel(talk)
                time.sleep(LOOK_SECONDS)
            if status == "pending" and not stopped:
                flush()
                talk.execute("job-finalize", id=SHORTEN)
        except VolumeDriverError:
            _cancel(talk)
            raise
        finally:
            job = _concluded(talk)
    if stopped:
        raise Interrupted("shortening was stopped")
    if "error" in job:
        raise failure(f"the storage daemon could not shorten the chain: {job['error']}")
    flush()
    with monitor(qmp) as talk:
        _forget(talk, between)


def end_jobs(qmp: Path) -> None:
    """End what an earlier process let a daemon do and did not wait for: it would stand in the way of whatever comes.

    :raises VolumeDriverError: when it does not end.
    """
    deadline = time.monotonic() + GONE_SECONDS
    with monitor(qmp) as talk:
        while jobs := talk.execute("query-jobs"):
            for job in jobs:
                command = "job-dismiss" if job["status"] == "concluded" else "job-cancel"
                with contextlib.suppress(VolumeDriverError):  # it goes from one status to the next
                    talk.execute(command, id=job["id"])
            if time.monotonic() > deadline:
                raise VolumeDriverError("the storage daemon does not end a job")
            time.sleep(LOOK_SECONDS)


def _cancel(talk: Monitor) -> None:
    with contextlib.suppress(VolumeDriverError):  # it ended just now
        talk.execute("job-cancel", id=SHORTEN)


def _concluded(talk: Monitor) -> dict[str, Any]:
    """Wait for the end of the job, and let the daemon forget it."""
    while _status(talk) != "concluded":
        time.sleep(LOOK_SECONDS)
    found: dict[str, Any] = next((job for job in talk.execute("query-jobs") if job["id"] == SHORTEN), {})
    if found:
        talk.execute("job-dismiss", id=SHORTEN)
    return found


def _status(talk: Monitor) -> str:
    return next((str(job["status"]) for job in talk.execute("query-jobs") if job["id"] == SHORTEN), "concluded")


def _reading(layers: Sequence[str], protocol: Protocol) -> Node:
    top, *below = layers
    file = {**protocol(top), "discard": "unmap", "read-only": True}
    node = {"driver": format_of(top), "node-name": name_of(top), "read-only": True, "discard": "unmap", "file": file}
    if format_of(top) == "qcow2":
        node["backing"] = _reading(below, protocol) if below else None
    return node


def _writing(layer: str, protocol: Protocol, backing: Node | None) -> list[Node]:
    """Return the node of a layer after that of its bytes, which has a name of its own.

    A snapshot makes the layer's node one that is only read.  Were its bytes a part of it, QEMU 7.2 would take them along, and
    forget by which flags the file is open.  When a job begins later, it would find them wrong, open the file again, and close
    the descriptor at which requests are under way: they end with EBADF, which a client sees as EINVAL.
    """
    bytes_name = _bytes_of(layer)
    file = {**protocol(layer), "node-name": bytes_name, "discard": "unmap", "read-only": False}
    node = {"driver": format_of(layer), "node-name": name_of(layer), "read-only": False, "discard": "unmap", "file": bytes_name}
    return [file, {**node, "backing": backing} if format_of(layer) == "qcow2" else node]


def _bytes_of(layer: str) -> str:
    return f"b{name_of(layer)[1:]}"


def _forget(talk: Monitor, layers: Sequence[str]) -> None:
    """Let go of layers that nothing stands on, as far as they have nodes of their own."""
    for layer in layers:
        for name in (name_of(layer), _bytes_of(layer)):
            with contextlib.suppress(VolumeDriverError):
                talk.execute("blockdev-del", node_name=name)
