"""`bench soundstream`: encode, decode, info, truncate; files and pipes; with a model of random weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf
from codecbench.bench.cli import main
from codecbench.codecs.soundstream import bitstream

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

PROGRAM = [sys.executable, "-m", "codecbench.bench", "soundstream"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The path of a tiny model with random weights; 8 stages of 64 codes."""
    from codecbench.codecs.soundstream.model import PRESETS, SoundStream, save

    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    torch.manual_seed(0)
    tiny = SoundStream(PRESETS["tiny"])
    with torch.no_grad():
        x = 0.1 * torch.randn(1, 1, 24000)
        scale = tiny.encoder(x).std()
        for part in (tiny.quantizer.levels, tiny.quantizer.shapes):
            for stage, codebook in enumerate(part.codebooks):
                codebook.normal_().mul_(scale * 0.7**stage)
    save(tiny, path, {})
    return str(path)


def tone(path, seconds=0.5, rate=24000, channels=1, **how):
    t = np.arange(round(seconds * rate)) / rate
    x = np.stack([0.3 * np.sin(2 * np.pi * 220 * (c + 1) * t) for c in range(channels)], axis=1)
    sf.write(path, x, rate, **how)
    return str(path)


def encode(model, source, out, *rate):
    return main(["soundstream", "encode", str(source), str(out), *(rate or ("--kbps", "6")), "--model", model])


def decode(model, source, out):
    return main(["soundstream", "decode", str(source), str(out), "--model", model])


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 640, 12345])
def test_decoding_gives_the_length_that_was_encoded(model, tmp_path, samples):
    source = tone(tmp_path / "in.wav", samples / 24000)
    assert encode(model, source, tmp_path / "a.sstr") == 0
    header, codes = bitstream.from_bytes((tmp_path / "a.sstr").read_bytes())
    assert (header.samples, header.stages, header.channels) == (samples, 8, 1)
    assert len(codes) == -(-samples // 320) + 2  # the decoder is two frames late
    assert decode(model, tmp_path / "a.sstr", tmp_path / "out.wav") == 0
    info = sf.info(tmp_path / "out.wav")
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (samples, 24000, 1, "PCM_16")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.sstr", "in.wav", "out.wav"]


def test_codes_and_audio_are_the_models(model, tmp_path):
    from pathlib import Path

    from codecbench.bench.audio import to_pcm16
    from codecbench.codecs.soundstream.model import load, model_id

    source = tone(tmp_path / "in.wav", 1.3)
    assert encode(model, source, tmp_path / "a.sstr", "--stages", "3") == 0
    header, codes = bitstream.from_bytes((tmp_path / "a.sstr").read_bytes())
    assert header.model == model_id(Path(model))
    x = sf.read(source, dtype="float32")[0]
    net = load(Path(model))
    padded = torch.from_numpy(np.pad(x, (0, 640 + -len(x) % 320)))[None, None]
    want = net.encode(padded, 3)
    assert np.mean(want[0].numpy() == codes[:, 0].T) > 0.999
    assert decode(model, tmp_path / "a.sstr", tmp_path / "out.wav") == 0
    out = sf.read(tmp_path / "out.wav", dtype="int16")[0]
    whole = net.decode(torch.from_numpy(codes[:, 0].T.astype(np.int64))[None])[0, 0].numpy()
    assert np.abs(to_pcm16(whole)[640 : 640 + len(x)].astype(int) - out).max() <= 4


def test_stereo_is_two_channels_apart(model, tmp_path):
    both = tone(tmp_path / "both.wav", channels=2)
    assert encode(model, both, tmp_path / "both.sstr", "--kbps", "6") == 0
    header, codes = bitstream.from_bytes((tmp_path / "both.sstr").read_bytes())
    assert (header.channels, header.stages, header.kbps) == (2, 4, 6)
    x = sf.read(both)[0]
    for c in range(2):
        sf.write(tmp_path / "one.wav", x[:, c], 24000)
        assert encode(model, tmp_path / "one.wav", tmp_path / "one.sstr", "--kbps", "3") == 0
        one = bitstream.from_bytes((tmp_path / "one.sstr").read_bytes())[1]
        np.testing.assert_array_equal(codes[:, c], one[:, 0])
    assert decode(model, tmp_path / "both.sstr", tmp_path / "out.wav") == 0
    assert sf.info(tmp_path / "out.wav").channels == 2


def test_truncate_keeps_the_first_stages(model, tmp_path):
    source = tone(tmp_path / "in.wav", channels=2)
    assert encode(model, source, tmp_path / "12.sstr", "--kbps", "12") == 0
    header, codes = bitstream.from_bytes((tmp_path / "12.sstr").read_bytes())
    for kbps, stages in (("6", 4), ("3", 2)):  # two channels
        low = tmp_path / "low.sstr"
        assert main(["soundstream", "truncate", str(tmp_path / "12.sstr"), str(low), "--kbps", kbps]) == 0
        cut, first = bitstream.from_bytes(low.read_bytes())
        assert (cut.samples, cut.stages) == (header.samples, stages)
        np.testing.assert_array_equal(first, codes[..., :stages])
        assert decode(model, low, tmp_path / "low.wav") == 0


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_other_rates_are_resampled_as_a_whole_file_is(model, tmp_path, rate):
    import soxr
    from codecbench.codecs.soundstream.commands._audio import source as open_source

    path = tone(tmp_path / "in.wav", 1.7, rate, 2, subtype="FLOAT")
    want = soxr.resample(sf.read(path, dtype="float32")[0], rate, 24000, quality="HQ")
    with open_source(path) as audio:
        got = np.concatenate(list(audio.at(24000)), axis=1).T
    assert got.shape == want.shape
    assert np.abs(got - want).max() < 1e-4
    assert encode(model, path, tmp_path / "a.sstr", "--kbps", "12") == 0
    assert bitstream.from_bytes((tmp_path / "a.sstr").read_bytes())[0].samples == len(want)


@pytest.mark.parametrize("name", ["in.flac", "in.ogg", "in.m4a", "in.mka"])
def test_other_formats(model, tmp_path, name):
    path = tmp_path / name
    if name.startswith("in.m"):
        av = pytest.importorskip("av")
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=24000, layout="mono")
            x = (0.3 * np.sin(np.arange(24000) * 0.05)).astype(np.float32)
            for i in range(0, 24000, 1000):
                frame = av.AudioFrame.from_ndarray(x[None, i : i + 1000], "fltp", "mono")
                frame.sample_rate, frame.pts = 24000, i
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    else:
        tone(path, 1.0)
    assert encode(model, path, tmp_path / "a.sstr") == 0
    assert bitstream.from_bytes((tmp_path / "a.sstr").read_bytes())[0].samples == pytest.approx(24000, abs=2500)


