"""Corpora at URLs: listed as the same folder on this machine, fetched once, and noticed when they change."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from codecbench.bench import cache, remote
from codecbench.bench.api import resolve
from codecbench.bench.cli import main
from codecbench.bench.download import sha256
from codecbench.bench.places import PlaceError, place
from codecbench.bench.remote import ChangedError, local
from codecbench.bench.runner import Settings, execute
from codecbench.bench.store import Store
from codecbench.bench.work import unit_of
from codecbench.corpora import CorpusError, registry
from codecbench.corpora._open import open_corpus
from site_server import site

SPEECH = [item.path for item in registry.get("speech").items(None)[:3]]
MODULE = str(Path(__file__).with_name("run_codecs.py"))

MANIFEST = "file,id,speaker,start\na/1.flac,one,s1,0.5\nb/x y.flac,two,,\n"
TABLE = "client_id\tpath\tlocale\nc1\tcv_1.mp3\tde\nc2\tcv_2.mp3\tfr\n"


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CODECBENCH_TEST_LOG", str(tmp_path / "log"))
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0))


@pytest.fixture
def memory():
    """fsspec's store in this process."""
    store = fsspec.filesystem("memory")
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]


@pytest.fixture
def web(tmp_path, monkeypatch):
    pytest.importorskip("aiohttp", reason="fsspec reads http with aiohttp")
    monkeypatch.delenv("CODECBENCH_OFFLINE")
    (tmp_path / "site").mkdir()
    with site(tmp_path / "site") as running:
        yield running


def tree(folder: Path) -> Path:
    """A folder that is a plain corpus, one of LibriSpeech's and Common Voice's layouts, and has manifests."""
    files = {
        "a/1.flac": b"1",
        "a/1.wav": b"2",
        "b/x y.flac": b"3",
        "84/121123/84-121123-0001.flac": b"4",
        "1272/1/1272-1-0000.flac": b"5",
        "de/clips/cv_1.mp3": b"6",
        "de/clips/cv_2.mp3": b"7",
        "de/validated.tsv": TABLE.encode(),
        "list.csv": MANIFEST.encode(),
        "list.toml": b'[[clip]]\nfile = "a/1.flac"\nspeaker = "s1"\n',
        "notes.txt": b"none of it",
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def listed(spec: str) -> list[Any]:
    """What a corpus lists, paths by their last part."""
    return [dataclasses.replace(item, path=Path(item.path.name.replace("%20", " "))) for item in open_corpus(spec)]


SPECS = ["{}", "librispeech:{}", "commonvoice:{}", "music:{}/a", "{}/list.csv", "{}/list.toml", "music:{}/list.csv"]


@pytest.mark.parametrize("spec", SPECS)
def test_a_corpus_at_a_url_lists_the_same_as_its_folder(spec, tmp_path, memory):
    folder = tree(tmp_path / "corpus")
    memory.put(str(folder), "/bucket/corpus", recursive=True)
    here = listed(spec.format(folder))
    assert here
    assert listed(spec.format("memory://bucket/corpus")) == here
    for item in open_corpus(spec.format("memory://bucket/corpus")):
        assert str(item.path).startswith("memory://bucket/corpus/")
        assert item.path.read_bytes() == (folder / str(item.path).removeprefix("memory://bucket/corpus/")).read_bytes()


@pytest.mark.parametrize("spec", SPECS)
def test_a_corpus_on_a_web_server_lists_the_same_as_its_folder(spec, web):
    tree(web.folder / "corpus")
    assert listed(spec.format(f"{web.address}/corpus")) == listed(spec.format(web.folder / "corpus"))


def test_a_manifest_may_name_urls(tmp_path, memory):
    memory.pipe_file("/bucket/1.flac", SPEECH[0].read_bytes())
    (tmp_path / "list.csv").write_text(f"file,id\nmemory://bucket/1.flac,far\n{SPEECH[0]},near\n")
    far, near = open_corpus(str(tmp_path / "list.csv"))
    assert sha256(local(far.path)) == sha256(local(near.path))
    assert local(near.path) == SPEECH[0]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("memory://nowhere", "memory://nowhere: no such file or folder"),
        ("memory://nowhere/list.csv", "memory://nowhere/list.csv: no such file or folder"),
        ("librispeech:memory://nowhere", "memory://nowhere: no such file or folder"),
        ("memory://empty", "no audio file here or below"),
        ("librispeech:memory://plain", "not a librispeech folder"),
        ("memory://plain/list.csv", "must be|path below it"),
        ("http://127.0.0.1:9/corpus", "CODECBENCH_OFFLINE is set"),
    ],
)
def test_a_url_that_lists_nothing_says_why(spec, message, memory, capsys):
    memory.pipe_file("/empty/notes.txt", b"")
    memory.pipe_file("/plain/1.wav", b"1")
    memory.pipe_file("/plain/list.csv", b"file\n/data/1.wav\n")
    with pytest.raises(CorpusError, match=message):
        open_corpus(spec)
    assert main(["run", "--corpus", spec, "--codecs", "opus", "--dry-run"]) == 2
    assert "bench run: " in capsys.readouterr().err


