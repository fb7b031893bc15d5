"""The model store: what is here, what is refused, what is fetched when, offline; against a server on this machine."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from codecbench.bench import _hub, models
from codecbench.bench.cli import main
from codecbench.bench.download import BLOCK
from codecbench.bench.models import File, Model, ModelError
from codecbench.codecs import registry
from file_server import Server

FILES = {"one.bin": bytes(range(256)) * 4000, "two.bin": b"codebooks" * 1000}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def toy(url: str = "http://127.0.0.1:9") -> Model:
    return Model("toy", "Toy", "CC0-1.0", tuple(File(n, sha(d), len(d)) for n, d in FILES.items()), url=url)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODECBENCH_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with the files of the toy, and one that is not of it."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name, data in {**FILES, "README": b"hello"}.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def online(server: Server) -> Model:
    """The toy, served."""
    for name, data in FILES.items():
        server.offer(name, data)
    return toy(server.address)


def named(model: Model, monkeypatch: pytest.MonkeyPatch) -> Model:
    """The same model, known to the command."""
    monkeypatch.setattr(models, "users", lambda: {model: ["toy_codec", "toy_other"]})
    return model


def test_get(online: Model, store: Path, server: Server) -> None:
    calls: list[tuple[int, int]] = []
    assert models.path(online) is None
    assert models.missing(online) == "its weights (1.0 MB, CC0-1.0) are not here: bench models get toy"
    assert models.get(online, lambda done, total: calls.append((done, total))) == store / "toy"
    assert models.path(online) == models.checked(online) == store / "toy"
    assert models.missing(online) is None
    assert models.verify(online) == []
    assert sorted(p.name for p in (store / "toy").iterdir()) == sorted(FILES)
    assert calls[-1] == (online.bytes, online.bytes)
    assert calls == sorted(calls)
    models.get(online)
    assert len(server.seen) == 2, "what is here is not downloaded again"


def test_interrupted_get_goes_on(online: Model, server: Server, store: Path) -> None:
    server.drops = 1
    with pytest.raises(ModelError, match=r"toy: http://.*one\.bin: .*run the same command again"):
        models.get(online, attempts=1)
    assert models.path(online) is None
    assert 0 < (store / "toy/one.bin.part").stat().st_size < len(FILES["one.bin"])
    models.get(online)
    assert server.sent < online.bytes + BLOCK, "nothing is sent twice but the block in which it broke"


def test_wrong_hash_is_refused_and_kept_aside(online: Model, server: Server, store: Path) -> None:
    wrong = FILES["one.bin"][:-1] + b"x"
    server.offer("one.bin", wrong)
    with pytest.raises(ModelError, match=rf"one\.bin: .*not the published checksum.*{store}/toy/one\.bin\.refused"):
        models.get(online)
    assert models.path(online) is None
    assert (store / "toy/one.bin.refused").read_bytes() == wrong
    server.offer("one.bin", FILES["one.bin"])
    assert models.get(online) == store / "toy"


def test_offline(online: Model, server: Server, source: Path, monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    monkeypatch.setenv("CODECBENCH_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"CODECBENCH_OFFLINE forbids.*bench models add toy FOLDER"):
        models.get(online)
    assert not store.exists()
    models.add(online, source)
    assert models.get(online) == store / "toy", "what is here needs no network"
    assert server.seen == []


def test_add_copies_its_files_and_no_others(source: Path, store: Path) -> None:
    assert models.add(toy(), source) == store / "toy"
    assert sorted(p.name for p in (store / "toy").iterdir()) == sorted(FILES)
    assert [p.name for p in store.iterdir()] == ["toy"], "no temporary folder is left"
    assert models.verify(toy()) == []
    models.add(toy(), store / "toy")
    assert models.verify(toy()) == []


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("one.bin", None, r"source/one\.bin: no such file"),
        ("two.bin", b"short", r"source/two\.bin: it has 5 bytes, not 9000"),
        ("two.bin", b"codebookS" * 1000, r"source/two\.bin: its SHA-256 is not the published one"),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_add_refuses(name: str, content: bytes | None, fault: str, before: bool, source: Path, store: Path) -> None:
    if before:
        models.add(toy(), source)
    if content is None:
        (source / name).unlink()
    else:
        (source / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{fault}; nothing was added; toy is: one.bin, two.bin"):
        models.add(toy(), source)
    assert (models.path(toy()) is not None) is before
    assert not before or models.verify(toy()) == []


def test_damage_is_found(source: Path, store: Path) -> None:
    place = models.add(toy(), source)
    assert models.checked(toy()) == place
    data = bytearray(FILES["one.bin"])
    data[5000] ^= 1
    (place / "one.bin").write_bytes(data)
    assert models.path(toy()) == place, "the quick look compares sizes"
    problem = f"{place}/one.bin: changed (its SHA-256 is not the published one)"
    assert models.verify(toy()) == [problem]
    with pytest.raises(ModelError, match=re.escape(problem)):
        models.checked(toy())
    (place / "two.bin").write_bytes(b"cut")
    assert models.path(toy()) is None
    assert len(models.verify(toy())) == 2
    assert "not whole" in str(models.missing(toy()))
    with pytest.raises(ModelError, match="bench models get toy"):
        models.checked(toy())


def test_a_file_is_hashed_once(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models.add(toy(), source)
    hashed: list[Path] = []

    def counted(path: Path) -> str:
        hashed.append(path)
        return sha(path.read_bytes())

    monkeypatch.setattr(_hub, "sha256", counted)
    models.checked(toy())
    models.checked(toy())
    assert len(hashed) == len(FILES)


def test_read_only_store(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared").mkdir()
    source.rename(tmp_path / "shared/toy")
    monkeypatch.setenv("CODECBENCH_MODELS", str(tmp_path / "shared"))
    folders = [tmp_path / "shared/toy", tmp_path / "shared"]
    before = [p.stat().st_mtime_ns for p in folders]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert models.path(toy()) == models.checked(toy()) == models.get(toy()) == folders[0]
        assert models.verify(toy()) == []
        assert [p.stat().st_mtime_ns for p in folders] == before, "nothing was written, which root could"
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_store_that_cannot_be_written(
    source: Path, online: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODECBENCH_MODELS", str(source / "README" / "below"))
    with pytest.raises(ModelError, match="CODECBENCH_MODELS"):
        models.add(toy(), source)
    with pytest.raises(ModelError, match="cannot be written"):
        models.get(online)


def test_remove_takes_only_what_belongs_to_it(source: Path, store: Path) -> None:
    place = models.add(toy(), source)
    (place / "LICENSE").write_text("mine")
    (place / "one.bin.part").write_bytes(b"x")
    (place / "two.bin.refused").write_bytes(b"x")
    (store / "other").mkdir()
    assert len(models.remove(toy())) == 4
    assert [p.name for p in place.iterdir()] == ["LICENSE"]
    (place / "LICENSE").unlink()
    models.add(toy(), source)
    models.remove(toy())
    assert [p.name for p in store.iterdir()] == ["other"]
    assert models.remove(toy()) == []


def test_declarations_are_checked() -> None:
    with pytest.raises(ValueError, match="either its url, or"):
        Model("a", "", "", ())
    with pytest.raises(ValueError, match="either its url, or"):
        Model("a", "", "", (), repo="org/name")
    with pytest.raises(ValueError, match="SHA-256 and size"):
        Model("a", "", "", (File("x", "", 3),), url="http://none")


@pytest.mark.parametrize(
    ("sizes", "said"), [((3_583_372,), "3.6 MB"), ((0, 298_652_268), "about 298.7 MB"), ((0, 300), "size unknown")]
)
def test_size(sizes: tuple[int, ...], said: str) -> None:
    model = Model("a", "", "", tuple(File(str(i), "", n) for i, n in enumerate(sizes)), repo="a/b", revision="c")
    assert model.size == said


def test_models_of_the_registry() -> None:
    known = models.users()
    assert len({model.name for model in known}) == len(known), "names are unique"
    for model, codecs in known.items():
        assert all(registry.get(codec).model == model for codec in codecs)
        assert models.find(model.name) == model
        assert re.fullmatch("[a-z0-9_]+", model.name)
        assert model.licence
        assert model.title
        assert model.files
        assert all(file.sha256 == "" or re.fullmatch("[0-9a-f]{64}", file.sha256) for file in model.files)
        assert model.url.startswith("https://") or re.fullmatch("[0-9a-f]{40}", model.revision)
    with pytest.raises(KeyError, match="no model named"):
        models.find("nothing")


def test_command_list(
    source: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named(toy(), monkeypatch)
    assert main(["models", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["codecs"] == ["toy_codec", "toy_other"]
    assert (row["bytes"], row["licence"], row["address"]) == (1_033_000, "CC0-1.0", "http://127.0.0.1:9")
    assert row["folder"] is None
    assert "bench models get toy" in row["missing"]
    assert row["files"][0] == {"name": "one.bin", "sha256": sha(FILES["one.bin"]), "bytes": 1_024_000}
    models.add(toy(), source)
    assert main(["models", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["folder"], row["missing"]) == (str(store / "toy"), None)
    assert main(["models", "list"]) == 0
    assert "toy_codec toy_other" in capsys.readouterr().out


def test_documentation_has_every_model() -> None:
    text = (Path(__file__).parents[1] / "docs/models.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if line.startswith("| ")}
    for model in models.users():
        assert (model.revision or model.url.split("/")[5]) in rows[model.name]
        assert f"| {model.licence} |" in rows[model.name]


def test_every_model_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == [m.name for m in models.users()]


def test_command_get_verify_path_remove(
    online: Model, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named(online, monkeypatch)
    assert main(["models", "path", "toy"]) == 1
    assert "bench models get toy" in capsys.readouterr().err
    assert main(["models", "get", "toy"]) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() == str(store / "toy")
    assert "1.0 MB" in captured.err
    assert "licence: CC0-1.0" in captured.err
    assert main(["models", "path", "toy"]) == 0
    assert capsys.readouterr().out.strip() == str(store / "toy")
    assert main(["models", "verify"]) == 0
    assert "all files are whole" in capsys.readouterr().out
    (store / "toy/one.bin").write_bytes(b"x")
    assert main(["models", "verify", "toy"]) == 1
    assert "toy: not whole" in capsys.readouterr().out
    assert main(["models", "remove", "toy"]) == 0
    assert not (store / "toy").exists()
    assert main(["models", "verify", "toy"]) == 1
    capsys.readouterr()
    assert main(["models", "verify"]) == 0
    assert "no model is here" in capsys.readouterr().err


def test_command_refusals(
    source: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    named(toy(server.address), monkeypatch)
    assert main(["models", "get", "toy"]) == 1
    assert "404" in capsys.readouterr().err
    for wrong in (["get"], ["path"], ["remove"], ["add", "toy"], ["get", "toyy"], ["add", "toyy", str(source)]):
        assert main(["models", *wrong]) == 2
    assert main(["models", "add", "toy", str(source / "nowhere")]) == 1
    assert main(["models", "add", "toy", str(source)]) == 0
