"""Weights of a user's own: `NAME:PATH` in plans, workers, checks and tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import codecbench
import pytest
from codecbench.bench.cli import main
from codecbench.bench.plan import PlannedPoint, weights_of
from codecbench.bench.record import _point_row
from codecbench.codecs import _device, registry
from codecbench.codecs._load import LoadError, load, load_checkpoint, loaded
from codecbench.codecs.soundstream import packaged

pytestmark = pytest.mark.usefixtures("forget_codecs")
needs_weights = pytest.mark.skipif(not packaged.WEIGHTS.exists(), reason="no packaged weights")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return Path(shutil.copy(packaged.WEIGHTS, tmp_path / "mine@home.safetensors"))


def test_spec(tmp_path: Path) -> None:
    (tmp_path / "a@b").mkdir()
    assert weights_of("opus@6+12") == ("opus", None, "6+12")
    assert weights_of("opus") == ("opus", None, "")
    assert weights_of(f"encodec:{tmp_path}@1.5+3") == ("encodec", tmp_path, "1.5+3")
    assert weights_of(f"encodec:{tmp_path}/a@b") == ("encodec", tmp_path / "a@b", "")
    assert weights_of(f"encodec:{tmp_path}/a@b@6") == ("encodec", tmp_path / "a@b", "6")
    assert weights_of("encodec:/nowhere") == ("encodec", Path("/nowhere"), "")


@needs_weights
def test_run_with_own_weights(mine: Path, tmp_path: Path) -> None:
    outcome = codecbench.run(
        "quick",
        codecs=[f"soundstream:{mine}@6", "soundstream@6"],
        metrics=["stoi"],
        limit=2,
        timing=False,
        jobs=1,
        cache=False,
        out=tmp_path / "run",
    )
    assert (outcome.units, outcome.failed) == (4, 0)
    frame = codecbench.load(outcome.folder)
    name = f"soundstream:mine@home-{packaged.model_id()[:8]}"
    assert set(frame["codec"]) == {"soundstream", name}
    scores = frame.pivot(index="clip", columns="codec", values="stoi")
    assert (scores["soundstream"] == scores[name]).all(), "the same weights give the same scores"
    assert packaged.model_id() in (tmp_path / "run" / "index.html").read_text()


@needs_weights
def test_loaded_once_and_not_among_all_codecs(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = load_checkpoint("soundstream", mine)
    assert [name] == load(f"soundstream:{mine}")
    assert registry.get(name).points == registry.get("soundstream").points
    assert main(["run", "--codecs", "*", "--dry-run", "--json"]) == 0
    assert not [point for point in json.loads(capsys.readouterr().out)["points"] if ":" in point]


@needs_weights
def test_names_of_weights_do_not_matter(mine: Path, tmp_path: Path) -> None:
    odd = Path(shutil.copy(mine, tmp_path / "my, model.py"))
    name = load_checkpoint("soundstream", odd)
    (source,) = (source for source, names in loaded.items() if names == [name])
    assert load(source) == [name], "as a worker process does"


@needs_weights
def test_changed_weights_have_another_name(mine: Path) -> None:
    from codecbench.codecs.soundstream.model import load as load_model
    from codecbench.codecs.soundstream.model import save

    name = load_checkpoint("soundstream", mine)
    save(load_model(mine), mine, {"status": "changed"})
    assert load_checkpoint("soundstream", mine) != name


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"no weights")
    with pytest.raises(LoadError, match=r"no codec takes weights as 'opus'; there are: .*soundstream:PATH"):
        load_checkpoint("opus", junk)
    with pytest.raises(LoadError, match="no such file"):
        load_checkpoint("soundstream", tmp_path / "absent")
    with pytest.raises(LoadError, match=r"junk\.safetensors is not a SoundStream model"):
        load_checkpoint("soundstream", junk)
    assert main(["run", "--codecs", f"soundstream:{junk}"]) == 2
    assert "junk.safetensors" in capsys.readouterr().err
    assert main(["check", "codec", f"soundstream:{junk}"]) == 2


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    from codecbench.codecs.soundstream.model import PRESETS, SoundStream, save

    save(SoundStream(PRESETS["tiny"]), tmp_path / "tiny.safetensors", {})
    with pytest.raises(LoadError, match="codebooks of 64"):
        load_checkpoint("soundstream", tmp_path / "tiny.safetensors")


def test_no_gpu_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    _device.gpu_name.cache_clear()
    assert main(["run", "--suite", "quick", "--device", "cuda"]) == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_the_store_names_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether anything is timed or not."""
    codec = registry.get("opus")
    planned = PlannedPoint(codec, codec.points[0], "speech", "", "")
    assert "device" not in _point_row(planned).versions
    monkeypatch.setattr(type(codec), "devices", ("cpu", "cuda"))
    monkeypatch.setattr(_device, "_chosen", "cuda")
    monkeypatch.setattr(_device, "gpu_name", lambda: "Some GPU")
    assert "device Some GPU" in _point_row(planned).versions.split(", ")


def test_device_of_a_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_device, "_chosen", "cuda")
    monkeypatch.setattr(_device, "gpu_name", lambda: "Some GPU")
    opus, torch_codec = registry.get("opus"), type("T", (), {"devices": ("cpu", "cuda")})()
    assert (_device.device_of(opus), _device.label_of(opus)) == ("cpu", "cpu")
    assert (_device.device_of(torch_codec), _device.label_of(torch_codec)) == ("cuda", "Some GPU")