def test_a_protocol_that_nobody_knows(monkeypatch):
    monkeypatch.delenv("CODECBENCH_OFFLINE")
    with pytest.raises(CorpusError, match="nix://a/b: ValueError: Unsupported filesystem: 'nix'"):
        open_corpus("nix://a/b")


@pytest.mark.parametrize(("url", "package"), [("s3://b/c", "s3fs"), ("gs://b/c", "gcsfs"), ("https://a/b", "aiohttp")])
def test_a_missing_package_is_named(url, package, monkeypatch):
    monkeypatch.delenv("CODECBENCH_OFFLINE")
    monkeypatch.setitem(sys.modules, package, None)
    for name in [n for n in sys.modules if n.startswith("fsspec.implementations.http")]:
        monkeypatch.delitem(sys.modules, name)
    protocol = url.partition(":")[0]
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, protocol, raising=False)
    with pytest.raises(CorpusError, match=rf"{url}: {protocol}:// needs .* pip install {package}"):
        open_corpus(url)


def test_a_server_that_is_gone_is_told(web):
    address = f"{web.address}/corpus"
    web.shutdown()
    web.server_close()
    with pytest.raises(CorpusError, match="Cannot connect to host"):
        open_corpus(address)


def test_a_folder_that_cannot_be_listed_is_not_dropped(web):
    tree(web.folder / "corpus")
    web.closed = "/corpus/b"
    with pytest.raises(CorpusError, match="403"):
        open_corpus(f"{web.address}/corpus")


def test_a_file_is_fetched_once_until_it_changes(web):
    (web.folder / "1.flac").write_bytes(b"first")
    url = place(f"{web.address}/1.flac")
    copy = local(url)
    assert copy.read_bytes() == b"first"
    assert copy.name == f"{sha256(copy)}.flac"
    assert local(url) == local(url, sha256(copy)) == copy
    assert web.gets == {"/1.flac": 1}
    (web.folder / "1.flac").write_bytes(b"second")
    assert local(url, sha256(copy)) == copy, "what was planned is still here"
    assert local(url).read_bytes() == b"second"
    assert web.gets == {"/1.flac": 2}


def test_a_file_that_changed_since_it_was_planned_is_refused(memory):
    memory.pipe_file("/b/1.flac", b"second")
    with pytest.raises(ChangedError, match="changed since the run was planned"):
        local("memory://b/1.flac", "0" * 64)


def test_a_damaged_copy_is_fetched_again(memory):
    memory.pipe_file("/b/1.flac", b"whole")
    copy = local("memory://b/1.flac")
    for known in ("", sha256(copy)):
        copy.write_bytes(b"damaged")
        assert local("memory://b/1.flac", known).read_bytes() == b"whole"


def test_a_store_that_knows_no_versions_is_asked_again(memory, monkeypatch):
    memory.pipe_file("/b/1.flac", b"first")
    monkeypatch.setattr(type(memory), "info", lambda self, path: {"name": path, "size": 5, "type": "file"})
    assert local("memory://b/1.flac").read_bytes() == b"first"
    memory.pipe_file("/b/1.flac", b"other")
    assert local("memory://b/1.flac").read_bytes() == b"other"


