"""The Dask executor: what the options mean, and tasks on a scheduler and workers that are threads of the test."""

from __future__ import annotations

import dataclasses
import os
import sys
import time

import pytest
from codecbench.bench.api import resolve
from codecbench.bench.cli import main
from pool_tasks import Task

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")

from codecbench.bench.cluster import ClusterError, ClusterLost, worker  # noqa: E402
from codecbench.bench.cluster.bundles import BUNDLE, bundles  # noqa: E402
from codecbench.bench.cluster.executor import DaskExecutor  # noqa: E402
from codecbench.bench.cluster.versions import facts_task, source_hash, table  # noqa: E402


@pytest.fixture(scope="module")
def plan():
    return resolve("speech", limit=1, codecs=["g711_mulaw"], metrics=["si_sdr"], timing=False, offline=True)


@pytest.fixture
def dask():
    """A scheduler and two workers, as threads."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
    ) as cluster:
        yield cluster


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scheduler", "tcp://a:1"], "--scheduler goes with --executor dask"),
        (["--workers", "2"], "--workers goes with"),
        (["--timing-on", "driver"], "--timing-on goes with"),
        (["--executor", "dask", "--jobs", "2"], "--workers"),
        (["--executor", "dask", "--scheduler", "tcp://a:1", "--workers", "2"], "leave --workers out"),
        (["--executor", "slurm", "--scheduler", "tcp://a:1"], "starts its own scheduler"),
        (["--executor", "slurm"], "needs --workers N"),
        (["--executor", "dask", "--timing-on", "driver", "--no-timing"], "contradict"),
    ],
)
def test_options_that_do_not_fit_together(options, said, capsys):
    assert main(["run", *options]) == 2
    assert said in capsys.readouterr().err


def small(tmp_path, *options):
    quick = ["--suite", "speech", "--limit", "1", "--codecs", "g711_mulaw", "--metrics", "si_sdr", "--no-timing"]
    return main(["run", *quick, "--quiet", "--no-cache", "--out", str(tmp_path / "run"), *options])


def test_without_dask_it_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert small(tmp_path, "--executor", "dask") == 2
    assert "pip install 'codecbench[dask]'" in capsys.readouterr().err


def test_without_dask_jobqueue_it_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    assert small(tmp_path, "--executor", "slurm", "--workers", "1") == 2
    assert "pip install 'codecbench[slurm]'" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["nonsense", "nonsense://a:1"])
def test_what_is_no_address(tmp_path, address, capsys):
    assert small(tmp_path, "--executor", "dask", "--scheduler", address) == 2
    assert address in capsys.readouterr().err


def test_bundles_are_consecutive_tasks_of_one_group_taken_late():
    taken = []

    def tasks():
        for group, count in (("a", BUNDLE + 2), ("b", 1), ("a", 2)):
            for number in range(count):
                taken.append(group)
                yield Task(str(number), group)

    coming = bundles(tasks(), BUNDLE)
    assert taken == []
    assert [task.what for task in next(coming).tasks] == [str(n) for n in range(BUNDLE)]
    assert len(taken) <= BUNDLE + 1
    assert [[task.group for task in bundle.tasks] for bundle in coming] == [["a", "a"], ["b"], ["a", "a"]]


def test_facts_are_the_same_in_every_process_and_name_what_makes_numbers(plan):
    facts = facts_task(plan).run(lambda _: None)
    assert facts["Python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert facts["codecbench source"] == source_hash()
    assert {"numpy", "scipy", "codec g711_mulaw", "metric si_sdr"} <= set(facts)


def test_the_table_says_which_host_has_what():
    here = {"numpy": "1.26", "scipy": "1.11", "Python": "3.11"}
    hosts = {"a": here | {"numpy": "2.0"}, "b": here | {"numpy": "2.0", "extra": "1"}, "c": {"numpy": "1.26"}}
    assert table(here, hosts).splitlines() == [
        "  Python: 3.11 here, absent on c",
        "  extra: absent here, 1 on b",
        "  numpy: 1.26 here, 2.0 on a, b",
        "  scipy: 1.11 here, absent on c",
    ]


def test_tasks_cost_themselves_alone_and_a_retry_goes_first(dask, plan):
    said = []
    with DaskExecutor(lambda: Started(dask), plan, 6.0, say=said.append) as executor:
        done = {}
        tasks = [
            Task(what, group) for group, what in zip("aaabbc", ("1", "raise", "2", "die", "3", "hang"), strict=True)
        ]
        for task, value in executor.results(iter(tasks)):
            assert task.what not in done
            done[task.what] = value
            if task.what == "raise":
                executor.submit(Task("again"))
        timed = executor.alone(Task("alone"))
        assert (timed.value, timed.host, timed.comparable) == ("alone", os.uname().nodename, False)
    assert {k: v for k, v in done.items() if k in ("1", "2", "3", "again")} == {k: k for k in ("1", "2", "3", "again")}
    assert (done["raise"].kind, done["die"].kind, done["hang"].kind) == ("raised", "crashed", "timeout")
    assert said == []
    assert not worker._pools  # nothing is left on the workers


class Started:
    """A cluster that outlives the executor."""

    def __init__(self, cluster):
        self.scheduler_address = cluster.scheduler_address

    def close(self, timeout):
        pass


def test_what_is_not_back_in_time_is_given_again_and_counts_once(dask, plan, monkeypatch):
    real, calls = worker.run, []

    def run(setup, bundle):
        calls.append(time.monotonic())
        if len(calls) == 3:  # the first two compare versions
            time.sleep(8)
        return real(setup, bundle)

    run.__module__, run.__qualname__ = worker.__name__, "run"
    monkeypatch.setattr(worker, "run", run)
    said = []
    with DaskExecutor(dask.scheduler_address, plan, 20.0, say=said.append, allowance=3.0) as executor:
        tasks = [Task(str(number), f"group{number}") for number in range(12)]
        done = [task.what for task, value in executor.results(iter(tasks)) if value == task.what]
    assert sorted(done) == sorted(str(number) for number in range(12))
    assert any("are given again" in line for line in said)


def test_a_worker_that_cannot_start_its_process_is_refused_with_the_reason(dask, plan, tmp_path):
    lost = dataclasses.replace(plan, sources=(str(tmp_path / "not_there.py"),))
    with (
        pytest.raises(ClusterError, match=r"no task can run on .*not_there\.py"),
        DaskExecutor(dask.scheduler_address, lost, 20.0),
    ):
        pass


def test_a_scheduler_that_stays_away_ends_the_run_cleanly(dask, plan):
    said = []
    with DaskExecutor(dask.scheduler_address, plan, 20.0, say=said.append, patience=2.0) as executor:
        results = executor.results(Task(str(n), f"group{n}") for n in range(1000))
        next(results)
        dask.close()
        with pytest.raises(ClusterLost, match="no Dask scheduler answers at"):
            list(results)
    assert any("is gone; trying again for 2 s" in line for line in said)
