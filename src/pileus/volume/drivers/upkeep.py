"""Chains of layers kept short, in the background.  Whoever wants a volume meanwhile gets it at once: the work is given up.

A top whose lower layer nobody else needs is written down into it while nobody is connected, so that a volume whose last
snapshot was dropped is one plain file again.  A chain that is longer than `CHAIN_MAX` is pulled up into its top, all but the
lowest layer, also while it is served.  At no moment of either does a file lack what it should hold: killed in the middle, it is
done again.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pileus.volume.driver import VolumeDriverError
from pileus.volume.drivers.layers import wiping
from pileus.volume.drivers.layers.programs import COPY_SECONDS, QEMU_IMG, Interrupted, run
from pileus.volume.drivers.layers.tree import Head, Tree, format_of, is_of_image
from pileus.volume.drivers.nbd import nodes
from pileus.volume.drivers.nbd.serving import Serving
from pileus.volume.drivers.nbd_client import NbdContent

CHAIN_MAX = 12
AGAIN_SECONDS = 1.0

log = logging.getLogger(__name__)


class Upkeep:
    """A thread with a list of volumes to look after."""

    def __init__(self, tree: Tree, serving: Serving, closing: threading.Event) -> None:
        self._tree, self._serving, self._closing = tree, serving, closing
        self._wanted: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, first: Callable[[], None]) -> None:
        """Start the thread, which does something else first."""
        self._thread = threading.Thread(target=self._run, args=(first,), name="volume upkeep", daemon=True)
        self._thread.start()

    def want(self, volume_id: str) -> None:
        """Look after a volume soon."""
        self._wanted.put(volume_id)

    def want_users_of(self, layers: Iterable[str]) -> None:
        """Look after the volumes that stand on layers, of which somebody else let go."""
        of_interest = set(layers)
        if of_interest:
            with self._tree.alone():
                for head in self._tree.own_heads():
                    if of_interest & set(self._tree.chain(head.top)):
                        self.want(head.id)

    def close(self) -> None:
        """End the thread."""
        self._wanted.put("")
        if self._thread is not None:
            self._thread.join()

    def _run(self, first: Callable[[], None]) -> None:
        try:
            first()
        except Exception:
            log.exception("cannot take up what was left")
        while volume_id := self._wanted.get():
            if self._closing.is_set():
                return
            try:
                self.look_after(volume_id)
            except Interrupted:
                self._closing.wait(AGAIN_SECONDS)
                self.want(volume_id)
            except (VolumeDriverError, OSError) as error:
                log.warning("the layers of volume %s stay as they are: %s", volume_id, error)

    def look_after(self, volume_id: str) -> None:
        """Shorten the chain of a volume if that is worth it.

        :raises Interrupted: when somebody wanted the volume.
        :raises VolumeDriverError: when it cannot be done.
        """
        while self._step(volume_id):
            pass

    def _step(self, volume_id: str) -> bool:
        with self._tree.locks.hold(volume_id):
            head = self._tree.head(volume_id)
            if head is None:
                return False
            chain = self._tree.chain(head.top)
            if len(chain) > 1 and self._serving.live(volume_id) is None and self._only_ours(chain[1]):
                self._write_down(head, chain[1])
                return True
            if len(chain) > CHAIN_MAX:
                self._pull_up(head, chain)
        return False

    def _only_ours(self, layer: str) -> bool:
        """Whether a layer may be written to: it is no image's, and has no other user."""
        with self._tree.alone():
            return not is_of_image(layer) and self._tree.users(layer) == 1

    def _write_down(self, head: Head, below: str) -> None:
        path, target = self._tree.path(head.top), self._tree.path(below)
        run([QEMU_IMG, "commit", "-q", "-f", "qcow2", "-d", str(path)], COPY_SECONDS, stop=lambda: self._stop(head.id))
        wiping.sync(target)
        if format_of(below) == "raw" and target.stat().st_size < head.size_bytes:
            with target.open("r+b") as file:
                file.truncate(head.size_bytes)
        self._replace(head, replace(head, top=below))

    def _pull_up(self, head: Head, chain: Sequence[str]) -> None:
        with self._serving.daemon_of(head) as (qmp, socket):

            def flush() -> None:
                content = NbdContent(socket, head.id)
                try:
                    content.flush()
                finally:
                    content.close()

            nodes.shorten(qmp, chain, flush, lambda: self._stop(head.id))
        self._drop_unneeded(head.id, chain)

    def _drop_unneeded(self, volume_id: str, layers: Iterable[str]) -> None:
        with self._tree.alone():
            unneeded = set(layers) - self._tree.needed(self._tree.heads())
            self._unlink(self._tree.throw_away(unneeded, volume_id, "punch"))

    def _replace(self, before: Head, after: Head) -> None:
        self._unlink(self._tree.replace(before, after, "punch"))

    def _unlink(self, paths: Iterable[Path]) -> None:
        for path in paths:
            with contextlib.suppress(OSError):
                wiping.wipe(path, "punch", self._closing.is_set)

    def _stop(self, volume_id: str) -> bool:
        return self._closing.is_set() or self._tree.locks.wanted(volume_id)
