"""Programs that take turns: each is stopped while another runs, so that a busy machine slows all of them alike.

CPU time is that of the program and of all processes that it started and waited for; wall time is the sum of its turns.
Linux only (`/proc`, pidfd).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Program:
    """A command that takes its turns; `cpu` and `wall` in seconds, when it has ended."""

    command: Sequence[str]
    environment: Mapping[str, str]
    wall: float = 0.0
    cpu: float = 0.0


def take_turns(programs: Sequence[Program], seconds: float = 1.0) -> None:
    """Run all programs to their end, each `seconds` at a time. Raises RuntimeError where one fails."""
    running = []
    try:
        for program in programs:
            started = time.perf_counter()
            process = subprocess.Popen(program.command, env={**os.environ, **program.environment})
            _signal(process.pid, signal.SIGSTOP)
            program.wall += time.perf_counter() - started
            running.append((program, process, os.pidfd_open(process.pid)))
        while running:
            for turn in list(running):
                program, process, fd = turn
                began = time.perf_counter()
                _signal(process.pid, signal.SIGCONT)
                ended, _, _ = select.select([fd], [], [], seconds)
                if not ended:
                    _signal(process.pid, signal.SIGSTOP)
                program.wall += time.perf_counter() - began
                if ended:
                    running.remove(turn)
                    os.close(fd)
                    _, status, used = os.wait4(process.pid, 0)
                    process.returncode = os.waitstatus_to_exitcode(status)
                    program.cpu = used.ru_utime + used.ru_stime
                    if process.returncode:
                        raise RuntimeError(f"{' '.join(program.command)} ended with exit code {process.returncode}")
    finally:
        for _, process, _ in running:
            for pid in _family(process.pid):
                os.kill(pid, signal.SIGKILL)


def _signal(root: int, number: signal.Signals) -> None:
    """To a process and all its descendants; parents first, so that a stopped one starts no more."""
    done: set[int] = set()
    while new := [pid for pid in _family(root) if pid not in done]:
        for pid in new:
            done.add(pid)
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def _family(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, fields in _processes():
        children.setdefault(int(fields[1]), []).append(pid)
    family = [root]
    for pid in family:
        family += children.get(pid, [])
    return family


def _processes() -> list[tuple[int, list[str]]]:
    """Process ids with the fields of /proc/PID/stat from the third, the state, on."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found.append((int(path.parent.name), path.read_text().rpartition(")")[2].split()))
        except OSError:
            continue
    return found


def family_cpu() -> dict[str, float]:
    """CPU seconds of this process, and of its descendants, those that have ended included, until now."""
    family = _family(os.getpid())
    total = {"driver": 0.0, "workers": 0.0}
    for pid, fields in _processes():
        if pid in family:
            user, system, child_user, child_system = (int(field) / TICKS for field in fields[11:15])
            total["driver" if pid == os.getpid() else "workers"] += user + system
            total["workers"] += child_user + child_system
    return total
