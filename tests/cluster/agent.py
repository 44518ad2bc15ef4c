"""`python -m tests.cluster.agent STATE_DIR`: the agent of a host whose hypervisor, networks and volumes are kept fakes."""

import sys
from pathlib import Path

from pileus import drivers
from pileus.agent import process
from pileus.kernel import logs
from pileus.kernel.settings import load
from tests.cluster import kept


def main(state_dir: Path) -> None:
    """Serve until a signal says stop."""
    passages = state_dir.parent / "passages"
    drivers._hypervisor = lambda *_: kept.hypervisor(state_dir / "guests.kept", passages)
    drivers._fake_network = lambda *_: kept.network_host(state_dir / "network.kept")
    drivers._backends = lambda settings, *_: (
        {each.name: kept.volumes(state_dir / "volumes.kept") for each in drivers._named_backends(settings)}
    )
    logs.configure("info", None)
    process.run(load(state_dir / "pileus.toml", state_dir=str(state_dir)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
