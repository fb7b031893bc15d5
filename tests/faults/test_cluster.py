"""Dask clusters whose parts die, hang and come back: nothing is lost, nothing twice; the tables are the local run's.

Scheduler and workers are processes on loopback, or each in a network namespace of its own behind a slow link.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults._cluster import CLIPS, POINTS, calm, cluster, count, end, finish, free_port, run, slow_link, until
from faults._support import linux, make_clips, rows, tables

pytest.importorskip("distributed", reason="the extra dask is not installed")

ALL = CLIPS * POINTS


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("corpus") / "clips", CLIPS)


@pytest.fixture(scope="module")
def local(tmp_path_factory, clips):
    return calm(tmp_path_factory.mktemp("local") / "run", clips)


def whole(folder, outcome, local):
    """No unit was lost or computed into the store twice, and the tables are the local run's, byte for byte."""
    assert outcome["units"] == outcome["computed"] == count(folder) == ALL
    assert tables(folder) == local


def test_a_killed_worker_costs_nothing(tmp_path, clips, local):
    with cluster(tmp_path / "dask") as dask:
        process = run(tmp_path / "run", clips, "--executor", "dask", "--scheduler", dask.address)
        until(lambda: count(tmp_path / "run") >= 3, process)
        end(dask.workers[1])
        outcome, _ = finish(process)
        whole(tmp_path / "run", outcome, local)


@pytest.mark.slow
def test_all_workers_killed_one_after_the_other(tmp_path, clips, local):
    with cluster(tmp_path / "dask") as dask:
        process = run(tmp_path / "run", clips, "--executor", "dask", "--scheduler", dask.address)
        for number in range(3):
            until(lambda wanted=3 + 5 * number: count(tmp_path / "run") >= wanted, process)
            end(dask.workers[number])
            dask.add(f"new{number}", "--no-nanny")
        outcome, _ = finish(process)
        whole(tmp_path / "run", outcome, local)


@pytest.mark.slow
@linux
def test_a_worker_that_hangs_is_given_up(tmp_path, clips, local):
    with cluster(tmp_path / "dask") as dask:
        process = run(tmp_path / "run", clips, "--executor", "dask", "--scheduler", dask.address)
        until(lambda: count(tmp_path / "run") >= 3, process)
        os.killpg(dask.workers[2].pid, signal.SIGSTOP)
        outcome, _ = finish(process)
        whole(tmp_path / "run", outcome, local)
        os.killpg(dask.workers[2].pid, signal.SIGCONT)  # what it had is of no use any more
        assert dask.workers[2].wait(60) is not None
        assert count(tmp_path / "run") == ALL


@pytest.mark.slow
def test_the_scheduler_is_killed_and_comes_back(tmp_path, clips, local):
    with cluster(tmp_path / "dask") as dask:
        process = run(tmp_path / "run", clips, "--executor", "dask", "--scheduler", dask.address)
        until(lambda: count(tmp_path / "run") >= 3, process)
        for part in (dask.scheduler, *dask.workers):
            end(part)
        before = count(tmp_path / "run")
        assert 0 < before < ALL
        time.sleep(3)
        dask.start_scheduler()
        dask.add("again0", "--no-nanny")
        dask.add("again1", "--no-nanny")
        outcome, said = finish(process)
        assert "is gone; trying again" in said
        whole(tmp_path / "run", outcome, local)


@pytest.mark.slow
def test_the_driver_is_killed_and_the_same_command_goes_on(tmp_path, clips, local):
    with cluster(tmp_path / "dask") as dask:
        options = ["--executor", "dask", "--scheduler", dask.address]
        process = run(tmp_path / "run", clips, *options)
        until(lambda: count(tmp_path / "run") >= 5, process)
        process.kill()
        process.communicate()
        before = count(tmp_path / "run")
        outcome, _ = finish(run(tmp_path / "run", clips, *options))
        assert 0 < outcome["computed"] <= ALL - before
        assert count(tmp_path / "run") == ALL
        assert tables(tmp_path / "run") == local


