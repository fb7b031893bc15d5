"""How much memory a worker may take: what there is, shared out, and what a process holds."""

from __future__ import annotations

import os
from pathlib import Path

#: of the machine's memory; the rest is the driver's and the system's
SHARE = 0.8


def total() -> int:
    """Bytes that this process and its workers may fill: the machine's, or its control group's limit if that is less."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in _limits():
        try:
            found.append(int(limit.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return min(found)


def _limits() -> list[Path]:
    """Where the limits of the control groups that this process is in would stand, versions 1 and 2."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, kinds, group = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root = Path("/sys/fs/cgroup/memory" if kinds else "/sys/fs/cgroup")
        inside = root / group.lstrip("/")
        name = "memory.limit_in_bytes" if kinds else "memory.max"
        found += [folder / name for folder in (inside, *inside.parents) if folder.is_relative_to(root)]
    return found


def share(workers: int) -> int:
    """Bytes that each of so many workers may take."""
    return int(SHARE * total() / workers)


def resident(pid: int) -> int:
    """Bytes in memory of a process; 0 where that is not known, or it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
