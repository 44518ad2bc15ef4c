"""`python -m tests.cluster.agent STATE_DIR`: the agent of a host whose hypervisor and networks are kept fakes."""

import sys
from pathlib import Path

from pileus import drivers
from pileus.agent import process
from pileus.kernel import logs
from pileus.kernel.settings import Settings, load
from tests.cluster import kept


def main(state_dir: Path) -> None:
    """Serve until a signal says stop."""
    drivers._hypervisor = lambda settings, *_: kept.hypervisor(_file(settings, "guests"))
    drivers._fake_network = lambda *_: kept.network_host(state_dir / "network.kept")
    logs.configure("info", None)
    process.run(load(state_dir / "pileus.toml", state_dir=str(state_dir)))


def _file(settings: Settings, name: str) -> Path:
    return Path(settings.state_dir) / f"{name}.kept"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
