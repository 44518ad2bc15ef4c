"""Talking to the monitor of a storage daemon: one short conversation at a time."""

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pileus.volume.driver import VolumeDriverError
from pileus.volume.drivers.layers.programs import failure

COMMAND_SECONDS = 20.0


class Monitor:
    """A conversation.  Commands are answered in order; events in between are kept."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self.events: list[dict[str, Any]] = []

    def execute(self, command: str, **arguments: Any) -> Any:
        """Have the daemon do something and return its answer; an underscore in a name stands for a hyphen.

        :raises VolumeDriverError: when it refuses, does not answer in time, or has gone.
        """
        named = {name.rstrip("_").replace("_", "-"): value for name, value in arguments.items()}
        try:
            self._connection.sendall(json.dumps({"execute": command, "arguments": named}).encode() + b"\n")
            answer = self._next()
            while "event" in answer:
                self.events.append(answer)
                answer = self._next()
        except (OSError, ValueError) as error:
            raise VolumeDriverError(f"the storage daemon does not answer {command}: {error}") from error
        if "error" in answer:
            raise failure(f"the storage daemon refused {command}: {answer['error'].get('desc')}")
        return answer.get("return")

    def greet(self) -> None:
        """Say hello."""
        self._next()
        self.execute("qmp_capabilities")

    def close(self) -> None:
        """End the conversation: the daemon talks to one at a time."""
        self._lines.close()

    def _next(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise ConnectionError("it has gone")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def monitor(path: Path) -> Iterator[Monitor]:
    """Open a conversation with a daemon.  :raises VolumeDriverError: when it cannot be reached."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(COMMAND_SECONDS)
        made = Monitor(connection)
        try:
            try:
                connection.connect(str(path))
                made.greet()
            except (OSError, ValueError) as error:
                raise VolumeDriverError(f"the storage daemon cannot be reached: {error}") from error
            yield made
        finally:
            made.close()
