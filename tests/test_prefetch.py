"""What a run fetches by itself: small weights of the codecs that it names; not offline, and never at its cost."""

from __future__ import annotations

import json
import time
from pathlib import Path

import codecbench
import pytest
from codecbench.bench import _hub, models
from codecbench.bench.cli import main
from codecbench.bench.prefetch import fetch_missing
from codecbench.codecs import registry
from codecbench.codecs._load import load_module
from file_server import Server

MODULE = Path(__file__).with_name("codec_with_model.py")
WEIGHTS = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def served(server: Server, forget_codecs: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The weights of the module's codecs are served; what it registers is gone after the test."""
    server.offer("small.bin", WEIGHTS)
    server.offer("large.bin", WEIGHTS * 40)
    monkeypatch.setenv("CODECBENCH_TEST_URL", server.address)
    monkeypatch.setenv("CODECBENCH_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return server


def bench(*args: str) -> int:
    few = ["--limit", "1", "--metrics", "si_sdr", "--no-timing", "--quiet", "--jobs", "1", "--out", "r"]
    return main(["run", "--codec-module", str(MODULE), *few, *args])


def here() -> set[str]:
    load_module(MODULE)
    return {name for name in ("t_small", "t_large") if models.path(registry.get(name).model)}  # type: ignore[arg-type]


def test_run_fetches_small_models_by_itself(served: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--codecs", "t_small,t_large,pcm@16") == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"fetching t_small: Weights t_small, 0.3 MB, licence CC0-1.0, from {served.address}"
    assert here() == {"t_small"}
    assert set(codecbench.load("r")["codec"]) == {"t_small", "pcm"}
    assert len(served.seen) == 1
    assert bench("--codecs", "t_small,pcm@16", "--out", "again") == 0
    assert len(served.seen) == 1, "what is here is not fetched again"


def test_fetch_models_gets_the_large_ones(served: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--codecs", "t_large", "--fetch-models") == 0
    assert "fetching t_large: Weights t_large, 10.2 MB" in capsys.readouterr().err
    assert here() == {"t_large"}


@pytest.mark.parametrize("how", ["--offline", "CODECBENCH_OFFLINE", "--dry-run"])
def test_forbidden(
    how: str, served: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not how.startswith("-"):
        monkeypatch.setenv(how, "1")
    options = [how] if how.startswith("-") else []
    assert bench("--codecs", "t_small,t_large,pcm@16", "--fetch-models", *options) == 0
    assert served.seen == []
    assert here() == set()
    assert "fetching" not in capsys.readouterr().err
    if how != "--dry-run":
        assert set(codecbench.load("r")["codec"]) == {"pcm"}


def test_nothing_can_run_says_why(served: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--codecs", "t_large", "--offline") == 1
    told = capsys.readouterr().err
    assert "t_large: its weights (10.2 MB, CC0-1.0) are not here: bench models get t_large" in told


def test_python_interface(served: Server, tmp_path: Path) -> None:
    told: list[str] = []
    options = {"limit": 1, "metrics": ["si_sdr"], "timing": False, "jobs": 1, "codec_modules": [MODULE]}

    def run(folder: str, **more: object) -> None:
        codecbench.run(
            codecs=["t_small", "t_large", "pcm@16"],
            out=tmp_path / folder,
            progress=lambda phase, done, total: told.append(phase),
            **options,  # type: ignore[arg-type]
            **more,  # type: ignore[arg-type]
        )

    run("a", offline=True)
    assert served.seen == []
    run("b", fetch_models=True)
    assert [line.split(":")[0] for line in told if line.startswith("fetching")] == [
        "fetching t_small",
        "fetching t_large",
    ]
    assert here() == {"t_small", "t_large"}


def test_star_and_minus(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    load_module(MODULE)
    monkeypatch.setattr(registry, "names", lambda: ["pcm", "t_large", "t_small"])
    assert bench("--codecs", "*,-t_small") == 0
    assert here() == set()
    assert bench("--codecs", "*,-t_large", "--out", "again") == 0
    assert here() == {"t_small"}


def test_wrong_hash_is_told_and_the_run_goes_on(
    served: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.offer("small.bin", WEIGHTS[:-1] + b"x")
    assert bench("--codecs", "t_small,pcm@16") == 0
    told = capsys.readouterr().err
    assert "not the published checksum" in told
    assert "the run goes on without it" in told
    assert (tmp_path / "store/t_small/small.bin.refused").exists()
    assert set(codecbench.load("r")["codec"]) == {"pcm"}


def test_server_gone(served: Server, capsys: pytest.CaptureFixture[str]) -> None:
    served.files.clear()
    assert bench("--codecs", "t_small,pcm@16") == 0
    assert "404" in capsys.readouterr().err
    capsys.readouterr()
    assert main(["run", "--codecs", "t_small", "--dry-run", "--json"]) == 0
    assert "bench models get t_small" in json.loads(capsys.readouterr().out)["unavailable"]["t_small"]


def test_no_network_costs_little(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECBENCH_TEST_URL", "http://127.0.0.1:9")  # discard: nobody listens
    load_module(MODULE)
    told: list[str] = []
    began = time.monotonic()
    fetch_missing(["t_small", "t_large", "pcm", "no such codec"], False, told.append)
    assert time.monotonic() - began < 3
    assert len(told) == 2
    assert "the run goes on without it: t_small: " in told[1]


def test_network_that_hangs_costs_five_seconds_in_all(
    served: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load_module(MODULE)
    monkeypatch.setattr(models, "SMALL", 20_000_000)  # both
    served.held.clear()
    told: list[str] = []
    began = time.monotonic()
    fetch_missing(["t_small", "t_large"], False, told.append)
    assert 4.5 < time.monotonic() - began < 6
    assert told[2:] == ["the run goes on without t_large too; later: bench models get t_large"]
    assert f"no answer from {served.address}" in told[1]
    assert registry.get("t_small").available() is not None


def test_slow_but_moving_is_waited_for(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    load_module(MODULE)
    monkeypatch.setattr("codecbench.bench.prefetch.PATIENCE", 0.5)
    served.pause = 0.3
    told: list[str] = []
    began = time.monotonic()
    fetch_missing(["t_small"], False, told.append)
    assert time.monotonic() - began > 0.8
    assert here() == {"t_small"}
    assert len(told) == 1


def test_hub_offline_is_respected(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    load_module(MODULE)
    model = models.Model("t_hub", "Hub", "MIT", (models.File("a", "", 0),), repo="org/name", revision="f" * 40)
    monkeypatch.setattr(type(registry.get("t_large")), "model", model)
    told: list[str] = []
    monkeypatch.setattr(_hub, "offline", lambda: True)
    fetch_missing(["t_large"], True, told.append)
    assert told == []
