"""Training SoundStream: data, state on disk, exact resume, a clean end, export."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from codecbench.bench.audio import Clip, read, resample, write_flac  # noqa: E402
from codecbench.bench.cli import main  # noqa: E402
from codecbench.codecs.soundstream import model as models  # noqa: E402
from codecbench.codecs.soundstream.gainshape import LOOP  # noqa: E402
from codecbench.codecs.soundstream.train import checkpoint, manifest, validate  # noqa: E402
from codecbench.codecs.soundstream.train.batches import Batches, Piece, hold_out  # noqa: E402
from codecbench.codecs.soundstream.train.data import ArrayCache, DataError, collect, decode  # noqa: E402
from codecbench.codecs.soundstream.train.presets import PRESETS, Preset  # noqa: E402
from codecbench.codecs.soundstream.train.state import State, seed_step  # noqa: E402
from codecbench.codecs.soundstream.train.trainer import Trainer, TrainingError  # noqa: E402
from codecbench.corpora import registry  # noqa: E402

TINY = PRESETS["tiny"]
SPEECH = [item.path for item in registry.get("speech").items(None)]
MUSIC = [item.path for item in registry.get("music").items(None)]


@pytest.fixture(autouse=True)
def one_thread():
    """As many threads here as in the runs that are compared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Some 12 s of speech and 5 s of music, real audio, at 16 and 44.1 kHz."""
    root = tmp_path_factory.mktemp("data")
    for name, path in (("speech/a", SPEECH[0]), ("speech/b", SPEECH[1]), ("music-piano/c", MUSIC[0])):
        (root / name).parent.mkdir(exist_ok=True)
        (root / f"{name}.flac").write_bytes(path.read_bytes())
    return root


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def sources(folder, cache_folder):
    return collect([folder], ArrayCache(cache_folder), pytest.fail)


def trainer(run: Path, sources, preset: Preset = TINY, seed: int = 0) -> Trainer:
    run.mkdir(exist_ok=True)
    batches = Batches(sources, [], preset.batch, preset.crop, seed)
    return Trainer(run, preset, batches, [], torch.device("cpu"), seed, lambda line: None)


def steps(one: Trainer, until: int) -> None:
    while one.step < until:
        one.advance()


def same(a: State, b: State) -> bool:
    x, y = a.tensors(), b.tensors()
    return x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x)


# Data


def test_sources(sources):
    assert [(one.name, one.music) for one in sources] == [
        ("music-piano/c.flac", True),
        ("speech/a.flac", False),
        ("speech/b.flac", False),
    ]
    clip = resample(read(SPEECH[0]), 24000)
    array = sources[1].open()
    assert array.dtype == np.int16
    assert abs(len(array) - clip.length) <= 1
    n = min(len(array), clip.length)
    assert np.abs(array[:n] / 32768 - clip.samples[0, :n]).max() < 2e-3  # streamed soxr against one call, and 16 bits


def test_stereo_is_averaged_and_music_is_known_by_the_folder_itself(tmp_path):
    (tmp_path / "Music_x").mkdir()
    samples = np.stack([np.full(4800, 0.5), np.full(4800, -0.25)]).astype(np.float32)
    write_flac(tmp_path / "Music_x" / "one.flac", Clip(samples, 24000))
    (one,) = collect([tmp_path / "Music_x"], ArrayCache(tmp_path / "cache"), pytest.fail)
    assert one.music
    assert one.folder == "Music_x"
    assert set(one.open()) == {4096}


def test_decoding_reads_what_only_ffmpeg_reads(tmp_path):
    import av

    path = tmp_path / "a.m4a"
    tone = (0.3 * np.sin(np.arange(48000) * 0.05)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    samples = decode(path, tmp_path / "a.npy")
    array = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert len(array) == samples == pytest.approx(24000, abs=1200)
    assert np.std(array[4000:20000] / 32768) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)


def test_bad_files_are_named_and_left_out(tmp_path, folder):
    root = tmp_path / "data"
    root.mkdir()
    (root / "broken.wav").write_bytes(b"RIFFxxxx")
    (root / "empty.mp3").write_bytes(b"")
    sf.write(root / "nan.wav", np.full(100, np.nan), 24000, subtype="FLOAT")
    (root / "good.flac").write_bytes(SPEECH[0].read_bytes())
    said: list[str] = []
    assert [one.name for one in collect([root], ArrayCache(tmp_path / "cache"), said.append)] == ["good.flac"]
    assert len(said) == 3
    assert all(any(name in line for line in said) for name in ("broken.wav", "empty.mp3", "nan.wav"))
    (root / "good.flac").unlink()
    with pytest.raises(DataError, match="none of 3 files could be read"):
        collect([root], ArrayCache(tmp_path / "cache"), said.append)
    with pytest.raises(DataError, match="no such folder"):
        collect([root / "absent"], ArrayCache(tmp_path / "cache"), said.append)
    assert not list((tmp_path / "cache").glob("*.part"))


def test_cache_decodes_once_and_notices_a_changed_file(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    path.write_bytes(SPEECH[0].read_bytes())
    cache = ArrayCache(tmp_path / "cache")
    first = cache.get(path)
    cache.save_index()
    with monkeypatch.context() as patch:
        for name in ("decode", "file_sha256"):
            patch.setattr(f"codecbench.codecs.soundstream.train.data.{name}", None)
        assert ArrayCache(tmp_path / "cache").get(path) == first
    path.write_bytes(SPEECH[1].read_bytes())
    assert ArrayCache(tmp_path / "cache").get(path)[0] != first[0]


def test_cache_is_bounded(tmp_path, folder):
    """Another data set's arrays go first; files beyond the limit are left out and counted, the same ones each time."""
    cache = tmp_path / "cache"
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.flac").write_bytes(SPEECH[2].read_bytes())
    collect([other], ArrayCache(cache), pytest.fail)
    limit = 700_000  # 5 to 6 s take 240 to 300 kB: two of the three fit, the other set's one does not
    for _ in range(2):
        said: list[str] = []
        found = collect([folder], ArrayCache(cache, limit), said.append)
        assert len(found) == 2
        assert "left out: 1 of 3 files" in said[0]
        assert sum(path.stat().st_size for path in cache.glob("*.npy")) <= limit
        assert {path.stem for path in cache.glob("*.npy")} == {one.sha256 for one in found}


