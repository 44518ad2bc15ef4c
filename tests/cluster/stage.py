"""Where a probe takes place: a cloud, and what can be seen of its hosts and done to them."""

from dataclasses import dataclass, field
from typing import Protocol

from tests.cluster.known import Scale
from tests.cluster.many import Many
from tests.cluster.truth import Truth


class Real(Protocol):
    """What can be done to hosts that are more than their agents."""

    def processes(self) -> list[tuple[str, int]]:
        """Return the servers that have a process, and its pid."""

    def storage(self) -> list[int]:
        """Return the pids of what serves volumes."""

    def remember(self) -> None:
        """How it is now is how it is to be in the end."""

    def wire(self, host: str, up: bool) -> None:
        """Cut a host off from everything, or join it again."""


@dataclass(frozen=True)
class Stage:
    """`real` is there where hosts are more than their agents; `image` is the content of servers' image, and its format."""

    many: Many
    truth: Truth
    scale: Scale = field(default_factory=Scale)
    image: tuple[bytes, str] = (bytes(4096), "raw")
    real: Real | None = None
