"""The audio of a report: which clips, what is packed, what is told when something is not there."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from codecbench.bench.cache import Files
from codecbench.bench.cli import main
from codecbench.reports.audio import clip_id, package
from codecbench.reports.clips import ClipError, choose, order_of_points
from codecbench.reports.view import View
from listen_run import COMMAND, HOSTILE, make_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("listen"))


@pytest.fixture
def copied(made, tmp_path):
    """The run and its cache to be damaged: (view, cache)."""
    run, cache, _ = made
    shutil.copytree(cache, tmp_path / "cache")
    return View(run), tmp_path / "cache"


def decoded(files):
    return [sf.read(io.BytesIO(base64.b64decode(text)), dtype="float32", always_2d=True) for text in files]


def script(folder, clip):
    text = (folder / clip.file).read_text()
    match = re.fullmatch(r'codecbench\.audio\("([0-9a-f]{16})", (.*)\);\n', text)
    assert match[1] == clip.id
    return json.loads(match[2])


def test_the_page_of_a_run_has_its_audio(made):
    run, _, _ = made
    assert len(list((run / "audio").glob("*.js"))) == 3
    assert "codecbench.player" in (run / "index.html").read_text()


def test_what_is_packed_is_what_the_run_read_and_decoded(made, tmp_path):
    run, cache, corpus = made
    view = View(run)
    manifest = package(view, Files(cache), tmp_path).manifest
    assert {clip.clip for clip in manifest.clips} == set(view.run.clips["clip"])
    assert (manifest.points, manifest.all_points, manifest.remake) == (9, 9, "")
    assert manifest.bytes == sum(path.stat().st_size for path in (tmp_path / "audio").iterdir())
    waves = {(r["clip"], r["codec"], r["point"]): r["wave"] for r in view.run.results.to_dict("records")}
    for clip in manifest.clips:
        audio = script(tmp_path, clip)
        assert len(audio) == len(clip.sources) == 4
        assert clip.id == clip_id(clip.corpus, clip.clip)
        for source, text in list(zip(clip.sources, audio, strict=True))[1:]:
            kept = Files(cache).wave_path(waves[clip.clip, source.codec, source.point])
            assert base64.b64decode(text) == kept.read_bytes()
            row = view.frame[(view.frame["clip"] == clip.clip) & (view.frame["codec"] == source.codec)]
            row = row[row["point"] == source.point].iloc[0]
            assert source.scores == (f"{row['stoi']:.3f}",)
    part = next(clip for clip in manifest.clips if clip.clip == HOSTILE)
    (reference, rate), *_ = decoded(script(tmp_path, part))
    long, _ = sf.read(corpus / "long.wav", dtype="float32")
    assert (rate, part.channels, part.seconds) == (44100, 2, 2.0)
    np.testing.assert_array_equal(reference, long[66150 : 66150 + 88200])  # 24 bits are kept


def test_gains_bring_every_source_to_one_loudness_without_clipping(made, tmp_path):
    import pyloudnorm

    run, cache, _ = made
    for clip in package(View(run), Files(cache), tmp_path).manifest.clips:
        levels, peaks = [], []
        for source, (samples, rate) in zip(clip.sources, decoded(script(tmp_path, clip)), strict=True):
            levels.append(pyloudnorm.Meter(rate).integrated_loudness(samples.astype(float) * source.gain))
            peaks.append(np.abs(samples).max() * source.gain)
        assert np.ptp(levels) < 0.01
        assert max(peaks) <= 1.0001
        assert max(source.gain for source in clip.sources) >= 0.9 or max(peaks) > 0.99


@pytest.mark.parametrize("budget", [2_000_000, 900_000, 400_000, 1000])
@pytest.mark.parametrize("single", [False, True])
def test_the_budget_holds_and_what_it_costs_is_told(made, tmp_path, budget, single):
    run, cache, _ = made
    got = package(View(run), Files(cache), None if single else tmp_path, budget)
    written = [path.stat().st_size for path in tmp_path.rglob("*.js")]
    written += [len(text) for text in got.blocks.values()]
    manifest = got.manifest
    assert sum(written) == manifest.bytes <= budget
    assert bool(got.blocks) == (single and bool(manifest.clips))
    assert len(manifest.clips) + len(manifest.absent) == 3
    assert sum(manifest.heard.values()) == len(manifest.clips) == len(written)
    assert manifest.total == {"speech": 3}
    for clip in manifest.clips:
        assert len(clip.sources) >= 2
        assert len(clip.sources) - 1 + len(clip.absent) == 3
        assert {a.reason for a in clip.absent} <= {"left out for its size"}
    assert all(a.reason == f"left out: the audio may take {budget / 1e6:g} MB" for a in manifest.absent)
    if budget == 1000:
        assert not manifest.clips
    if budget == 900_000:
        assert manifest.clips
        assert manifest.points < 9


def test_audio_of_an_earlier_report_goes_and_other_files_stay(made, tmp_path):
    run, cache, _ = made
    package(View(run), Files(cache), tmp_path)
    (tmp_path / "audio" / "mine.js").write_text("")
    one = package(View(run), Files(cache), tmp_path, clips=1).manifest.clips
    assert sorted(p.name for p in (tmp_path / "audio").iterdir()) == sorted([f"{one[0].id}.js", "mine.js"])


def test_decoded_audio_that_left_the_cache_is_told_with_the_commands_that_work(made, copied, tmp_path, monkeypatch):
    view, cache = copied
    for row in view.run.results.to_dict("records"):
        if row["codec"] == "opus" or row["clip"] == HOSTILE:
            Files(cache).wave_path(row["wave"]).unlink()
    manifest = package(view, Files(cache), tmp_path).manifest
    assert [(a.clip, a.reason) for a in manifest.absent] == [(HOSTILE, "its decoded audio is no longer in the cache")]
    assert [len(clip.sources) for clip in manifest.clips] == [2, 2]
    assert {(a.codec, a.reason) for clip in manifest.clips for a in clip.absent} == {
        ("opus", "its decoded audio is no longer in the cache")
    }
    # What it says is what brings it back; the same run alone does not, as all scores are still known.
    clear, again = manifest.remake.split(" && ")
    assert clear == "bench cache clear"
    assert again.endswith(" --no-resume")
    monkeypatch.setenv("CODECBENCH_CACHE", str(cache))
    _, _, corpus = made
    command = [*COMMAND, "--corpus", str(corpus / "manifest.csv"), "--out", str(tmp_path / "again"), "--no-resume"]
    assert main(clear.split()[1:]) == 0
    assert main(command) == 0
    assert package(View(tmp_path / "again"), Files(cache), tmp_path).manifest.points == 9


def test_damaged_audio_in_the_cache_is_told(copied, tmp_path):
    view, cache = copied
    wave = view.run.results.set_index(["clip", "codec", "point"])["wave"][HOSTILE, "opus", "12"]
    path = Files(cache).wave_path(wave)
    path.write_bytes(path.read_bytes()[:-2000])
    clip = next(c for c in package(view, Files(cache), tmp_path).manifest.clips if c.clip == HOSTILE)
    (absent,) = clip.absent
    assert (absent.codec, absent.point) == ("opus", "12")
    assert absent.reason.startswith("its decoded audio in the cache is damaged: ")


def test_a_reference_that_changed_or_went_is_told_and_not_played(made, tmp_path):
    run, cache, corpus = made
    view = View(run)
    paths = sorted(corpus.glob("*.flac"))
    before = [path.read_bytes() for path in paths]
    try:
        samples, rate = sf.read(paths[0])
        sf.write(paths[0], samples * 0.5, rate)
        paths[1].unlink()
        manifest = package(view, Files(cache), tmp_path).manifest
    finally:
        for path, data in zip(paths, before, strict=True):
            path.write_bytes(data)
    assert [clip.clip for clip in manifest.clips] == [HOSTILE]
    reasons = {a.clip: a.reason for a in manifest.absent}
    assert reasons[paths[0].stem] == f"{paths[0]} has changed since the run"
    assert reasons[paths[1].stem] == f"{paths[1]} cannot be read: No such file or directory"


def test_a_hostile_name_cannot_leave_the_manifest(made):
    run, cache, _ = made
    got = package(View(run), Files(cache), None)
    assert "<" not in got.json
    assert HOSTILE in [clip["clip"] for clip in json.loads(got.json)["clips"]]


def test_clips_can_be_named(made):
    view = View(made[0])
    corpus = view.run.clips["corpus"].iloc[0]
    assert [c.clip for c in choose(view, [f"{corpus}/{HOSTILE}", HOSTILE])] == [HOSTILE]
    with pytest.raises(ClipError, match="no clip named 'nothing' in this run"):
        choose(view, ["nothing"])


class Fake:
    """What `choose` needs of a view: two codecs of which one fails on clip c, the other on clip e."""

    contents = ("speech",)

    def __init__(self, better):
        from codecbench.reports.cells import Metric

        self.metrics = [Metric("stoi", "STOI", 2, better, {})]
        sign = 1 if better else -1
        scores = {"good": [0.9, 0.9, 0.5, 0.92, 0.9, 0.85], "bad": [0.6, 0.62, 0.6, 0.6, 0.1, 0.5]}
        rows = [
            ("data", clip, codec, point, "codec", "speech", "ok", sign * value)
            for codec, values in scores.items()
            for point in ("1", "2")
            for clip, value in zip("abcdef", values, strict=True)
        ]
        rows += [("data", clip, "pcm", "8", "anchor", "speech", "ok", sign * (clip != "a")) for clip in "abcdef"]
        columns = ["corpus", "clip", "codec", "point", "kind", "content", "status", "stoi"]
        self.frame = pd.DataFrame(rows, columns=columns)

    def metrics_of(self, content):
        return self.metrics


@pytest.mark.parametrize(("better", "side"), [(True, "below"), (False, "above")])
def test_the_worst_clip_of_every_codec_comes_first_and_a_typical_one_last(better, side):
    view = Fake(better)
    chosen = choose(view, 3)
    assert [c.clip for c in chosen[:2]] == ["e", "c"]  # 0.40 and 0.33 from the mean; the anchor's worst is no codec's
    assert chosen[0].why == f"worst of bad: STOI of bad 1 is 0.40 {side} its mean"
    assert chosen[0].point == ("bad", "1")
    assert chosen[2].why == "typical: nearest to the codecs' means of STOI"
    assert chosen[2].clip == "f"  # 0.02 and 0.00 from the means
    assert len(choose(view, 8)) == 6
    assert [c.clip for c in choose(view, 1)] == ["e"]


def test_without_a_metric_that_has_a_better_side_clips_are_in_the_runs_order():
    chosen = choose(Fake(None), 2)
    assert [c.clip for c in chosen] == ["a", "b"]
    assert chosen[0].point is None


def test_the_first_points_are_of_different_families_at_similar_rates():
    rows = [("Opus", "opus", p, k) for p, k in (("6", 6.0), ("12", 12.1), ("24", 24.0), ("64", 64.0))]
    rows += [("AMR", "amr_wb", p, k) for p, k in (("6.6", 6.6), ("12.65", 12.65), ("23.85", 23.9))]
    rows += [("AMR", "amr_nb", "12.2", 12.2), ("Anchor", "pcm", "8", np.nan)]
    order = order_of_points(pd.DataFrame(rows, columns=["family", "codec", "point", "kbps"]))
    assert order[:2] == [("opus", "12"), ("amr_wb", "12.65")] or order[:2] == [("amr_wb", "12.65"), ("opus", "12")]
    assert order[2:4] == [("amr_nb", "12.2"), ("pcm", "8")]
    assert len(order) == len(set(order)) == 9
