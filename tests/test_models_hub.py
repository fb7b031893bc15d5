"""Models of the Hugging Face hub: read from its library's cache, pinned, checked; the network is never used."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from codecbench.bench import _hub, models
from codecbench.bench.models import File, Model, ModelError
from file_server import Server

ASKED = _hub._silent
REVISION = "0123456789abcdef0123456789abcdef01234567"
BIG, SMALL = b"weights" * 3000, b'{"sampling_rate": 24000}'


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_name(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def hub_model(known: bool = True) -> Model:
    weights = File("model.safetensors", sha(BIG) if known else "", len(BIG) if known else 0)
    return Model("hub", "Hub", "MIT", (weights, File("config.json", "", 0)), repo="org/name", revision=REVISION)


def fill(cache: Path, big: bytes = BIG) -> Path:
    """A cache as huggingface_hub lays it out; the blobs are named by what the hub sent, whatever they hold."""
    repo = cache / "models--org--name"
    snapshot = repo / "snapshots" / REVISION
    snapshot.mkdir(parents=True, exist_ok=True)
    (repo / "blobs").mkdir(exist_ok=True)
    for name, blob, data in (("model.safetensors", sha(BIG), big), ("config.json", git_name(SMALL), SMALL)):
        (repo / "blobs" / blob).write_bytes(data)
        (snapshot / name).unlink(missing_ok=True)
        (snapshot / name).symlink_to(Path("../../blobs") / blob)
    return snapshot


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODECBENCH_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    constants = pytest.importorskip("huggingface_hub.constants", reason='pip install "codecbench[neural]"')
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(_hub, "_silent", lambda endpoint: "")
    return tmp_path / "hub"


@pytest.mark.parametrize("known", [False, True])
def test_hub_cache_is_read(known: bool, cache: Path) -> None:
    model = hub_model(known)
    assert models.path(model) is None
    snapshot = fill(cache)
    assert models.path(model) == models.checked(model) == models.get(model) == snapshot
    assert models.verify(model) == []
    assert models.unchecked(model, snapshot) == {}
    fill(cache, BIG[:-1] + b"x")
    assert models.path(model) == snapshot
    (problem,) = models.verify(model)
    assert "model.safetensors: changed" in problem
    with pytest.raises(ModelError, match="bench models remove hub; bench models get hub"):
        models.checked(model)


def test_damaged_config_of_the_hub_is_found(cache: Path) -> None:
    snapshot = fill(cache)
    (snapshot / "config.json").resolve().write_bytes(SMALL.replace(b"24000", b"48000"))
    assert models.verify(hub_model()) == [f"{snapshot}/config.json: changed (not as the hub sent it)"]


def test_another_revision_is_not_the_model(cache: Path) -> None:
    snapshot = fill(cache)
    snapshot.rename(snapshot.with_name("f" * 40))
    assert models.path(hub_model()) is None


def test_own_store_comes_first(cache: Path, store: Path, tmp_path: Path) -> None:
    fill(cache)
    folder = tmp_path / "saved"  # as save_pretrained leaves it
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(BIG)
    (folder / "config.json").write_bytes(SMALL)
    (folder / "preprocessor_config.json").write_bytes(b"{}")
    assert models.add(hub_model(), folder) == models.path(hub_model()) == store / "hub"
    assert models.unchecked(hub_model(), store / "hub") == {"config.json": sha(SMALL)}


def test_get_from_the_hub_is_pinned(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[object] = []

    def snapshot_download(repo_id: str, **options: object) -> str:
        asked.append((repo_id, options))
        return str(fill(cache))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(ModelError, match="CODECBENCH_OFFLINE forbids"):
        models.get(hub_model())
    monkeypatch.delenv("CODECBENCH_OFFLINE")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids"):
        models.get(hub_model())
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert asked == []
    assert models.get(hub_model()) == cache / "models--org--name/snapshots" / REVISION
    assert asked == [
        ("org/name", {"revision": REVISION, "allow_patterns": ["model.safetensors", "config.json"]}),
    ]


def test_wrong_hash_from_the_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.delenv("CODECBENCH_OFFLINE")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    wrong = BIG[:-1] + b"x"
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(fill(cache, wrong)))
    kept = cache / "models--org--name/blobs" / f"{sha(BIG)}.refused"
    with pytest.raises(ModelError, match=rf"model\.safetensors: changed.*refused and kept as {kept}"):
        models.get(hub_model())
    assert kept.read_bytes() == wrong
    assert models.path(hub_model()) is None


def test_hub_without_the_file_or_the_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.delenv("CODECBENCH_OFFLINE")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(cache / "empty"))
    with pytest.raises(ModelError, match=r"model\.safetensors: no such file"):
        models.get(hub_model())

    def broken(*_: object, **__: object) -> str:
        raise FileNotFoundError("cannot reach the hub\nsecond line")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", broken)
    with pytest.raises(ModelError, match=r"hub: org/name at revision 01234567: .*cannot reach the hub$"):
        models.get(hub_model())


def test_a_hub_that_does_not_answer_is_not_tried_again_and_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    import huggingface_hub

    monkeypatch.setattr(_hub, "_silent", ASKED)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("the library was asked"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"hub: http://127\.0\.0\.1:9 does not answer \(.*\); try again later"):
        models.get(hub_model())
    assert _hub._silent(server.address) == "", "any answer will do"


def test_remove_from_the_hub_cache(cache: Path) -> None:
    snapshot = fill(cache)
    other = snapshot.with_name("f" * 40)
    other.mkdir()
    (other / "config.json").symlink_to((snapshot / "config.json").readlink())
    (cache / "models--org--other/snapshots").mkdir(parents=True)
    assert models.remove(hub_model()) == [snapshot]
    assert models.path(hub_model()) is None
    assert (other / "config.json").read_bytes() == SMALL, "what another revision shares stays"
    assert [p.name for p in (cache / "models--org--name/blobs").iterdir()] == [git_name(SMALL)]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setattr(_hub, "installed", lambda: False)
    assert models.path(hub_model()) is None
    assert 'pip install "codecbench[neural]", then bench models get hub' in str(models.missing(hub_model()))
    monkeypatch.delenv("CODECBENCH_OFFLINE")
    with pytest.raises(ModelError, match=r"codecbench\[neural\]"):
        models.get(hub_model())
