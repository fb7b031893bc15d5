"""Listening tests: what is chosen from a run, how it is drawn, and how it is matched in loudness."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import listening_run
import numpy as np
import pytest
import soundfile as sf
from codecbench.bench.audio import Clip as Audio
from codecbench.bench.cli import main
from codecbench.bench.listening import sound
from codecbench.bench.listening.material import gather
from codecbench.bench.listening.plan import Clip, Condition, Material, Trial, draw, evenly, spread
from codecbench.bench.listening.store import Listening, ListeningError, Session, now
from codecbench.bench.rows import PointRow
from codecbench.bench.store import Store


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return listening_run.build(tmp_path_factory.mktemp("listening"))


def clip(name: str, speaker: str = "", content: str = "speech", rate: int = 16000) -> Clip:
    return Clip("c", name, content, f"/nowhere/{name}", 0.0, 3.0, rate, speaker)


def material(clips: list[Clip], systems: int = 2) -> Material:
    points = tuple(("codec", str(i)) for i in range(systems))
    waves = {(c.corpus, c.clip, *p): f"{c.clip}/{p[1]}" for c in clips for p in points}
    return Material(tuple(clips[:-1]), {"speech": points}, waves, clips[-1], ())


def test_a_run_gives_its_clips_and_codecs_without_anchors(made):
    found = gather(made.folder, "mushra", made.cache, clips=2)
    assert found.systems == {"speech": (("opus", "12"), ("opus", "24"))}
    assert len(found.clips) == 2
    assert found.training not in found.clips
    assert any("at least 5" in note for note in found.notes)


def test_anchors_take_part_if_they_are_named(made):
    found = gather(made.folder, "acr", made.cache, ["opus@24", "pcm"], clips=2)
    assert found.systems == {"speech": (("opus", "24"), ("pcm", "8"))}
    assert found.notes == ()


def test_too_few_clips_are_told(made):
    found = gather(made.folder, "mushra", made.cache)
    assert len(found.clips) == 3
    assert found.training in found.clips
    assert any("3 usable clips for 5 wanted" in note for note in found.notes)


@pytest.mark.parametrize(("spec", "there"), [("mp3", "opus, pcm"), ("opus@13", "opus@12, opus@24, pcm@8")])
def test_a_codec_that_the_run_lacks_is_an_error(made, spec, there):
    with pytest.raises(ListeningError, match=f"no results of {spec}; it has {there}"):
        gather(made.folder, "abx", made.cache, [spec])


def test_a_pruned_cache_says_how_to_fill_it(made, tmp_path):
    with pytest.raises(ListeningError, match=r"3 of 3 clips .* `bench run --suite mine --no-resume`"):
        gather(made.folder, "mushra", tmp_path)


@pytest.mark.parametrize("flags", [" --no-cache", " --no-resume", ""])
def test_the_command_that_fills_the_cache_keeps_it(tmp_path, flags):
    own = listening_run.build(tmp_path, clips=1, seconds=0.6)
    store = Store(own.folder, create=True)
    with store:
        store.set("command", f"bench run{flags} --suite mine")
    store.close()
    with pytest.raises(ListeningError, match="`bench run --suite mine --no-resume`"):
        gather(own.folder, "mushra", tmp_path / "empty")


def test_a_changed_reference_is_left_out(tmp_path):
    own = listening_run.build(tmp_path, clips=2, seconds=0.6)
    (tmp_path / "1.flac").write_bytes((tmp_path / "0.flac").read_bytes())
    found = gather(own.folder, "acr", own.cache)
    assert [c.clip for c in found.clips] == [listening_run.NASTY]
    assert any("not the file that the run coded" in note and "1.flac" in note for note in found.notes)
    (tmp_path / "0.flac").unlink()
    with pytest.raises(ListeningError, match="left out, since its reference"):
        gather(own.folder, "acr", own.cache)


def test_at_most_twelve_signals_a_trial(tmp_path):
    own = listening_run.build(tmp_path, clips=2, seconds=0.6)
    store = Store(own.folder, create=True)
    key = store.rows("SELECT wave FROM results WHERE codec = 'opus' LIMIT 1")[0]["wave"]
    with store:
        for kbps in range(30, 42):
            row = PointRow("more", str(kbps), "speech", "More", "codec", "cbr", kbps, "", "", "", "", "f", "")
            results = [listening_run.result_row(n, "more", str(kbps), key) for n in (listening_run.NASTY, "clip 1")]
            store.put([row, *results])
    store.close()
    found = gather(own.folder, "mushra", own.cache, clips=1)
    assert len(found.systems["speech"]) == 9
    assert found.systems["speech"][0] == ("more", "30")
    assert found.systems["speech"][-1] == ("opus", "24")
    assert any("9 of 14 operating points" in note and "opus@24" in note for note in found.notes)
    assert {len(t.conditions) for t in draw(found, "mushra", 0)} == {12}
    assert len(gather(own.folder, "abx", own.cache, clips=1).systems["speech"]) == 14


def test_points_are_chosen_evenly():
    points = [("c", str(i)) for i in range(17)]
    assert [p[1] for p in evenly(points, 9)] == ["0", "2", "4", "6", "8", "10", "12", "14", "16"]
    assert evenly(points[:3], 9) == points[:3]
    assert evenly(points, 1) == points[:1]


def test_speakers_and_contents_take_turns():
    many = [clip(f"a{i}", "a") for i in range(9)] + [clip("b", "b"), clip("m", "", "music")]
    order = spread(many, 3)
    assert {c.content for c in order[:2]} == {"speech", "music"}
    assert {c.speaker for c in order[:3]} == {"a", "b", ""}
    assert order == spread(many, 3)
    assert sorted(c.clip for c in order) == sorted(c.clip for c in many)


def test_mushra_has_training_first_hidden_reference_and_anchors():
    drawn = draw(material([clip("a"), clip("b"), clip("t")]), "mushra", 7)
    assert [t.training for t in drawn] == [True, False, False]
    for trial in drawn:
        names = {(c.codec, c.point, c.role) for c in trial.conditions}
        assert names == {
            ("reference", "", "reference"),
            ("lowpass", "3.5k", "anchor"),
            ("lowpass", "7k", "anchor"),
            ("codec", "0", "system"),
            ("codec", "1", "system"),
        }
    assert drawn == draw(material([clip("a"), clip("b"), clip("t")]), "mushra", 7)
    orders = {
        tuple(c.codec + c.point for c in draw(material([clip("a")] * 2), "mushra", s)[1].conditions) for s in range(20)
    }
    assert len(orders) > 10


def test_narrow_band_clips_have_no_7_khz_anchor():
    trial = draw(material([clip("a", rate=8000)] * 2), "mushra", 0)[1]
    assert [c.point for c in trial.conditions if c.role == "anchor"] == ["3.5k"]


def test_abx_draws_x_anew_and_shares_the_clips_out():
    drawn = draw(material([clip("a"), clip("b"), clip("t")]), "abx", 1, repeats=40)
    count = [t for t in drawn if not t.training]
    assert len(count) == 80
    assert 20 < sum(t.x == "A" for t in count) < 60
    for point in "01":
        mine = [t for t in count if t.conditions[0].point == point]
        assert sorted(t.clip.clip for t in mine) == ["a"] * 20 + ["b"] * 20


def test_acr_hears_each_codec_and_the_reference_once_a_clip():
    drawn = draw(material([clip("a"), clip("b"), clip("t")]), "acr", 1)
    assert sorted((t.clip.clip, t.conditions[0].codec, t.conditions[0].point) for t in drawn if not t.training) == [
        (name, codec, point) for name in "ab" for codec, point in [("codec", "0"), ("codec", "1"), ("reference", "")]
    ]
    assert 0 < sum(t.training for t in drawn) <= 5


def test_a_plan_comes_back_from_the_store(tmp_path):
    plan = draw(material([clip("ä'\"\n"), clip("t")]), "abx", 1, 2)
    store = Listening(tmp_path, create=True)
    kept = Session("0" * 16, "me", "abx", 1, plan, now())
    with store:
        store.add_session(kept)
        store.add_session(replace(kept, listener="someone else"))
    assert store.session("0" * 16) == kept
    assert store.session("1" * 16) is None
    store.close()
    with pytest.raises(ListeningError, match="first let someone listen"):
        Listening(tmp_path / "nothing")


def test_conditions_are_as_loud_as_the_reference_and_nothing_clips():
    rng = np.random.default_rng(0)
    loud = (0.5 * rng.standard_normal((2, 32000))).clip(-1, 1).astype(np.float32)
    out = sound.matched([loud, 0.05 * loud, np.float32(0.3) * loud], 16000)
    levels = [sound.loudness(signal.astype(np.float32), 16000) for signal in out]
    assert np.ptp(levels) < 0.01
    quiet = sound.matched([0.05 * loud, loud], 16000)
    assert np.allclose(quiet[0], 0.05 * loud, atol=1e-6)  # the reference stays where there is room
    spiky = loud * 0.1
    spiky[:, 100] = 0.9
    raised = sound.matched([loud * 0.5, spiky], 16000)
    assert max(np.abs(signal).max() for signal in raised) <= 32767 / 32768
    both = [sound.loudness(signal.astype(np.float32), 16000) for signal in raised]
    assert abs(both[0] - both[1]) < 0.01


def test_loudness_of_short_and_silent_clips():
    tone = np.full((1, 1000), 0.1, np.float32)
    assert sound.loudness(tone, 16000) == pytest.approx(-20.0, abs=1e-4)
    assert sound.loudness(0 * tone, 16000) == -np.inf
    assert sound.loudness(np.zeros((1, 32000), np.float32), 16000) == -np.inf
    silent, same = sound.matched([tone, 0 * tone], 16000)
    assert np.array_equal(silent, tone.astype(np.float64))
    assert not same.any()


def test_long_clips_are_cut():
    long = Audio(np.zeros((1, 13000), np.float32), 1000)
    assert sound.cut(long).length == 10000
    assert sound.cut(Audio(long.samples[:, :12000], 1000)).length == 12000


def test_the_hidden_reference_is_the_reference(made):
    trial = draw(gather(made.folder, "mushra", made.cache), "mushra", 0)[1]
    heard = sound.prepare(trial, made.cache)
    files = {(c.codec, c.point): wav for c, wav in zip(trial.conditions, heard.conditions, strict=True)}
    assert files.pop("reference", None) is None
    assert files.pop(("reference", "")) == heard.reference
    assert heard.reference not in files.values()
    shapes = {(sf.info(io.BytesIO(w)).frames, sf.info(io.BytesIO(w)).samplerate) for w in files.values()}
    assert len(shapes) == 1
    samples, rate = sf.read(io.BytesIO(files["lowpass", "3.5k"]))
    spectrum = np.abs(np.fft.rfft(samples))
    edge = round(4000 * len(samples) / rate)
    assert spectrum[edge:].max() < 1e-2 * spectrum[:edge].max()


def test_a_lost_wave_is_told(made, tmp_path):
    trial = Trial(gather(made.folder, "abx", made.cache).clips[0], (Condition("opus", "12", "system", "gone"),))
    with pytest.raises(ListeningError, match=r"opus@12 is no longer in the cache"):
        sound.prepare(trial, tmp_path)
    lost = replace(trial, clip=replace(trial.clip, path="/nowhere/x.flac"))
    with pytest.raises(ListeningError, match="the reference cannot be read"):
        sound.prepare(lost, tmp_path)


def test_command_line_mistakes(made, tmp_path, capsys):
    assert main(["listen", str(made.folder)]) == 2
    assert "--method mushra, abx or acr" in capsys.readouterr().err
    assert main(["listen", "results"]) == 2
    assert "./results" in capsys.readouterr().err
    assert main(["listen", "results", str(tmp_path)]) == 2
    assert f"bench listen {tmp_path} --method" in capsys.readouterr().err
    assert main(["listen", str(tmp_path), "--method", "abx"]) == 2
    assert "is no run folder" in capsys.readouterr().err


def test_a_run_that_is_called_results_is_reachable(tmp_path, monkeypatch, capsys):
    listening_run.build(tmp_path, clips=1, seconds=0.6).folder.rename(tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODECBENCH_CACHE", str(tmp_path / "cache"))
    assert main(["listen", "./results", "--method", "abx", "--port", "99999999", "--no-browser"]) == 2
    assert "give another --port" in capsys.readouterr().err
    assert main(["listen", "results", "results", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "scores": [],
        "excluded": [],
        "sessions": {},
        "unfinished": [],
        "outdated": [],
    }
