"""What the driver asks of workers, and the memory that it takes; by benchmarks/scale.py, whose executor gives results
without workers."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from codecbench.bench import runner
from codecbench.bench.checks import CheckTask
from codecbench.bench.runner import Settings

FILE = Path(__file__).parents[1] / "benchmarks/scale.py"


@pytest.fixture(scope="module")
def scale():
    if not FILE.exists():
        pytest.skip("benchmarks/ is not in the package; run from a checkout")
    spec = importlib.util.spec_from_file_location("scale", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked(scale, tmp_path, folder, clips, codecs):
    """The units that reach the workers when that is run, as (clip, codec, point)."""
    units = []

    class Noting(scale.Simulated):
        def results(self, tasks):
            for task, value in super().results(tasks):
                if not isinstance(task, CheckTask):
                    units.append((task.clip, task.codec, task.point))
                yield task, value

    settings = Settings(jobs=1, cache=tmp_path / "cache")
    outcome = runner.execute(scale.plan_of(clips, codecs), tmp_path / folder, settings, executor=Noting())
    assert outcome.computed == len(units)
    return units


def test_only_what_is_new_reaches_the_workers(scale, tmp_path):
    first = asked(scale, tmp_path, "a", 3, 2)
    assert len(first) == len(set(first)) == 3 * 2 * 5
    assert asked(scale, tmp_path, "a", 3, 2) == [], "the store has them"
    assert asked(scale, tmp_path, "b", 3, 2) == [], "the cache has them"
    codec = asked(scale, tmp_path, "c", 3, 3)
    assert len(codec) == 3 * 5
    assert {name for _, name, _ in codec} == {"free2"}
    clip = asked(scale, tmp_path, "d", 4, 2)
    assert len(clip) == 2 * 5
    assert {name for name, _, _ in clip} == {"03/00003"}


def test_units_are_planned_as_workers_take_them(scale, tmp_path, monkeypatch):
    """A long run is no long list: whatever its length, few units are made before they can be computed."""
    made, ahead = [], []
    unit_of = runner.unit_of
    monkeypatch.setattr(runner, "unit_of", lambda *given: made.append(given) or unit_of(*given))

    class Noting(scale.Simulated):
        def results(self, tasks):
            for done, result in enumerate(super().results(tasks)):
                ahead.append(len(made) - done)
                yield result

    assert runner.execute(scale.plan_of(20, 2), tmp_path / "run", Settings(jobs=1), executor=Noting()).computed == 200
    assert max(ahead) <= 2 * 5


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="VmHWM is Linux's")
def test_memory_of_the_driver_is_flat(scale):
    few, many = scale.measure([25, 2620])
    assert many["rows"] > 100_000
    assert many["driver_mb"] < 300
    assert many["repeat_mb"] < 300
    assert many["driver_mb"] < few["driver_mb"] + 50
