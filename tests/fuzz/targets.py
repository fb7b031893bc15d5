"""What is fuzzed: each parser with the errors it may raise, what must hold of what it gives, and seeds it reads.

tests/test_fuzz.py runs a few hundred inputs a target with Hypothesis; tests/fuzz/fuzz.py runs minutes with atheris.
"""

from __future__ import annotations

import io
import math
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from codecbench.bench.audio import AudioError, read
from codecbench.bench.pipeline import Stream
from codecbench.bench.store import FILE, StoreError
from codecbench.bench.suite import SuiteError, load_suite
from codecbench.codecs import CodecError, Encoded, Packet, _g192
from codecbench.codecs.soundstream import bitstream
from codecbench.corpora import CorpusError
from codecbench.corpora._open import open_corpus
from codecbench.reports import frame
from made_runs import LSD, STOI, make

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes
    ----------
    run : takes bytes; returns where they are parsed, or refused by the errors that are meant for that; else raises.
    seeds : inputs that are read.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def _folder() -> Path:
    """In memory where the machine has such a folder: a file a run."""
    shared = Path("/dev/shm")
    kept = tempfile.TemporaryDirectory(prefix="codecbench-fuzz-", dir=shared if os.access(shared, os.W_OK) else None)
    _KEPT.append(kept)
    return Path(kept.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
_HERE = _folder()


def _file(name: str, data: bytes) -> Path:
    path = _HERE / name
    path.write_bytes(data)
    return path


def _g192_run(data: bytes) -> None:
    try:
        frames = _g192.parse(data)
    except CodecError:
        return
    assert _g192.build(frames) == data


def _g192_seeds() -> list[bytes]:
    rng = random.Random(0)
    frames = [_g192.Frame(rng.randbytes(33)[:32] + b"\x80", 257, lost) for lost in (False, True, False)]
    short = [_g192.Frame(b"", 0), _g192.Frame(b"\xa0", 3)]
    return [b"", _g192.build(short), _g192.build(frames)]


def _soundstream_run(data: bytes) -> None:
    try:
        header, codes = bitstream.from_bytes(data)
    except bitstream.BitstreamError:
        return
    assert codes.shape == (len(codes), header.channels, header.stages)
    assert codes.size == 0 or codes.max() < 1024
    assert header.packets in (None, len(codes))
    again = bitstream.from_bytes(bitstream.to_bytes(header, codes))
    assert again[0] == header
    assert np.array_equal(again[1], codes)
    bitstream.truncate(data, 2)


def _soundstream_seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    header = bitstream.Header
    made = [(header("0" * 16, 8, 1, 640), 4), (header("f" * 16, 3, 2, 180), 3), (header("a" * 16, 24, 1, None), 2)]
    return [bitstream.to_bytes(h, rng.integers(0, 1024, (n, h.channels, h.stages))) for h, n in made]


def _encoded() -> list[Encoded]:
    packets = (Packet(b"abc", 23), Packet(b"", 0), Packet(b"defgh", 40))
    return [Encoded((), 8000, 1), Encoded(packets, 48000, 2, b"setup"), Encoded(packets[:1], 16000, 1)]


def _encoded_run(data: bytes) -> None:
    try:
        encoded = Encoded.from_bytes(data)
    except ValueError:
        return
    assert Encoded.from_bytes(encoded.to_bytes()) == encoded
    assert all(0 <= packet.bits <= 8 * len(packet.data) for packet in encoded.packets)
    assert encoded.rate > 0 < encoded.channels


def _stream_run(data: bytes) -> None:
    stream = Stream.from_bytes(data)
    if stream is None:
        return
    assert Stream.from_bytes(stream.to_bytes()) == stream
    assert 0 < stream.seconds < math.inf
    assert 0 <= stream.kbps < math.inf


def _stream_seeds() -> list[bytes]:
    one, two, three = _encoded()
    return [Stream((two,), 0.5).to_bytes(), Stream((three, three), 1.25).to_bytes(), Stream((one,), 2.0).to_bytes()]


def _manifest_run(name: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        try:
            items = open_corpus(str(_file(name, data)))
        except CorpusError:
            return
        assert len({item.id for item in items}) == len(items) > 0
        for item in items:
            assert item.content in ("speech", "music")
            assert 0 <= item.start < math.inf
            assert item.seconds is None or 0 <= item.seconds < math.inf

    return run


def _csv_seeds() -> list[bytes]:
    full = 'file,id,content,speaker,lossy,start,seconds\na.wav,x,music,anna,yes,0.5,2\n"b,c.wav",,,bob,,,\n'
    shipped = [path.read_bytes()[:2000] for path in sorted((_ROOT / "corpora/embedded").glob("*.csv"))]
    return [full.encode(), ("\ufeff" + full.replace("\n", "\r\n")).encode(), *shipped]


def _toml_seeds() -> list[bytes]:
    return [b'[[clip]]\nfile = "a.wav"\nlossy = true\nstart = 0.5\n[[clip]]\nfile = "b.wav"\ncontent = "music"\n']


def _suite_run(data: bytes) -> None:
    try:
        suite = load_suite(str(_file("suite.toml", data)))
    except SuiteError:
        return
    assert suite.corpora
    assert suite.codecs
    assert suite.metrics
    assert suite.clips is None or suite.clips >= 1
    assert suite.max_seconds is None or 0 < suite.max_seconds < math.inf
    assert len(suite.digest()) == 64


def _suite_seeds() -> list[bytes]:
    shipped = [path.read_bytes() for path in sorted((_ROOT / "bench/suites").glob("*.toml"))]
    return [*shipped, b'extends = "speech"\ncodecs = ["opus@6"]\nseed = 7\n[timing]\nrepeats = 0\n']


def _store_run(data: bytes) -> None:
    _file(FILE, data)
    try:
        table = frame.load(_HERE)
    except StoreError:
        return
    finally:
        for beside in _HERE.glob(f"{FILE}-*"):
            beside.unlink()
    assert {"corpus", "clip", "codec", "point", "status", "kbps"} <= set(table.columns)


def _store_seeds() -> list[bytes]:
    folder = make(_folder() / "run", {"opus": [6], "pcm": [0]}, clips=("a", "b"), metrics=(STOI, LSD), timed=0.1)
    return [(folder / FILE).read_bytes()]


def _audio_run(data: bytes) -> None:
    try:
        clip = read(_file("clip.wav", data))
    except AudioError:
        return
    assert clip.length > 0
    assert np.isfinite(clip.samples).all()


def _audio_seeds() -> list[bytes]:
    made = []
    tone = 0.3 * np.sin(np.arange(800) * 0.1)
    for form in ("WAV", "FLAC", "AIFF", "OGG", "W64", "CAF"):
        file = io.BytesIO()
        sf.write(file, tone, 16000, format=form)
        made.append(file.getvalue())
    return made


TARGETS = {
    "g192": Target(_g192_run, _g192_seeds),
    "soundstream": Target(_soundstream_run, _soundstream_seeds),
    "encoded": Target(_encoded_run, lambda: [encoded.to_bytes() for encoded in _encoded()]),
    "stream": Target(_stream_run, _stream_seeds),
    "manifest_csv": Target(_manifest_run("set.csv"), _csv_seeds),
    "manifest_toml": Target(_manifest_run("set.toml"), _toml_seeds),
    "suite": Target(_suite_run, _suite_seeds),
    "store": Target(_store_run, _store_seeds),
    "audio": Target(_audio_run, _audio_seeds),
}
