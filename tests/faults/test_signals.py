"""Signals that ask a run to end: it ends cleanly, leaves no process, and says how to go on, which it does."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from faults._support import children, command, environment, left, linux, make_clips, orphans, results, rows, start

pytestmark = linux

MODULE = Path(__file__).with_name("slow_codec.py")
CLIPS = 6


@pytest.fixture
def run(tmp_path):
    """What starts the run: 6 clips, a codec that takes 0.3 s a clip."""
    make_clips(tmp_path / "clips", CLIPS)
    args = ["--corpus", str(tmp_path / "clips"), "--codec-module", str(MODULE), "--codecs", "s_slow"]
    base = [a for a in command(tmp_path / "run", *args, "--no-cache") if a != "--quiet"]
    return lambda: start(base, environment(tmp_path / "cache"))


def wait_for_rows(process, folder, count):
    while len(results(folder)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_run_cleanly(run, tmp_path, number, code):
    process = run()
    wait_for_rows(process, tmp_path / "run", 2)
    workers = children(process.pid)
    process.send_signal(number)
    with suppress(ProcessLookupError):
        process.send_signal(number)  # once more disturbs nothing
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "interrupted; what is done is kept in" in err
    assert "go on with:" in err
    assert "--no-cache" in err
    assert "Traceback" not in err
    assert left(workers) == []
    assert rows(tmp_path / "run", "SELECT value FROM run WHERE key = 'status'") == [('"interrupted"',)]
    before = results(tmp_path / "run")
    assert 2 <= len(before) < CLIPS
    assert orphans(tmp_path / "run") == 0
    process = run()
    assert process.wait(timeout=120) == 0, process.communicate()
    process.communicate()
    assert len(results(tmp_path / "run")) == CLIPS


@pytest.mark.slow
def test_a_run_under_nohup_outlives_its_terminal(run, tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        process = run()
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for_rows(process, tmp_path / "run", 1)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=120)
    assert process.returncode == 0


@pytest.mark.slow
def test_a_stopped_driver_goes_on_and_nothing_times_out(tmp_path):
    make_clips(tmp_path / "clips", 4)
    args = ["--corpus", str(tmp_path / "clips"), "--codec-module", str(MODULE), "--codecs", "s_slow", "--timeout", "6"]
    more = environment(tmp_path / "cache", CODECBENCH_TEST_SECONDS="3")
    process = start([*command(tmp_path / "run", *args), "--json"], more)
    wait_for_rows(process, tmp_path / "run", 1)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(8)
    os.kill(process.pid, signal.SIGCONT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out)["failed"] == 0


@pytest.mark.slow
def test_a_second_run_in_the_folder_is_refused(run, tmp_path):
    first = run()
    wait_for_rows(first, tmp_path / "run", 1)
    second = run()
    _, err = second.communicate(timeout=60)
    assert second.returncode == 2
    assert "another `bench run` is writing into" in err
    _, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert len(results(tmp_path / "run")) == CLIPS