def test_a_connection_that_breaks_is_tried_again(memory, monkeypatch):
    memory.pipe_file("/b/1.flac", b"whole")
    whole, failures = type(memory).get_file, [ConnectionResetError("reset"), TimeoutError("late")]

    def flaky(self, *args, **more):
        if failures:
            raise failures.pop()
        return whole(self, *args, **more)

    monkeypatch.setattr(type(memory), "get_file", flaky)
    assert local("memory://b/1.flac").read_bytes() == b"whole"
    failures += [ConnectionResetError("reset")] * 3
    memory.pipe_file("/b/1.flac", b"again")
    with pytest.raises(PlaceError, match="ConnectionResetError: reset"):
        local("memory://b/1.flac")
    assert not list(Path(cache.cache_folder()).rglob("*.part"))
    assert not list(Path(cache.cache_folder()).rglob("*.lock"))


def test_processes_that_want_the_same_file_fetch_it_once(web, tmp_path):
    for name in "12":
        (web.folder / f"{name}.flac").write_bytes(name.encode())
    web.pause = 1.0  # all are there before the first has it
    script = "import sys; from codecbench.bench.remote import local; [print(local(u)) for u in sys.argv[1:]]"
    command = [sys.executable, "-c", script, *(f"{web.address}/{name}.flac" for name in "12")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {process.communicate(timeout=60)[0] for process in running}
    assert [process.returncode for process in running] == [0] * 3
    assert len(printed) == 1
    assert len(printed.pop().split()) == 2
    assert web.gets == {"/1.flac": 1, "/2.flac": 1}


@pytest.mark.parametrize("where", ["folder", "url"])
def test_a_clip_that_changes_during_a_run_is_told(where, tmp_path, memory):
    def put(clip: Path) -> None:
        (tmp_path / "c").mkdir(exist_ok=True)
        shutil.copy(clip, tmp_path / "c" / "1.flac")
        memory.pipe_file("/c/1.flac", clip.read_bytes())

    put(SPEECH[0])
    spec = str(tmp_path / "c") if where == "folder" else "memory://c"
    plan = resolve("speech", corpora=[spec], codecs=["lowpass@3.5k"], metrics=["si_sdr"])
    [(clip, point)] = plan.units()
    put(SPEECH[1])
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)  # as on another machine
    result = unit_of(plan, clip, point, None).run(lambda _: None)
    assert (result.reason, result.detail) == (
        "clip_unreadable",
        f"{clip.item.path}: the file has changed since the run was planned",
    )


def test_a_run_over_urls_has_the_rows_of_the_run_over_the_files(web, tmp_path):
    (web.folder / "corpus" / "s").mkdir(parents=True)
    for n, path in enumerate(SPEECH):
        shutil.copy(path, web.folder / "corpus" / "s" / f"clip {n}.flac")
    (web.folder / "corpus" / "broken.wav").write_bytes(b"RIFF")
    tables, said = [], []
    for spec, folder in ((f"{web.address}/corpus", "far"), (str(web.folder / "corpus"), "near")):
        plan = resolve(
            "speech",
            corpora=[spec],
            codecs=["t_good"],
            metrics=["si_sdr"],
            timing=False,
            codec_modules=[MODULE],
            say=said.append,
        )
        execute(plan, tmp_path / folder, Settings(jobs=2))
        store = Store(tmp_path / folder)
        table = {t: store.rows(f"SELECT * FROM {t}") for t in ("clips", "points", "results", "scores")}
        store.close()
        for row in table["clips"]:
            row["path"] = row["path"].replace(spec, "CORPUS").replace("%20", " ")
        for row in table["results"]:
            row["seconds"] = None
        for row in (*table["clips"], *table["results"], *table["scores"]):
            row.update({k: row[k].replace(spec, "CORPUS") for k in ("reason", "detail") if k in row})
        tables.append(table)
    assert said == ["reading 4 clips at URLs; those that are not here yet are fetched"]
    assert tables[0] == tables[1]
    assert len([row for row in tables[0]["scores"] if row["value"] is not None]) == 6
    audio = {path: n for path, n in web.gets.items() if path.endswith((".flac", ".wav"))}
    assert audio == {**{f"/corpus/s/clip%20{n}.flac": 1 for n in range(3)}, "/corpus/broken.wav": 1}
