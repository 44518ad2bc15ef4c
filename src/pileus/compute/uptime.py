"""How long this machine has been running, in the words of uptime(1)."""

from pathlib import Path

from pileus.kernel import clock


def read(now: float, proc: Path = Path("/proc")) -> str | None:
    """Return what uptime(1) prints, or None where the kernel does not tell."""
    try:
        seconds = int(float((proc / "uptime").read_text().split()[0]))
        load = ", ".join((proc / "loadavg").read_text().split()[:3])
    except (OSError, ValueError, IndexError):
        return None
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    spell = f"{days} day{'s' * (days != 1)}, " if days else ""
    return f" {clock.to_iso(now)[11:19]} up {spell}{hours:2d}:{rest // 60:02d},  0 users,  load average: {load}"