@pytest.mark.slow
def test_ctrl_c_leaves_no_process_on_the_cluster(tmp_path, clips):
    with cluster(tmp_path / "dask", workers=1) as dask:
        process = run(tmp_path / "run", clips, "--executor", "dask", "--scheduler", dask.address)
        until(lambda: count(tmp_path / "run") >= 3, process)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "go on with:" in said
        assert "Traceback" not in said
        finish(run(tmp_path / "run", clips, "--executor", "dask", "--scheduler", dask.address))
        assert count(tmp_path / "run") == ALL


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of its own, and a function that makes it larger."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)]
    if os.name == "nt" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs root to mount a small tmpfs")
    yield folder, lambda: subprocess.run(["mount", "-o", "remount,size=50m", str(folder)], check=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_on_the_driver(tmp_path, clips, local, small_disk):
    folder, enlarge = small_disk
    with cluster(tmp_path / "dask") as dask:
        options = ["--executor", "dask", "--scheduler", dask.address]
        process = run(folder / "run", clips, *options)
        said, errors = process.communicate(timeout=180)
        assert process.returncode not in (0, None), said
        assert "full" in errors or "No space" in errors
        enlarge()
        finish(run(folder / "run", clips, *options))
        assert count(folder / "run") == ALL
        assert tables(folder / "run") == local


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed: apt install faketime")
def test_clocks_that_are_days_apart(tmp_path, clips, local):
    with cluster(tmp_path / "dask", workers=1) as dask:
        for skew in ("+3d", "-3d"):
            dask.add(f"skew{skew[0]}", "--no-nanny", within=["faketime", "-f", skew])
        process = run(tmp_path / "run", clips, "--executor", "dask", "--scheduler", dask.address)
        outcome, _ = finish(process)
        whole(tmp_path / "run", outcome, local)
        assert "Registered" in (dask.folder / "skew+.log").read_text()


def as_if(folder: Path, package: str, version: str) -> dict[str, str]:
    """The environment of a host where another version of a package is installed, as far as its metadata tells."""
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.slow
def test_a_cluster_with_other_versions_is_refused(tmp_path, clips):
    with cluster(tmp_path / "dask", workers=2) as dask:
        dask.add("other", "--no-nanny", env=as_if(tmp_path / "site", "numpy", "1.2.3"))
        until_registered(dask, "other")
        process = run(tmp_path / "run", clips, "--executor", "dask", "--scheduler", dask.address)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 2
        assert "numpy" in said
        assert "1.2.3 on " in said
        assert count(tmp_path / "run") == 0


@pytest.mark.slow
def test_a_worker_that_joins_with_other_versions_is_sent_away(tmp_path, clips, local):
    with cluster(tmp_path / "dask", workers=0) as dask:
        dask.add("w0", "--no-nanny", env={"CODECBENCH_TEST_PAUSE": "1.5"})  # it is not done before the other comes
        process = run(tmp_path / "run", clips, "--executor", "dask", "--scheduler", dask.address)
        until(lambda: count(tmp_path / "run") >= 1, process)
        other = dask.add("other", "--no-nanny", env=as_if(tmp_path / "site", "scipy", "1.2.3"))
        outcome, said = finish(process)
        whole(tmp_path / "run", outcome, local)
        assert "is sent away" in said
        assert "1.2.3 on " in said
        assert other.wait(30) is not None


def until_registered(dask, name):
    for _ in range(300):
        if "Registered" in (dask.folder / f"{name}.log").read_text():
            return
        time.sleep(0.1)
    raise AssertionError(dask.logs())


@pytest.mark.slow
@pytest.mark.parametrize(("on", "comparable"), [("", 0), ("driver", 1), ("w1", 1)])
def test_timing_is_comparable_only_where_it_was_alone(tmp_path, clips, on, comparable):
    with cluster(tmp_path / "dask", workers=2) as dask:
        until_registered(dask, "w1")
        long = make_clips(tmp_path / "long", 2, seconds=1.5)
        options = ["--executor", "dask", "--scheduler", dask.address, *(["--timing-on", on] if on else [])]
        finish(run(tmp_path / "run", long, *options, timing=True))
    found = set(rows(tmp_path / "run", "SELECT comparable, host FROM timings"))
    assert found == {(comparable, "" if on == "driver" else os.uname().nodename)}


@pytest.mark.slow
def test_timing_on_a_worker_that_is_not_there(tmp_path, clips):
    with cluster(tmp_path / "dask", workers=1) as dask:
        options = ["--executor", "dask", "--scheduler", dask.address, "--timing-on", "nobody"]
        process = run(tmp_path / "run", clips, *options, timing=True)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 2
        assert "nobody" in said
        assert "w0" in said


def ip(*args: str, check: bool = True) -> int:
    return subprocess.run(["ip", *args], capture_output=True, check=check).returncode


@pytest.fixture
def namespaces():
    """Three network namespaces on a bridge: their names, and the bridge's address."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("needs root and iproute2 for network namespaces")
    names = [f"cb{os.getpid()}{letter}" for letter in "abc"]
    bridge = f"cb{os.getpid()}"
    try:
        if ip("link", "add", bridge, "type", "bridge", check=False):
            pytest.skip("this machine allows no network namespaces")
        ip("addr", "add", "10.213.77.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for number, name in enumerate(names, 2):
            ip("netns", "add", name)
            ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", name, "master", bridge, "up")
            ip("-n", name, "addr", "add", f"10.213.77.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names, "10.213.77.1"
    finally:
        for name in names:
            ip("netns", "del", name, check=False)
        ip("link", "del", bridge, check=False)


@pytest.mark.slow
def test_workers_in_network_namespaces_of_their_own_one_of_which_loses_its_link(tmp_path, clips, local, namespaces):
    names, host = namespaces
    with cluster(tmp_path / "dask", workers=0, host=host) as dask:
        for number, name in enumerate(names):
            dask.add(name, "--no-nanny", "--host", f"10.213.77.{number + 2}", within=["ip", "netns", "exec", name])
        process = run(tmp_path / "run", clips, "--executor", "dask", "--scheduler", dask.address)
        until(lambda: count(tmp_path / "run") >= 3, process)
        ip("-n", names[0], "link", "set", "eth0", "down")  # a cable is pulled out
        outcome, _ = finish(process)
        whole(tmp_path / "run", outcome, local)


@pytest.mark.slow
def test_workers_behind_slow_links(tmp_path, clips, local):
    """150 ms there and 150 ms back between the scheduler and each worker, whoever calls, and 100 kB/s."""
    with cluster(tmp_path / "dask", workers=0) as dask, contextlib.ExitStack() as stack:
        scheduler = stack.enter_context(slow_link(dask.port))
        for number in range(3):
            port = free_port()
            far = stack.enter_context(slow_link(port))
            own = ["--listen-address", f"tcp://127.0.0.1:{port}", "--contact-address", f"tcp://127.0.0.1:{far}"]
            dask.add(f"far{number}", "--no-nanny", *own, address=f"tcp://127.0.0.1:{scheduler}")
        process = run(tmp_path / "run", clips, "--executor", "dask", "--scheduler", dask.address)
        outcome, _ = finish(process)
        whole(tmp_path / "run", outcome, local)
