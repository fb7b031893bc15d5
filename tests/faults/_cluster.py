"""A Dask cluster for tests: scheduler and workers as the processes that `dask scheduler` and `dask worker` are."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from faults._support import results, start, tables

MODULE = Path(__file__).with_name("cluster_codecs.py")
CLIPS, POINTS = 6, 4


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Cluster:
    """Scheduler and workers; `within` is put before their commands ("ip netns exec a", "faketime -f +3d")."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.folder, self.host, self.port = folder, host, free_port()
        self.address = f"tcp://{host}:{self.port}"
        folder.mkdir()
        self.env = os.environ | {
            "CODECBENCH_TEST_PAUSE": "0.1",
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2",
        }
        self.scheduler: subprocess.Popen[bytes]
        self.workers: list[subprocess.Popen[bytes]] = []
        self.start_scheduler()

    def start_scheduler(self) -> None:
        self.scheduler = self._start(
            [
                *("scheduler", "--host", self.host, "--port", str(self.port)),
                *("--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--no-show"),
            ],
            "scheduler",
        )

    def add(
        self,
        name: str,
        *options: str,
        within: Sequence[str] = (),
        env: dict[str, str] | None = None,
        address: str | None = None,
    ) -> subprocess.Popen[bytes]:
        """Another worker of one thread; `address` is the scheduler's where it is not the cluster's own."""
        args = ["worker", address or self.address, "--name", name, "--nthreads", "1", "--no-dashboard", *options]
        scratch = ["--local-directory", str(self.folder / name)]
        worker = self._start([*args, *scratch], name, within, env)
        self.workers.append(worker)
        return worker

    def _start(
        self, args: list[str], name: str, within: Sequence[str] = (), env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        module = f"distributed.cli.dask_{args[0]}"
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*within, sys.executable, "-m", module, *args[1:]],
                env=self.env | (env or {}),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            end(process)

    def logs(self) -> str:
        return "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))


def end(process: subprocess.Popen[bytes]) -> None:
    """kill -9, with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


@contextlib.contextmanager
def cluster(folder: Path, workers: int = 3, host: str = "127.0.0.1") -> Iterator[Cluster]:
    """A cluster of so many workers; one has a nanny, as `dask worker` has by default, the others start sooner."""
    one = Cluster(folder, host)
    try:
        for number in range(workers):
            one.add(f"w{number}", *([] if number == 0 else ["--no-nanny"]))
        yield one
    finally:
        one.close()


@contextlib.contextmanager
def slow_link(port: int, delay: float = 0.15, rate: float = 1e5) -> Iterator[int]:
    """A port of this machine that leads to another one, so many seconds later and at so many bytes a second."""
    program = [sys.executable, str(Path(__file__).with_name("slow_link.py")), str(port), str(delay), str(rate)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def arguments(out: Path, clips: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "codecbench.bench", "run", "--corpus", str(clips), "--codec-module", str(MODULE)),
        *("--codecs", "t_slow", "--metrics", "si_sdr,lsd", "--no-cache", "--json", "--out", str(out), *more),
    ]


def run(out: Path, clips: Path, *more: str, timing: bool = False) -> subprocess.Popen[str]:
    """`bench run` over the clips, as a process; its outcome is JSON on standard output."""
    return start(arguments(out, clips, *([] if timing else ["--no-timing"]), *more), dict(os.environ))


def until(true: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 90.0) -> None:
    """Wait for something while the run goes on."""
    limit = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)


def finish(process: subprocess.Popen[str], seconds: float = 180.0) -> tuple[dict[str, object], str]:
    """The outcome of a run that ends well, and what it said."""
    said, errors = process.communicate(timeout=seconds)
    assert process.returncode == 0, errors
    return json.loads(said), errors


def calm(folder: Path, clips: Path) -> dict[str, bytes]:
    """The tables of a local run."""
    finish(run(folder, clips, "--jobs", "1"))
    return tables(folder)


def count(folder: Path) -> int:
    return len(results(folder))
