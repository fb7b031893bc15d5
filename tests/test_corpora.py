"""The embedded corpora: what they hold, that it is whole, and that it is credited."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from codecbench.bench.audio import Clip, read
from codecbench.corpora import Item, registry
from codecbench.corpora._fetch import check, verify

HOME = Path(registry.get("speech").items(None)[0].path).parents[1]
EMBEDDED = ["speech", "music"]


def rows(name: str) -> list[dict[str, str]]:
    with (HOME / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def clips(name: str) -> list[tuple[Item, Clip]]:
    return [(item, read(item.path, item.start, item.seconds)) for item in registry.get(name).items(None)]


def test_speech_is_diverse() -> None:
    items = registry.get("speech").items(None)
    assert len(items) >= 28
    assert len({item.language for item in items} - {"", "und"}) >= 5
    voices = Counter(item.speaker for item in items)
    assert len(voices) >= 9
    assert "" not in voices
    assert max(voices.values()) <= 7, "one voice must not dominate"
    assert all(item.content == "speech" for item in items)


def test_first_four_speech_clips_differ() -> None:
    first = registry.get("speech").items(None)[:4]
    assert len({item.speaker for item in first}) == len({item.language for item in first}) == 4


def test_music_is_diverse() -> None:
    items = registry.get("music").items(None)
    assert len(items) >= 16
    assert len({item.genre for item in items} - {""}) >= 8
    lossy = Counter(item.lossy for item in items)
    assert lossy[True] >= 6, "full mixes, lossy at the source"
    assert lossy[False] >= 6, "lossless renders"
    assert all(item.content == "music" for item in items)


@pytest.mark.parametrize("name", EMBEDDED)
def test_files_are_those_of_the_manifest(name: str) -> None:
    assert verify(registry.get(name)) == []
    assert {row["file"] for row in rows(name)} == {f"{name}/{path.name}" for path in (HOME / name).iterdir()}


def test_damage_is_found(tmp_path: Path) -> None:
    row = rows("speech")[0]
    damaged = tmp_path / "clip.flac"
    data = bytearray((HOME / row["file"]).read_bytes())
    data[1000] ^= 1
    damaged.write_bytes(data)
    assert "changed" in check(damaged, row["sha256"])[0]
    assert "No such file" in check(tmp_path / "absent.flac", row["sha256"])[0]


def test_small_enough_for_a_wheel() -> None:
    assert sum(path.stat().st_size for path in HOME.rglob("*.flac")) <= 12_000_000


@pytest.mark.parametrize("name", EMBEDDED)
def test_audio_is_as_declared_and_sane(name: str) -> None:
    shortest, longest, rates, channels = {
        "speech": (3.0, 8.0, {16000, 44100, 48000}, 1),
        "music": (5.0, 8.0, {44100, 48000}, 2),
    }[name]
    peaks = []
    for row, (item, clip) in zip(rows(name), clips(name), strict=True):
        assert shortest <= clip.seconds <= longest, item.id
        assert clip.seconds == pytest.approx(float(row["seconds"]), abs=1e-5)
        assert (clip.rate, clip.channels) == (int(row["rate"]), int(row["channels"]))
        assert clip.rate in rates, item.id
        assert clip.channels == channels, item.id
        level = np.abs(clip.samples)
        assert np.count_nonzero(level >= 0.9999) == 0, f"{item.id} is clipped"
        assert level.max() > 0.02, f"{item.id} is nearly silent"
        mono = clip.samples.mean(axis=0)
        frames = mono[: len(mono) // 480 * 480].reshape(-1, 480)
        assert np.mean(np.abs(frames).max(axis=1) > 0.003) > 0.5, f"{item.id} is mostly silence"
        peaks.append(20 * np.log10(level.max()))
    assert np.ptp(peaks) > 6, "levels as recorded differ; equal peaks would mean normalised clips"


@pytest.mark.parametrize("name", EMBEDDED)
def test_bandwidth_is_that_of_the_source(name: str) -> None:
    for item, clip in clips(name):
        spectrum = np.abs(np.fft.rfft(clip.samples.mean(axis=0).astype(np.float64))) ** 2
        hz = np.fft.rfftfreq(clip.length, 1 / clip.rate)
        above = spectrum[hz > 5000].sum() / spectrum.sum()
        # narrowband (telephone) material would have next to nothing there
        assert above > 1e-5, f"{item.id}: {above:.1e} of the energy in the upper band"


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_clip_is_licensed_and_credited(name: str) -> None:
    text = (HOME / "LICENCES.md").read_text(encoding="utf-8")
    for row in rows(name):
        assert row["licence"], row["id"]
        assert row["credit"], row["id"]
        assert row["version"], row["id"]
        assert f"`{row['package']}`" in text, f"{row['package']} is not credited in LICENCES.md"
        assert row["lossy"] in {"yes", "no"}
        if row["source"].endswith((".ogg", ".g722", ".mp3")):
            assert row["lossy"] == "yes", row["id"]


def test_disjoint_from_training_data() -> None:
    """SoundStream trains on these packages; a benchmark on them would flatter it."""
    packages = {row["package"] for name in EMBEDDED for row in rows(name)}
    assert not packages & {"naev-data", "sonic-pi-samples"}
    assert packages <= {
        *(f"asterisk-core-sounds-{language}-g722" for language in ("en", "es", "fr", "it", "ru")),
        *("festvox-ru", "pocketsphinx-testdata", "alsa-utils", "music21"),
        *("0ad-data", "supertuxkart-data", "singularity-music"),
    }