def test_batches_depend_on_seed_and_step_alone(sources):
    a, b = (Batches(sources, [], 8, 6400, seed=3) for _ in range(2))
    _ = a(7), a(8, stream=1)
    np.testing.assert_array_equal(a(5), b(5))
    assert a(5).shape == (8, 1, 6400)
    assert a(5).dtype == np.float32
    for other in (a(6), a(5, stream=1), Batches(sources, [], 8, 6400, seed=4)(5)):
        assert not np.array_equal(a(5), other)


def test_batches_span_the_levels_and_have_silence(sources):
    batches = Batches(sources, [], 64, 2400, seed=0)
    peaks = np.concatenate([np.abs(batches(step)).max((1, 2)) for step in range(30)])
    assert peaks.max() <= 1 + 1e-6
    assert 0.002 < np.mean(peaks == 0) < 0.03  # digital silence
    decibels = 20 * np.log10(peaks[peaks > 1e-3])
    assert np.mean(decibels < -30) > 0.08
    assert np.mean(decibels > -12) > 0.4


def test_held_out_pieces_are_never_trained_on(tmp_path):
    """A file that counts its samples: no crop touches the piece, all else is reached."""
    (tmp_path / "data").mkdir()
    ramp = (np.arange(24000 * 12) // 24000 + 1) * 1000  # second i is the constant 1000 (i + 1)
    sf.write(tmp_path / "data" / "a.wav", ramp.astype(np.int16), 24000, subtype="PCM_16")
    (one,) = collect([tmp_path / "data"], ArrayCache(tmp_path / "cache"), pytest.fail)
    batches = Batches([one], [Piece(one.sha256, 24000 * 5, 24000 * 7)], 4, 2400, seed=0)
    assert batches.seconds == 4 + 4  # 12 without the piece and a second on both sides
    pool = batches._speech
    rng = np.random.default_rng(0)
    seen = {round(float(v) * 32.768) for _ in range(300) for v in pool.crop(rng, 2400)[[0, -1]]}
    assert seen == {1, 2, 3, 4, 9, 10, 11, 12}
    with pytest.raises(DataError, match="held out"):
        Batches([one], [Piece(one.sha256, 0, one.samples)], 4, 2400, seed=0)


def test_hold_out_takes_loud_pieces_of_few_files(tmp_path):
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        samples = 0.01 * rng.standard_normal(24000 * 60)
        samples[24000 * 40 : 24000 * 50] *= 20
        sf.write(tmp_path / "data" / f"{name}.wav", samples, 24000)
    sources = collect([tmp_path / "data"], ArrayCache(tmp_path / "cache"), pytest.fail)
    pieces = hold_out(sources, speech=3, music=3)
    assert pieces == hold_out(sources[::-1], speech=3, music=3)
    assert len(pieces) == 1  # 5 s of 180 are allowed once: 5 % are 9 s
    by_hash = {one.sha256: one.open()[piece.start : piece.stop] for piece in pieces for one in sources}
    assert all(np.std(audio[: 24000 * 2] / 32768) > 0.1 for audio in by_hash.values())


def test_manifest_keeps_what_was_ever_used(tmp_path, sources):
    path = tmp_path / "manifest.csv"
    manifest.update(path, sources[:2])
    merged = manifest.update(path, sources[1:])
    assert manifest.read(path) == merged
    assert [one.sha256 for one in merged] == [one.sha256 for one in sources]
    assert merged[1].seconds == pytest.approx(sf.info(SPEECH[0]).duration, abs=0.01)
    table = manifest.summary(merged)
    assert "| speech | 2 |" in table
    assert "| music | 1 |" in table


# State on disk


def test_checkpoint_round_trip_in_small_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PART_BYTES", 1000)
    tensors = {"a": torch.randn(700), "b": torch.tensor(True), "c": torch.randn(3, 2).bfloat16()}
    assert checkpoint.load(tmp_path) is None
    for step in (1, 2):
        checkpoint.save(tmp_path, tensors | {"n": torch.tensor(step)}, {"step": step, "best": None})
    loaded, meta = checkpoint.load(tmp_path)
    assert meta == {"step": 2, "best": None}
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    (only,) = (tmp_path / "checkpoints").iterdir()
    sizes = [path.stat().st_size for path in only.iterdir()]
    assert len(sizes) > 3
    assert max(sizes) <= 1000


class Killed(BaseException):
    """What stands for a kill: no handler catches it."""


@pytest.mark.parametrize("at", range(12))
def test_a_kill_in_the_middle_of_a_save_leaves_a_whole_state(tmp_path, monkeypatch, at):
    """Cut off before, in or after every call that writes, replaces or deletes."""
    monkeypatch.setattr(checkpoint, "PART_BYTES", 1000)
    state = lambda step: {"a": torch.full((600,), float(step))}  # noqa: E731
    checkpoint.save(tmp_path, state(1), {"step": 1})
    calls = 0

    def dying(real):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == at + 1:
                if real is writing:
                    args[0].write_bytes(args[1][: len(args[1]) // 2])
                raise Killed
            return real(*args, **kwargs)

        return call

    writing = checkpoint._write
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", dying(checkpoint._write))
        patch.setattr(checkpoint, "_sync", dying(checkpoint._sync))
        patch.setattr(Path, "replace", dying(Path.replace))
        patch.setattr(checkpoint.shutil, "rmtree", dying(checkpoint.shutil.rmtree))
        try:
            checkpoint.save(tmp_path, state(2), {"step": 2})
            finished = True
        except Killed:
            finished = False
    assert finished == (calls <= at)
    tensors, meta = checkpoint.load(tmp_path)
    assert meta["step"] in ({2} if finished else {1, 2})
    assert torch.equal(tensors["a"], state(meta["step"])["a"])
    checkpoint.save(tmp_path, state(3), {"step": 3})  # and the next save clears up
    assert checkpoint.load(tmp_path)[1]["step"] == 3
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_damage_is_named(tmp_path):
    checkpoint.save(tmp_path, {"a": torch.ones(1000)}, {})
    (part,) = (tmp_path / "checkpoints").glob("*/state.00")
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    with pytest.raises(checkpoint.CheckpointError, match=r"000001: damaged or incomplete"):
        checkpoint.load(tmp_path)
    (tmp_path / "latest").write_text("{")
    with pytest.raises(checkpoint.CheckpointError, match="latest: damaged"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_state_is_small_enough_to_be_moved(name):
    """At most 70 MB, the moments of all parameters counted, which only exist after the first steps."""
    from codecbench.codecs.soundstream.discriminators import STFTDiscriminator, WaveDiscriminator

    preset = PRESETS[name]
    model = models.SoundStream(models.PRESETS[preset.model])
    nets = [WaveDiscriminator(preset.wave_channels, preset.wave_max), STFTDiscriminator(preset.stft_channels)]
    count = lambda tensors: sum(one.numel() for one in tensors)  # noqa: E731
    discriminators = sum(count(net.parameters()) for net in nets)
    weights = count(model.parameters())
    size = weights * (4 + 4 + 4 + 2) + 4 * count(model.buffers()) + discriminators * (4 + 4 + 2)
    assert size < 69_500_000  # half a megabyte for names
    assert checkpoint.PART_BYTES <= 15_000_000


def test_preset_round_trip():
    for preset in PRESETS.values():
        assert Preset.from_json(json.loads(json.dumps(preset.to_json()))) == preset
        assert preset.crop % models.PRESETS[preset.model].hop == 0
        assert preset.phases[0].start == 0


def test_rate_rises_stays_and_falls():
    preset = dataclasses.replace(TINY, steps=1000, warmup=100, rate=1.0, phases=TINY.phases[:1])
    assert preset.rate_at(0) == pytest.approx(0.01)
    assert preset.rate_at(300) == 1
    assert preset.rate_at(850) == pytest.approx(0.5)
    assert preset.rate_at(1000) == 0


# Training


def test_twenty_steps_lower_the_loss_and_resume_is_bit_equal(tmp_path, sources):
    """Through all phases: autoencoder, k-means, quantiser, discriminators."""
    whole = trainer(tmp_path / "whole", sources)
    x = torch.cat([torch.from_numpy(whole.batches(step, stream=9)) for step in range(6)])
    weights = TINY.phases[0].weights

    def loss() -> tuple[float, float]:
        with torch.no_grad():
            y = whole.state.model.decoder(whole.state.model.encoder(x))
            terms = whole._reconstruction(x[..., :-320], y[..., 320:], weights)  # without the postfilter a frame late
            return float(weights.total(terms)), float(terms["log_mel"])

    before = loss()
    steps(whole, 10)
    whole.save()
    at_ten = checkpoint.load(tmp_path / "whole")
    steps(whole, 20)
    after = loss()
    assert after[0] < 0.99 * before[0]
    assert after[1] < 0.95 * before[1]
    assert bool(whole.state.model.quantizer.ready)

    checkpoint.save(tmp_path / "resumed", *at_ten)
    resumed = trainer(tmp_path / "resumed", sources)
    assert resumed.step == 10
    assert not same(resumed.state, whole.state)
    torch.rand(5)  # whatever else draws random numbers does not matter
    steps(resumed, 20)
    assert same(resumed.state, whole.state)
    assert resumed.state.progress.audio_seconds == whole.state.progress.audio_seconds


def test_resume_inside_the_adversarial_phase_is_bit_equal(tmp_path, sources):
    phases = tuple(dataclasses.replace(p, start=s) for p, s in zip(TINY.phases, (0, 1, 2, 3, 4), strict=True))
    preset = dataclasses.replace(TINY, phases=phases, steps=8)
    whole = trainer(tmp_path / "a", sources, preset)
    steps(whole, 5)
    whole.save()
    steps(whole, 7)
    resumed = trainer(tmp_path / "a", sources, preset)
    assert resumed.step == 5
    steps(resumed, 7)
    assert same(resumed.state, whole.state)


def test_saves_wait_for_the_codebooks(tmp_path, sources):
    """With several steps an update, the state is only saved between updates, and resume is bit-equal still."""
    phases = tuple(dataclasses.replace(p, start=s) for p, s in zip(TINY.phases, (0, 1, 90, 95, 99), strict=True))
    preset = dataclasses.replace(TINY, phases=phases, gather=3 * TINY.batch * TINY.crop // 320, steps=30)
    one = trainer(tmp_path / "a", sources, preset)
    steps(one, 2)  # a step of the quantiser: a third of an update
    assert not one.state.model.quantizer.settled
    assert "minutes are over" in one.train(minutes=1e-9)
    assert one.step == 4
    resumed = trainer(tmp_path / "a", sources, preset)
    for each in (one, resumed):
        steps(each, 9)
    assert same(one.state, resumed.state)


def test_the_decoder_alone_learns_in_its_phase(tmp_path, sources):
    """Encoder and codebooks stay, and what waited for an update of the codebooks does not keep the state unsaved."""
    starts = zip((p for p in TINY.phases if p.learns != "codebooks"), (0, 1, 3, 99), strict=True)
    phases = tuple(dataclasses.replace(p, start=s) for p, s in starts)
    preset = dataclasses.replace(TINY, phases=phases, gather=3 * TINY.batch * TINY.crop // 320, steps=8)
    one = trainer(tmp_path / "a", sources, preset)
    steps(one, 4)
    assert one.state.model.quantizer.settled
    before = {name: value.clone() for name, value in one.state.model.state_dict().items()}
    steps(one, 6)
    changed = {name for name, value in one.state.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)
    encoder = one.state.averaged().encoder.state_dict()
    assert all(torch.equal(value, encoder[name]) for name, value in one.state.model.encoder.state_dict().items())
    one.save()
    resumed = trainer(tmp_path / "a", sources, preset)
    for each in (one, resumed):
        steps(each, 8)
    assert same(one.state, resumed.state)


def test_the_codebooks_alone_learn_in_their_phase(tmp_path, sources):
    """With a longer memory, from the encoder's average; networks, their averages and optimisers stay."""
    phases = tuple(dataclasses.replace(p, start=s) for p, s in zip(TINY.phases, (0, 1, 4, 90, 99), strict=True))
    preset = dataclasses.replace(TINY, phases=phases, steps=60)
    one = trainer(tmp_path / "a", sources, preset)
    steps(one, 5)
    before = {name: value.clone() for name, value in one.state.tensors().items()}
    one.save()
    resumed = trainer(tmp_path / "a", sources, preset)
    for each in (one, resumed):
        steps(each, 9)
    assert same(one.state, resumed.state)
    changed = {name for name, value in one.state.tensors().items() if not torch.equal(value, before[name])}
    assert changed == {
        f"model.quantizer.{part}.{name}" for part in ("levels", "shapes") for name in ("codebooks", "usage")
    }
    encoder = one.state.averaged().encoder.state_dict()
    assert all(torch.equal(value, encoder[name]) for name, value in one.state.model.encoder.state_dict().items())

    def commitment():
        quantizer = one.state.model.quantizer.eval()
        x = torch.cat([torch.from_numpy(one.batches(step, stream=9)) for step in range(8)])
        with torch.no_grad():
            z = one.state.model.encoder(x)
            return float(quantizer(z, torch.full((len(z), z.shape[2]), quantizer.stages))[1])

    at_nine = commitment()
    steps(one, 60)
    assert commitment() < at_nine


def test_half_of_the_examples_have_a_variable_bitrate(tmp_path, sources):
    one = trainer(tmp_path, sources)
    random = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    stages = one._stages(9 * torch.rand(400, one.state.model.quantizer.bands, 60, generator=random))
    most = one.state.model.config.stages
    assert (stages.shape, stages.min() >= LOOP, stages.max()) == ((400, 60), True, most)
    varies = (stages.amax(1) > stages.amin(1)).float().mean().item()
    assert 0.1 < varies < 0.5  # not where the mean is the most, nor below four stages


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_state(tmp_path, sources):
    one = trainer(tmp_path, sources)
    steps(one, 3)
    one.save()
    with torch.no_grad():
        next(one.state.model.decoder.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"step 3: .*log_mel.* not finite.*last good state"):
        one.train()
    resumed = trainer(tmp_path, sources)
    assert resumed.step == 3
    assert all(bool(v.isfinite().all()) for v in resumed.state.tensors().values() if v.is_floating_point())


def test_state_of_another_model_is_refused(tmp_path, sources):
    trainer(tmp_path, sources).save()
    larger = dataclasses.replace(TINY, stft_channels=4)
    with pytest.raises(checkpoint.CheckpointError, match="of another model"):
        trainer(tmp_path, sources, larger)


def test_random_numbers_depend_on_seed_and_step():
    draws = []
    for seed, step in ((0, 0), (0, 1), (1, 0), (0, 0)):
        seed_step(seed, step)
        draws.append(float(torch.rand(())))
    assert draws[0] == draws[3]
    assert len(set(draws)) == 3


# The command


@pytest.fixture(scope="module")
def run(folder, cache_folder, tmp_path_factory):
    """A whole tiny run by the command, with validation: 100 s of speech at 24 kHz are enough to hold a piece out."""
    data = tmp_path_factory.mktemp("long")
    speech = np.concatenate([resample(read(path), 24000).samples[0] for path in SPEECH[:18]])
    write_flac(data / "long.flac", Clip(speech[None], 24000))
    out = tmp_path_factory.mktemp("runs") / "a"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODECBENCH_CACHE", str(cache_folder))
        code = main(["train", "soundstream", "--data", str(data), "--out", str(out), "--preset", "tiny"])
    assert code == 0
    return out


def test_command_validates_and_lists_the_data(run):
    rows = validate.load(run / "validation.csv")
    assert [row.kbps for row in rows] == [3, 6]  # tiny has 8 stages
    assert all(row.step == 20 and 1 <= row.pesq_wb <= 4.65 and 1 <= row.visqol_speech <= 5 for row in rows)
    assert all(row.visqol_music != row.visqol_music for row in rows)  # there is no music: NaN, not a number
    assert [len(row.perplexity.split()) for row in rows] == [4, 8]
    assert (run / "validation.png").read_bytes()[:4] == b"\x89PNG"
    assert len(manifest.read(run / "manifest.csv")) == 1
    (clip,) = json.loads((run / "validation" / "clips.json").read_text())
    assert clip["stop"] - clip["start"] == 5 * 24000


def test_export_gives_the_best_or_the_last_weights(run, tmp_path, capsys):
    assert main(["train", "export", str(run), str(tmp_path / "best.safetensors")]) == 0
    assert main(["train", "export", str(run), str(tmp_path / "last.safetensors"), "--last"]) == 0
    said = capsys.readouterr().out
    assert "the best validation" in said
    assert "step 20" in said
    best, last = (models.load(tmp_path / f"{name}.safetensors") for name in ("best", "last"))
    codes = best.encode(torch.randn(1, 1, 3200) * 0.1, 8)
    assert torch.equal(best.decode(codes), last.decode(codes))  # there was one validation, at the end
    assert main(["train", "export", str(tmp_path / "absent"), str(tmp_path / "x.safetensors")]) == 2


def test_a_finished_run_goes_on_only_with_more_steps(run, folder, cache_folder, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("CODECBENCH_CACHE", str(cache_folder))
    words = ["train", "soundstream", "--data", str(folder), "--out", str(run)]
    assert main([*words, "--preset", "cpu"]) == 2
    assert "was started with --preset tiny" in capfd.readouterr().err
    assert main([*words, "--steps", "21", "--init", str(tmp_path / "unused")]) == 0
    said = capfd.readouterr().err
    assert "resumed at step 20, so --init is not used" in said
    assert "all 21 steps are done" in said
    assert len(manifest.read(run / "manifest.csv")) == 4  # what was trained on before stays listed


def test_init_starts_from_trained_weights(run, sources, tmp_path, folder, cache_folder, monkeypatch, capfd):
    monkeypatch.setenv("CODECBENCH_CACHE", str(cache_folder))
    weights = tmp_path / "w.safetensors"
    assert main(["train", "export", str(run), str(weights)]) == 0
    words = ["train", "soundstream", "--data", str(folder), "--preset", "tiny", "--steps", "1"]
    assert main([*words, "--out", str(tmp_path / "b"), "--init", str(weights)]) == 0
    said = capfd.readouterr().err
    assert f"started from {weights}" in said
    assert "k-means" not in said  # its codebooks came with it
    assert main([*words, "--out", str(tmp_path / "c"), "--init", str(tmp_path / "absent")]) == 2
    assert "absent" in capfd.readouterr().err


def test_fresh_deletes_the_run_and_nothing_else(run, folder, cache_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("CODECBENCH_CACHE", str(cache_folder))
    out = tmp_path / "r"
    words = ["train", "soundstream", "--data", str(folder), "--out", str(out), "--preset", "tiny", "--steps", "1"]
    assert main(words) == 0
    (out / "notes.txt").write_text("mine")
    assert main([*words, "--fresh", "--seed", "5"]) == 0
    assert json.loads((out / "run.json").read_text())["seed"] == 5
    assert (out / "notes.txt").read_text() == "mine"


def test_no_gpu_is_said(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code = main(["train", "soundstream", "--data", str(folder), "--out", str(tmp_path), "--device", "cuda"])
    assert code == 2
    assert "sees no GPU" in capfd.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_sigterm_saves(folder, cache_folder, tmp_path):
    out = tmp_path / "run"
    words = ["train", "soundstream", "--data", str(folder), "--out", str(out), "--preset", "tiny", "--steps", "100000"]
    environment = os.environ | {"CODECBENCH_CACHE": str(cache_folder), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "codecbench.bench", *words], env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "training on" in line:
            break
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "stopped by SIGTERM" in said
    _, meta = checkpoint.load(out)
    assert meta["step"] > 0
