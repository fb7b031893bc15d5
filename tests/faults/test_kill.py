"""kill -9 of driver and workers, at moments of writing and at random times: the same command goes on, no row is lost,
none is computed again, and the final tables are those of a run that nothing disturbed."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from faults._support import children, command, environment, left, linux, make_clips, orphans, results, start, tables

pytestmark = linux

MODULE = Path(__file__).with_name("killer.py")
CLIPS, POINTS, METRICS = 6, 5, 2

#: (moment, its times at which there is still something to be done); see killer.py
DRIVER = [("begin", 4, 14), ("begin+", 4, 14), ("insert", 20, 60), ("insert+", 20, 60), ("delete+", 1, 8)]
DRIVER += [("commit", 4, 14), ("commit+", 4, 14)]
#: and those of a run's end
CLOSING = [("file", 1, 8), ("move", 1, 8), ("move+", 1, 8)]
WORKER = [("unit", 1, 3), ("encode", 1, 3), ("decode", 1, 3), ("file", 1, 3), ("move", 1, 5), ("move+", 1, 5)]
WORKER += [("message", 2, 14), ("half message", 2, 14), ("message+", 2, 14)]


class Runs:
    """The same command over and over into one folder, with what it must keep each time."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.struck = root, root / "run", 0
        root.mkdir()
        (root / "marks").mkdir()
        clips = root.parent / "clips"
        if not clips.exists():
            make_clips(clips, CLIPS)
        args = ["--corpus", str(clips), "--codec-module", str(MODULE), "--codecs", "k_rounds,k_halves"]
        self.command = command(self.folder, *args)

    def once(self, *kills: str, after: float = 0.0, worker: int | None = None) -> int:
        """A run with these kills, or with one of the driver, or of a worker, after so many seconds; the exit code."""
        marks, log = self.root / "marks", self.root / "log"
        log.write_text("")
        before, struck = results(self.folder), len(list(marks.iterdir()))
        more = {"CODECBENCH_TEST_MARKS": str(marks), "CODECBENCH_TEST_LOG": str(log)}
        process = start(self.command, environment(self.root / "cache", CODECBENCH_TEST_KILL=",".join(kills), **more))
        workers: set[int] = set()
        began = time.monotonic()
        while process.poll() is None:
            workers |= set(children(process.pid))
            if after and time.monotonic() - began > after:
                alive = [pid for pid in workers if not left([pid], 0)]
                with suppress(ProcessLookupError):  # it ended in this moment: the next look takes another
                    os.kill(alive[worker % len(alive)] if alive and worker is not None else process.pid, signal.SIGKILL)
                    after, self.struck = 0.0, self.struck + 1
            time.sleep(0.02)
        _, err = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), err
        self.struck += len(list(marks.iterdir())) - struck
        assert left(workers) == [], "a worker outlived its driver"
        now = results(self.folder)
        assert set(now.values()) <= {METRICS}, "a result without all of its scores"
        assert orphans(self.folder) == 0
        assert before.items() <= now.items(), "a row was lost"
        begun = {tuple(line.split()) for line in log.read_text().splitlines()}
        assert begun.isdisjoint(before), "a unit was computed again"
        return process.returncode

    def chain(self, rng: random.Random, driver: list[tuple[str, int, int]], workers: int) -> None:
        """Kill after kill in one folder."""
        for moment, first, last in driver:
            kills = [f"driver:{moment}:{rng.randint(first, last)}"]
            kills += [f"worker:{m}:{rng.randint(a, b)}" for m, a, b in rng.sample(WORKER, workers)]
            self.once(*kills)

    def end(self) -> dict[str, bytes]:
        """The tables, after a run to the end."""
        assert self.once() == 0
        assert len(results(self.folder)) == CLIPS * POINTS
        return tables(self.folder)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The tables of a run that nothing disturbed."""
    return Runs(tmp_path_factory.mktemp("calm") / "calm").end()


def test_killed_at_some_moments(tmp_path, calm):
    runs = Runs(tmp_path / "killed")
    runs.once("driver:insert:40", "worker:half message:3")
    runs.once("driver:move:4", "worker:move:2")
    assert runs.struck == 4
    assert runs.end() == calm


@pytest.mark.slow
def test_killed_at_fifty_moments_and_more(tmp_path, calm):
    struck = 0
    for seed in range(5):
        rng = random.Random(seed)
        runs = Runs(tmp_path / str(seed))
        runs.chain(rng, rng.sample(DRIVER, 5), workers=3)
        runs.chain(rng, rng.sample(CLOSING, 2), workers=0)
        assert runs.end() == calm
        struck += runs.struck
    logging.info("%d kills, %d rows each time", struck, CLIPS * POINTS)
    assert struck >= 50, f"only {struck} kills came to pass"


@pytest.mark.slow
def test_killed_at_random_times(tmp_path, calm):
    """A run that comes to its end between two kills is compared, and the next kills are of a new one."""
    rng, runs, before = random.Random(7), Runs(tmp_path / "0"), 0
    for number in range(60):
        if before + runs.struck >= 12:
            break
        if runs.once(after=rng.uniform(0.5, 3.5), worker=number if number % 2 else None) == 0:
            before += runs.struck
            assert runs.end() == calm
            runs = Runs(tmp_path / str(number + 1))
    logging.info("%d kills, %d rows", before + runs.struck, CLIPS * POINTS)
    assert before + runs.struck >= 12
    assert runs.end() == calm