def test_info(model, tmp_path, capsys):
    encode(model, tone(tmp_path / "in.wav", 1.0, channels=2), tmp_path / "a.sstr")
    capsys.readouterr()
    assert main(["soundstream", "info", str(tmp_path / "a.sstr"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["bytes"] == (tmp_path / "a.sstr").stat().st_size
    expected = {"channels": 2, "stages": 4, "kbps": 6, "samples": 24000, "seconds": 1, "packets": 77}
    assert expected.items() <= facts.items()
    assert (facts["packet_bits"], facts["packet_bytes"]) == (80, 10)
    assert main(["soundstream", "info", str(tmp_path / "a.sstr")]) == 0
    text = capsys.readouterr().out
    assert facts["model"] in text
    assert "packet bits" in text


def test_pipes_give_what_files_give(model, tmp_path):
    source = tone(tmp_path / "in.wav", 1.01, channels=2)
    encode(model, source, tmp_path / "12.sstr", "--kbps", "12")
    main(["soundstream", "truncate", str(tmp_path / "12.sstr"), str(tmp_path / "a.sstr"), "--kbps", "6"])
    decode(model, tmp_path / "a.sstr", tmp_path / "a.wav")
    pipe = f"{sys.executable} -m codecbench.bench soundstream"
    steps = [
        f"{pipe} encode - - --kbps 12 --model {model}",
        f"{pipe} truncate - - --kbps 6",
        f"{pipe} decode - - --model {model}",
    ]
    done = subprocess.run(["bash", "-c", f"set -o pipefail; cat {source} | {' | '.join(steps)}"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    (tmp_path / "out.wav").write_bytes(done.stdout)
    out, want = sf.read(tmp_path / "out.wav", dtype="int16")[0], sf.read(tmp_path / "a.wav", dtype="int16")[0]
    # a pipe cannot say its length beforehand: the last frame comes whole
    assert len(out) == -(-len(want) // 320) * 320
    np.testing.assert_array_equal(out[: len(want)], want)


def test_decoding_a_file_to_a_pipe_trims(model, tmp_path):
    encode(model, tone(tmp_path / "in.wav", 1000 / 24000), tmp_path / "a.sstr")
    done = subprocess.run(
        [*PROGRAM, "decode", str(tmp_path / "a.sstr"), "-", "--model", model], capture_output=True, check=True
    )
    (tmp_path / "out.wav").write_bytes(done.stdout)
    assert sf.info(tmp_path / "out.wav").frames == 1000


def test_a_pipe_of_the_file_system(model, tmp_path):
    source = tone(tmp_path / "in.wav", 0.4)
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(["bash", "-c", f"cat {source} > {tmp_path / 'fifo'}"]):
        assert encode(model, tmp_path / "fifo", tmp_path / "a.sstr") == 0
    assert bitstream.from_bytes((tmp_path / "a.sstr").read_bytes())[0].samples == 9600


def failing(capsys, code, *argv):
    """What a command that fails writes to stderr."""
    assert main(["soundstream", *map(str, argv)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_files_that_cannot_be_read(model, tmp_path, capsys):
    out, model_option = tmp_path / "out", ["--model", model]
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no audio\n" * 50)
    sf.write(tmp_path / "surround.wav", np.zeros((2400, 6)), 24000)
    sf.write(tmp_path / "nan.wav", np.full(100, np.nan), 24000, subtype="FLOAT")
    rate = ["--kbps", "6", *model_option]
    for name, message in [
        ("missing.wav", "No such file"),
        ("empty.wav", "the file is empty"),
        ("text.wav", "not readable as audio"),
        ("nan.wav", "NaN or infinite"),
        (".", "Is a directory"),
    ]:
        text = failing(capsys, 1, "encode", tmp_path / name, out, *rate)
        assert str(tmp_path / name) in text
        assert message in text
    assert "6 channels; SoundStream codes mono or stereo" in failing(
        capsys, 2, "encode", tmp_path / "surround.wav", out, *rate
    )
    sf.write(tmp_path / "cut.flac", np.random.default_rng(0).uniform(-1, 1, 24000), 24000)
    whole = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    assert "cut.flac" in failing(capsys, 1, "encode", tmp_path / "cut.flac", out, *rate)
    assert not out.exists()
    assert not list(tmp_path.glob(".*.part"))


def test_streams_that_cannot_be_decoded(model, tmp_path, capsys):
    encode(model, tone(tmp_path / "in.wav"), tmp_path / "a.sstr")
    whole, out = (tmp_path / "a.sstr").read_bytes(), tmp_path / "out.wav"
    for name, content, message in [
        ("empty.sstr", b"", "it is empty"),
        ("wav.sstr", b"RIFF" + bytes(60), "not a SoundStream stream"),
        ("cut.sstr", whole[:-3], "cut short"),
        ("long.sstr", whole + b"x", "longer than it says"),
        ("other.sstr", whole[:11] + bytes(8) + whole[19:], "coded with the model 0000000000000000"),
        ("codes.sstr", whole[:27] + b"\xff" * 10 + whole[37:], "damaged"),
    ]:
        (tmp_path / name).write_bytes(content)
        text = failing(capsys, 1, "decode", tmp_path / name, out, "--model", model)
        assert str(tmp_path / name) in text
        assert message in text
    assert "--model FILE" in failing(capsys, 1, "decode", tmp_path / "other.sstr", out, "--model", model)
    assert "cut short" in failing(capsys, 1, "info", tmp_path / "cut.sstr", "--json")
    assert "cut short" in failing(capsys, 1, "truncate", tmp_path / "cut.sstr", tmp_path / "low.sstr", "--stages", 2)
    assert not out.exists()
    assert not (tmp_path / "low.sstr").exists()
    assert not list(tmp_path.glob(".*.part"))


def test_usage(model, tmp_path, capsys):
    source, out = tone(tmp_path / "in.wav"), tmp_path / "a.sstr"
    assert encode(model, source, out, "--stages", "4") == 0
    for kbps in ("5", "0", "0.75", "18.75", "nan", "inf", "-3"):
        text = failing(capsys, 2, "encode", source, tmp_path / "b.sstr", "--kbps", kbps, "--model", model)
        assert "2 to 24 stages, which are 1.5 to 18 kbit/s in steps of 0.75" in text
    assert "model has 8" in failing(capsys, 2, "encode", source, tmp_path / "b.sstr", "--stages", 9, "--model", model)
    assert "is the input too" in failing(capsys, 2, "encode", source, source, "--stages", 4, "--model", model)
    assert "no folder" in failing(capsys, 2, "encode", source, tmp_path / "x" / "b.sstr", "--stages", 4)
    assert "4 stages, so 8 cannot be cut" in failing(capsys, 1, "truncate", out, tmp_path / "b.sstr", "--kbps", 6)
    for argv in (["encode", source, "b.sstr"], ["encode", source, "b.sstr", "--kbps", "3", "--stages", "4"], []):
        with pytest.raises(SystemExit, match="2"):
            main(["soundstream", *argv])


def test_weights_that_are_none(tmp_path, capsys):
    source = tone(tmp_path / "in.wav")
    (tmp_path / "bad.safetensors").write_bytes(b"\x00" * 64)
    for name, message in (
        ("none.safetensors", "no SoundStream weights"),
        ("bad.safetensors", "not a SoundStream model"),
    ):
        path = tmp_path / name
        text = failing(capsys, 1, "encode", source, tmp_path / "a.sstr", "--kbps", 3, "--model", path)
        assert str(path) in text
        assert message in text


def test_an_interrupted_encode_leaves_nothing(model, tmp_path, monkeypatch):
    from codecbench.codecs.soundstream import streaming

    def interrupt(self, samples):
        raise KeyboardInterrupt

    monkeypatch.setattr(streaming.StreamingEncoder, "push", interrupt)
    (tmp_path / "a.sstr").write_bytes(b"before")
    assert encode(model, tone(tmp_path / "in.wav"), tmp_path / "a.sstr") == 130
    assert (tmp_path / "a.sstr").read_bytes() == b"before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.sstr", "in.wav"]


def test_wav_headers():
    from codecbench.bench.audio import AudioError
    from codecbench.codecs.soundstream.commands._audio import wav_header

    assert len(wav_header(24000, 2, 100)) == 44
    with pytest.raises(AudioError, match="4 GiB"):
        wav_header(24000, 2, 2**30)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_length(model, tmp_path):
    # not ru_maxrss: a child begins with that of its parent
    code = (
        "import re, sys; from codecbench.bench.cli import main; code = main(sys.argv[1:]); "
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]); sys.exit(code)"
    )

    def peak(*argv):
        command = [sys.executable, "-c", code, "soundstream", *map(str, argv)]
        return 1024 * int(subprocess.run(command, capture_output=True, check=True).stdout)

    used = {}
    for seconds in (20, 400):
        source = tone(tmp_path / "in.wav", seconds, 16000, 2)
        for argv in (
            ["encode", source, tmp_path / "a.sstr", "--stages", 8, "--model", model],
            ["decode", tmp_path / "a.sstr", tmp_path / "out.wav", "--model", model],
            ["truncate", tmp_path / "a.sstr", tmp_path / "low.sstr", "--stages", 2],
        ):
            used[argv[0], seconds] = peak(*argv)
    # 380 seconds of stereo at 24 kHz are 73 MB as float32
    for action in ("encode", "decode", "truncate"):
        assert used[action, 400] < used[action, 20] + 40e6, used
        assert used[action, 400] < 500e6, used
