"""Corpora that users bring: known layouts, folders, manifests, and what `--corpus` takes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from codecbench.bench.audio import AudioError, read
from codecbench.corpora import CorpusError, Item, registry
from codecbench.corpora._open import open_corpus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SPEECH = registry.get("speech").items(None)[0].path

#: layout -> files of the corpus with the speaker expected, and files beside them that are no clips of it
TREES: dict[str, tuple[dict[str, str], list[str]]] = {
    "librispeech": (
        {
            "test-clean/1089/134686/1089-134686-0000.flac": "1089",
            "test-clean/61/70968/61-70968-0001.flac": "61",
        },
        ["test-clean/1089/134686/1089-134686.trans.txt"],
    ),
    "vctk": (
        {"wav48_silence_trimmed/p225/p225_001_mic1.flac": "p225", "wav48_silence_trimmed/s5/s5_002_mic1.flac": "s5"},
        ["wav48_silence_trimmed/p225/p225_001_mic2.flac"],
    ),
    "daps": (
        {"clean/f1_script1_clean.wav": "f1", "clean/m10_script5_clean.wav": "m10"},
        ["clean/._f1_script1_clean.wav", "iphone_office1/f1_script1_iphone_office1.wav"],
    ),
    "ears": ({"p001/emo_anger_sentences.wav": "p001", "p107/rainbow_01_fast.wav": "p107"}, []),
    "musdb18hq": (
        {"test/AM Contra - Heart Peripheral/mixture.wav": "AM Contra", "test/Duo/mixture.wav": "Duo"},
        ["test/AM Contra - Heart Peripheral/vocals.wav"],
    ),
    "maestro": ({"2004/MIDI-Unprocessed_01.wav": "", "2018/MIDI-Unprocessed_02.wav": ""}, ["maestro-v3.0.0.csv"]),
    "sqam": ({"01.flac": "", "49.flac": "", "70.flac": ""}, ["cover.wav"]),
    "fma": ({"fma_small/000/000002.mp3": "", "fma_small/155/155066.mp3": ""}, ["fma_small/checksums"]),
    "commonvoice": ({"it/clips/common_voice_it_1.mp3": "abc", "it/clips/common_voice_it_2.mp3": ""}, []),
    "tsp": ({"48k/FA/FA01_01.wav": "FA", "48k/MB/MB10_02.wav": "MB"}, ["16k-LP7/FA/FA01_01.wav"]),
}


def make(root: Path, names: list[str]) -> None:
    samples, rate = sf.read(SPEECH, stop=8000, dtype="float32")
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in {".wav", ".flac", ".mp3"}:
            sf.write(path, samples, rate)
        else:
            path.write_text("notes", encoding="utf-8")


def tree(root: Path, name: str) -> Path:
    files, others = TREES[name]
    make(root, [*files, *others])
    if name == "commonvoice":
        (root / "it/validated.tsv").write_text(
            'client_id\tpath\tsentence\tlocale\nabc\tcommon_voice_it_1.mp3\t"Ciao\tit\n', encoding="utf-8"
        )
        (root / "it/reported.tsv").write_text("sentence\treason\nx\ty\n", encoding="utf-8")
    return root


def test_every_layout_is_tested() -> None:
    assert set(TREES) == {corpus.name for corpus in registry if not corpus.embedded}


@pytest.mark.parametrize("name", sorted(TREES))
def test_layout_lists_and_reads(name: str, tmp_path: Path) -> None:
    root, corpus = tree(tmp_path, name), registry.get(name)
    items = open_corpus(f"{name}:{root}")
    assert {item.path.relative_to(root).as_posix(): item.speaker for item in items} == TREES[name][0]
    assert [item.id for item in items] == sorted(item.id for item in items)
    for item in items:
        assert item.corpus == name
        assert item.licence == corpus.licence
        assert item.credit
        clip = read(item.path, item.start, item.seconds)
        assert clip.rate == 16000
        assert clip.seconds == pytest.approx(0.5, abs=0.15)  # MP3 pads
        assert np.abs(clip.samples).max() > 0.001


@pytest.mark.parametrize("name", sorted(TREES))
def test_wrong_layout_says_what_is_expected_and_found(name: str, tmp_path: Path) -> None:
    make(tmp_path, ["music/track.wav"])
    with pytest.raises(CorpusError) as error:
        open_corpus(f"{name}:{tmp_path}")
    assert registry.get(name).layout in str(error.value)
    assert f"music{os.sep}track.wav" in str(error.value)
    with pytest.raises(CorpusError, match="no such folder"):
        open_corpus(f"{name}:{tmp_path / 'absent'}")


def test_layout_from_a_folder_inside(tmp_path: Path) -> None:
    tree(tmp_path, "ears")
    tree(tmp_path, "musdb18hq")
    assert [item.speaker for item in open_corpus(f"ears:{tmp_path / 'p001'}")] == ["p001"]
    assert len(open_corpus(f"musdb18hq:{tmp_path / 'test'}")) == 2


def test_details_of_some_layouts(tmp_path: Path) -> None:
    sqam = open_corpus(f"sqam:{tree(tmp_path / 'sqam', 'sqam')}", "music")
    assert [(item.id, item.content, item.language) for item in sqam] == [
        ("01", "music", ""),
        ("49", "speech", "en"),
        ("70", "music", ""),
    ]
    voices = open_corpus(f"commonvoice:{tree(tmp_path / 'cv', 'commonvoice')}")
    assert [item.language for item in voices] == ["it", ""]
    assert all(item.lossy for item in voices)
    assert {item.genre for item in open_corpus(f"maestro:{tree(tmp_path / 'm', 'maestro')}")} == {"piano"}


def test_folder_takes_everything_with_an_audio_suffix(tmp_path: Path) -> None:
    names = ["a.wav", "deep/er/b.flac", "quote\"'.wav", "line\nbreak.wav", "emoji 🎵.wav", "same.wav", "same.flac"]
    make(tmp_path, [*names, "notes.txt"])
    (tmp_path / "text.wav").write_text("no audio", encoding="utf-8")
    (tmp_path / "UPPER.WAV").write_bytes((tmp_path / "a.wav").read_bytes())
    items = {item.id: item for item in open_corpus(str(tmp_path), "music")}
    expected = ["a", "deep/er/b", "quote\"'", "line\nbreak", "emoji 🎵", "same.wav", "same.flac", "text", "UPPER"]
    assert set(items) == set(expected)
    assert all(item.content == "music" and item.corpus == tmp_path.name for item in items.values())
    for id in set(expected) - {"text"}:
        assert read(items[id].path).rate == 16000
    with pytest.raises(AudioError, match="not readable as audio"):
        read(items["text"].path)


def test_content_by_prefix(tmp_path: Path) -> None:
    make(tmp_path, ["a.wav"])
    assert open_corpus(f"music:{tmp_path}", "speech")[0].content == "music"
    assert open_corpus(f"speech:{tmp_path}", "music")[0].content == "speech"
    assert open_corpus(str(tmp_path))[0].content == "speech"


def test_unreadable_things_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, ["a.wav", "locked/b.wav"])
    real = os.scandir

    def scandir(path: str) -> object:  # root may enter any folder, so the refusal is made here
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert [item.id for item in open_corpus(str(tmp_path))] == ["a", "locked"]


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    make(tmp_path, ["a.wav"])
    try:
        shutil.copy(os.fsencode(tmp_path / "a.wav"), os.fsencode(tmp_path) + b"/caf\xe9.wav")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert [item.id for item in open_corpus(str(tmp_path))] == ["a", "caf\\xe9"]


def test_empty_folder_and_wrong_specs(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no audio file"):
        open_corpus(str(tmp_path))
    with pytest.raises(CorpusError, match="neither a corpus nor a path"):
        open_corpus("libirspeech:/data")
    with pytest.raises(CorpusError, match="neither a corpus nor a path"):
        open_corpus("speech:")
    make(tmp_path, ["a.wav"])
    with pytest.raises(CorpusError, match="must be a manifest"):
        open_corpus(str(tmp_path / "a.wav"))


def test_corpus_that_was_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECBENCH_DATA", str(tmp_path))
    with pytest.raises(CorpusError, match="bench corpora get librispeech"):
        open_corpus("librispeech")
    with pytest.raises(CorpusError, match="ears:/path"):
        open_corpus("ears")
    tree(tmp_path / "librispeech", "librispeech")
    assert len(open_corpus("librispeech")) == 2


CSV = "file,speaker,start,seconds,lossy,content,note\nx/a.wav,anna,0.1,0.25,yes,,mine\nx/b.wav,,,,,music,\n"
TOML = """
[[clip]]
file = "x/a.wav"
speaker = "anna"
start = 0.1
seconds = 0.25
lossy = true
[[clip]]
file = "x/b.wav"
content = "music"
"""


@pytest.mark.parametrize(("name", "text"), [("set.csv", CSV), ("set.toml", TOML)])
def test_manifest(name: str, text: str, tmp_path: Path) -> None:
    make(tmp_path, ["x/a.wav", "x/b.wav"])
    (tmp_path / name).write_text(text, encoding="utf-8")
    first, second = open_corpus(str(tmp_path / name))
    assert first == Item("x/a", "set", tmp_path / "x/a.wav", "speech", "anna", lossy=True, start=0.1, seconds=0.25)
    assert second == Item("x/b", "set", tmp_path / "x/b.wav", "music")
    assert read(first.path, first.start, first.seconds).seconds == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file\n", "lists no clips"),
        ("speaker\nanna\n", "no column `file`"),
        ("file,speaker\n,anna\n", "clip 1 has no file"),
        ("file\na.wav\na.wav\n", "there twice"),
        ("file,start\na.wav,soon\n", "start is 'soon'"),
        ("file,seconds\na.wav,-1\n", "seconds is '-1'"),
        ("file,seconds\na.wav,nan\n", "seconds is 'nan'"),
        ("file,lossy\na.wav,maybe\n", "lossy is 'maybe'"),
        ("file,content\na.wav,noise\n", "content is 'noise'"),
    ],
)
def test_manifest_errors_name_the_row(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match=message) as error:
        open_corpus(str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "data"), [("a.toml", b"clip = 3"), ("b.toml", b"[[clip"), ("c.csv", b"file\n\xff\xfe.wav\n")]
)
def test_broken_manifests(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorpusError, match=name):
        open_corpus(str(tmp_path / name))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from(["f.csv", "f.toml"]))
def test_any_manifest_is_read_or_refused_clearly(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    try:
        items = open_corpus(str(tmp_path / name))
    except CorpusError:
        return
    assert len({item.id for item in items}) == len(items) > 0
