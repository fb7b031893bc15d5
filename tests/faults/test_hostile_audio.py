"""Hostile audio files: what reading them gives."""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile as sf
from codecbench.bench import audio
from codecbench.bench.audio import AudioError, read
from codecbench.bench.download import sha256
from codecbench.corpora._open import open_corpus
from faults.hostile import Case

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files of Linux")

TITLE = "Audio files"
ABOUT = "In a run a refused file is a failed row with the message, and the other files go on."
TONE = (0.3 * np.sin(np.arange(16000) * 0.1)).astype(np.float32)
PCM = (TONE * 32767).astype("<i2").tobytes()


def wav(data=PCM, claim=None, kind=1, channels=1, rate=16000, bits=16):
    """A WAV file of 16 kHz, mono, 16 bits, as it is or lying. `claim`: bytes of audio that the header tells."""
    size = len(data) if claim is None else claim
    align = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    head = b"RIFF" + struct.pack("<I", min(36 + size, 0xFFFFFFFF)) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", size) + data


def raw(data, name="x.wav"):
    """A file of these bytes."""

    def make(folder):
        (folder / name).write_bytes(data)
        return folder / name

    return make


def coded(samples=TONE, rate=16000, name="x.wav", change=lambda blob: blob, **kwargs):
    """A file that libsndfile wrote, its bytes changed."""

    def make(folder):
        made = folder / f"made{os.path.splitext(name)[1]}"
        sf.write(made, samples, rate, **kwargs)
        made.write_bytes(change(made.read_bytes()))
        return made.rename(folder / name)

    return make


def renamed(samples, first, name):
    """What libsndfile wrote as `first`, under another name."""

    def make(folder):
        sf.write(folder / first, samples, 16000)
        return (folder / first).rename(folder / name)

    return make


def link(target):
    def make(folder):
        (folder / "x.wav").symlink_to(target)
        return folder / "x.wav"

    return make


def fifo(folder):
    os.mkfifo(folder / "x.wav")
    return folder / "x.wav"


def unix_socket(folder):
    here = os.getcwd()
    os.chdir(folder)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("x.wav")
    os.chdir(here)
    return folder / "x.wav"


def folder_of_that_name(folder):
    (folder / "x.wav").mkdir()
    return folder / "x.wav"


def closed(folder):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = coded()(folder)
    path.chmod(0)
    return path


def playlist(text):
    """A text that FFmpeg takes as a list of files, beside a good file."""

    def make(folder):
        coded(name="good.wav")(folder)
        return raw(text.encode())(folder)

    return make


def video(folder):
    av = pytest.importorskip("av")
    with av.open(str(folder / "x.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for packet in [*stream.encode(av.VideoFrame(64, 64, "yuv420p")), *stream.encode(None)]:
            container.mux(packet)
    return folder / "x.mp4"


def claims(total):
    """A FLAC file whose header claims so many samples."""

    def change(blob):
        blob = bytearray(blob)
        blob[21] = blob[21] & 0xF0 | total >> 32
        blob[22:26] = struct.pack(">I", total & 0xFFFFFFFF)
        return bytes(blob)

    return coded(name="x.flac", change=change)


def hollow(blob):
    """The header of a FLAC file that does not tell its length, and no audio; found by fuzzing."""
    return blob[:21] + bytes([blob[21] & 0xF0]) + bytes(200)


def half(blob):
    return blob[: len(blob) // 2]


def flipped(blob):
    return blob[: len(blob) // 2] + bytes([blob[len(blob) // 2] ^ 255]) + blob[len(blob) // 2 + 1 :]


LONG_NAME = "n" * 240 + ".wav"
CLICK = np.zeros(16000, np.float32)
CLICK[8000] = 1.0

CASES = (
    Case("empty file", raw(b""), r"x\.wav: the file is empty"),
    Case("header without samples", raw(wav(b"")), r"no samples between 0 s and the end"),
    Case("header cut before its data", raw(wav()[:36]), r"not readable as audio"),
    Case("four bytes, RIFF", raw(b"RIFF"), r"not readable as audio"),
    Case("WAV cut in the middle", raw(wav()[:16000]), r"truncated, its header claims 32000 bytes.*get the file again"),
    Case("FLAC cut in the middle", coded(name="x.flac", change=half), r"damaged or truncated.*get the file again"),
    Case("FLAC cut in its header", coded(name="x.flac", change=lambda b: b[:30]), r"not readable as audio"),
    Case("FLAC with a changed byte", coded(name="x.flac", change=flipped), r"damaged or truncated"),
    Case("AIFF cut in the middle", coded(name="x.aiff", change=half), r"truncated, its header claims"),
    Case("AU cut in the middle", coded(name="x.au", change=half), r"truncated, its header claims"),
    Case("W64 cut in the middle", coded(name="x.w64", change=half), r"truncated, its header claims"),
    Case("RF64 cut in the middle", coded(name="x.rf64", format="RF64", change=half), r"truncated, its header claims"),
    Case("Ogg Vorbis cut in its head", coded(name="x.ogg", change=lambda b: b[:2000]), r"not readable as audio"),
    Case("WAV from a pipe, which claims 4 GB", raw(wav(claim=0xFFFFFFFF)), gives="16000 samples"),
    Case("WAV that claims 2 GB less than a pipe would", raw(wav(claim=0x70000000)), r"truncated, its header claims"),
    Case("FLAC from a pipe, of unknown length", claims(0), gives="16000 samples"),
    Case("FLAC of unknown length, all zeros behind", coded(name="x.flac", change=hollow), r"not readable as audio"),
    Case("FLAC that claims 2^36 samples", claims(2**36 - 1), r"damaged or truncated"),
    Case("WAV with an odd byte at its end", raw(wav(PCM[:-1])), gives="15999 samples"),
    Case("WAV and other bytes behind it", raw(wav() + b"junk" * 100), gives="16000 samples"),
    Case("sample rate 0", raw(wav(rate=0)), r"not readable as audio"),
    Case("sample rate 1 Hz", raw(wav(rate=1)), r"a sample rate of 1 Hz; audio here has 1000 to 768000"),
    Case("sample rate 4 MHz", raw(wav(rate=4_000_000)), r"a sample rate of 4000000 Hz"),
    Case("sample rate 4 GHz", raw(wav(rate=2**32 - 1)), r"not readable as audio"),
    Case("no channel", raw(wav(channels=0)), r"not readable as audio"),
    Case("200 channels", raw(wav(channels=200)), gives="80 samples of 200 channels; each codec refuses them"),
    Case("2000 channels", raw(wav(channels=2000)), r"not readable as audio"),
    Case("0 bits a sample", raw(wav(bits=0)), r"not readable as audio.*no decoder"),
    Case("a format tag that nobody has", raw(wav(kind=0x99)), r"not readable as audio"),
    Case("8 bits a sample", coded(subtype="PCM_U8"), gives="16000 samples"),
    Case("24 bits a sample", coded(subtype="PCM_24"), gives="16000 samples"),
    Case("32-bit float above full scale", coded(TONE * 5, subtype="FLOAT"), gives="16000 samples up to 1.5"),
    Case("integers in float samples", coded(TONE * 32768, subtype="FLOAT"), r"up to 9830.* where full scale is 1"),
    Case("a sample that is NaN", coded(np.append(TONE, np.nan), subtype="FLOAT"), r"NaN or infinite"),
    Case("a sample that is infinite", coded(np.append(TONE, np.inf), subtype="FLOAT"), r"NaN or infinite"),
    Case("doubles that no float holds", coded(np.append(TONE, 1e300), subtype="DOUBLE"), r"NaN or infinite"),
    Case("text named .wav", raw(b"this is no audio\n" * 9), r"not readable as audio"),
    Case("zeros named .wav", raw(bytes(9999)), r"not readable as audio"),
    Case("random bytes named .flac", raw(np.random.default_rng(0).bytes(9999), "x.flac"), r"not readable as audio"),
    Case("MP3 named .flac", renamed(TONE, "x.mp3", "x.flac"), gives="16000 samples"),
    Case("a video without sound", video, r"it has no audio stream"),
    Case("HLS playlist of a good file", playlist("#EXTM3U\n#EXTINF:1,\ngood.wav\n#EXT-X-ENDLIST\n"), r"not readable"),
    Case(
        "HLS playlist of an address", playlist("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a\n"), r"not readable as audio"
    ),
    Case("FFmpeg's list of files", playlist("ffconcat version 1.0\nfile 'good.wav'\n"), r"not readable as audio"),
    Case("a folder named x.wav", folder_of_that_name, r"a folder, not a file"),
    Case("a FIFO named x.wav", fifo, r"a FIFO, not a file"),
    Case("a socket named x.wav", unix_socket, r"a socket, not a file"),
    Case("a link to /dev/zero", link("/dev/zero"), r"a device, not a file"),
    Case("a link to itself", link("x.wav"), r"Too many levels of symbolic links"),
    Case("a link to nothing", link("nowhere.wav"), r"No such file"),
    Case("a file that may not be read", closed, r"Permission denied"),
    Case("a name with a line end", coded(name="a\nb.wav"), gives="16000 samples"),
    Case("a name with terminal escapes", coded(name="\033[31mred.wav"), gives="16000 samples"),
    Case("a name that is not UTF-8", coded(name=os.fsdecode(b"caf\xe9.wav")), gives="16000 samples"),
    Case("a name with an emoji", coded(name="\U0001f3b5.wav"), gives="16000 samples"),
    Case("a name that begins with a hyphen", coded(name="-o.wav"), gives="16000 samples"),
    Case("a name with quotes and %", coded(name="'\"%s%n`.wav"), gives="16000 samples"),
    Case("a name like an address", coded(name="tcp:1:2.wav"), gives="16000 samples"),
    Case("a name of 244 bytes", coded(name=LONG_NAME), gives="16000 samples"),
    Case("one sample", coded(TONE[:1]), gives="1 samples"),
    Case("silence", coded(TONE * 0), gives="16000 samples; metrics that need a signal say silent_reference"),
    Case("a constant", coded(TONE * 0 + 0.5), gives="16000 samples"),
    Case("one click", coded(CLICK), gives="16000 samples"),
    Case("a clipped square", coded(np.sign(TONE)), gives="16000 samples"),
    Case("left channel silent", coded(np.stack([TONE * 0, TONE], 1)), gives="16000 samples of 2 channels"),
    Case("an hour in 200 kB", coded(np.zeros(3600 * 8000), 8000, "x.flac"), gives="28800000 samples"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_audio(case, tmp_path):
    path = case.make(tmp_path)
    if case.refused:
        with pytest.raises(AudioError) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: ")
        assert re.search(case.refused, str(error.value)), error.value
        return
    clip = read(path)
    samples, channels = re.match(r"(\d+) samples(?: of (\d+) channels)?", case.gives).groups()
    assert (clip.channels, clip.length) == (int(channels or 1), int(samples))
    if top := re.search(r"up to ([\d.]+)", case.gives):
        assert np.abs(clip.samples).max() == pytest.approx(float(top[1]), rel=1e-3)
    assert clip.rate in (8000, 16000)
    assert np.array_equal(read(path, seconds=0.1).samples, clip.samples[:, : clip.rate // 10])


@pytest.mark.parametrize("make", [fifo, link("/dev/zero"), unix_socket])
def test_what_never_ends_is_not_hashed_either(make, tmp_path):
    with pytest.raises(OSError, match="not a file"):
        sha256(make(tmp_path))
    assert [item.id for item in open_corpus(str(tmp_path))] == ["x"]  # listed: it becomes a failed row


@pytest.mark.parametrize("data", [claims(2**36 - 1), raw(wav(claim=0x7FFFFFFF))])
def test_a_header_that_claims_much_costs_no_memory(data, tmp_path):
    path = data(tmp_path)
    tracemalloc.start()
    try:
        read(path)
    except AudioError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 200_000_000


def test_what_memory_does_not_hold_is_said(tmp_path, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(audio, "_read_soundfile", full)
    with pytest.raises(AudioError, match="too long for the memory here; give max_seconds"):
        read(coded()(tmp_path))


def test_only_a_part_is_decoded_where_only_a_part_is_asked_for(tmp_path):
    """FFmpeg's formats too: what lies behind the part may be damaged."""
    av = pytest.importorskip("av")
    path = tmp_path / "x.mka"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.frombuffer(PCM, np.int16)[None], "s16", "mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert read(path, 0.25, 0.5).length == 8000
    assert np.array_equal(read(path, 0.25, 0.5).samples[0] * 32768, np.frombuffer(PCM, np.int16)[4000:12000])
