"""Codecs of an ffmpeg program: bits and delays, which program is taken, and what is said when none can be."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from codecbench.bench.audio import Clip
from codecbench.bench.delay import lag, probe
from codecbench.codecs import CodecError, Encoded, Packet, Point, _ffmpeg, _ogg, registry
from codecbench.codecs._ffmpeg import FfmpegCodec
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = ("amr_wb", "speex_nb", "speex_wb", "vorbis")
#: bits of a 20 ms packet: AMR-WB of TS 26.201 table 2; Speex of RFC 5574's modes, filled up to bytes
GOLDEN = {
    ("amr_wb", "6.6"): 132,
    ("amr_wb", "8.85"): 177,
    ("amr_wb", "12.65"): 253,
    ("amr_wb", "15.85"): 317,
    ("amr_wb", "23.85"): 477,
    ("speex_nb", "8"): 160,
    ("speex_nb", "15.2"): 304,
    ("speex_wb", "10"): 200,
    ("speex_wb", "12.8"): 256,
    ("speex_wb", "24"): 480,
}
CASES = [(n, p.label, r) for n in NAMES for p in registry.get(n).points for r in (p.rates or registry.get(n).rates)]


@pytest.fixture(autouse=True)
def needs_program(request: pytest.FixtureRequest) -> None:
    if "no_program" not in request.fixturenames:
        for name in NAMES:
            reason = registry.get(name).available()
            if reason:
                pytest.skip(reason)


@pytest.fixture
def no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment without any ffmpeg; the folder is the PATH."""
    monkeypatch.delenv(_ffmpeg.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    return tmp_path


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("name", "label", "rate"), CASES)
def test_bits_and_delay(name: str, label: str, rate: int) -> None:
    codec = registry.get(name)
    point = codec.point(label)
    clip = probe(rate, 1.0)
    encoded = codec.encode(clip, point)
    if point.mode == "cbr":
        assert {packet.bits for packet in encoded.packets} == {GOLDEN[name, label]}
        assert GOLDEN[name, label] / 20 == point.kbps
        assert len(encoded.packets) == 50
    raw = codec.decode(encoded, point)
    assert raw.rate == rate
    assert raw.length >= clip.length
    measured, clarity = lag(clip.samples[0], raw.samples[0], rate)
    assert clarity > 0.1
    assert abs(measured - codec.delay(rate, point)) <= 1


@pytest.mark.parametrize("rate", [16000, 48000])
def test_vorbis_quality_orders_the_bitrate(rate: int) -> None:
    """ffmpeg drops a negative `-q:a` in silence and would code q-1 at q3."""
    codec = registry.get("vorbis")
    clip = probe(rate, 2.0, "music")
    bits = [codec.encode(clip, codec.point(label)).bits for label in ("q-1", "q2", "q5")]
    assert bits[0] < 0.8 * bits[1] < 0.8 * bits[2]


def test_vorbis_stereo_and_setup() -> None:
    codec = registry.get("vorbis")
    point = codec.point("q2")
    clip = Clip(np.concatenate([probe(44100, 1.0, "music", seed).samples for seed in (0, 1)]), 44100)
    encoded = codec.encode(clip, point)
    assert 1000 < len(encoded.setup) < 10000, "the codebooks are reported apart"
    assert codec.decode(encoded, point).samples.shape[0] == 2
    with pytest.raises(CodecError):
        codec.decode(Encoded(encoded.packets, 44100, 2, encoded.setup[:50]), point)


def test_amr_wb_packets_are_those_of_the_storage_format() -> None:
    codec = registry.get("amr_wb")
    encoded = codec.encode(probe(16000, 0.1), codec.point("12.65"))
    assert {len(packet.data) for packet in encoded.packets} == {33}  # a ToC byte and 253 bits
    assert {packet.data[0] for packet in encoded.packets} == {0x14}  # mode 2, good quality


@pytest.mark.parametrize("name", ["speex_nb", "speex_wb"])
def test_speex_lost_or_damaged_packets(name: str) -> None:
    codec = registry.get(name)
    point = codec.points[0]
    encoded = codec.encode(probe(codec.rates[0], 0.2), point)
    for data in (b"", b"\xff" * 3, b"\xff" * 40, bytes(20)):
        packets = (encoded.packets[0], Packet(data, 8 * len(data)), *encoded.packets[2:])
        try:
            raw = codec.decode(Encoded(packets, encoded.rate, 1, encoded.setup), point)
        except CodecError:
            continue
        assert np.isfinite(raw.samples).all()
        assert raw.length == len(packets) * codec.frame(encoded.rate, point)


class Declared(FfmpegCodec):
    """A codec in a few lines, as the module says."""

    name = "declared"
    family = licence = about = "test"
    encoder = decoder = "pcm_s16le"
    container = "wav"
    rates = (16000,)
    points = (Point("1", 256.0),)

    def delay(self, rate: int, point: Point) -> int:
        return 0

    def frame(self, rate: int, point: Point) -> int:
        return 0


def test_a_codec_is_a_declaration() -> None:
    codec = Declared()
    clip = probe(16000, 0.1)
    assert codec.available() is None
    raw = codec.decode(codec.encode(clip, codec.points[0]), codec.points[0])
    assert np.abs(raw.samples - clip.samples).max() <= 2**-16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"no_such_option": "1"}, "no_such_option"),
        ({"cbr_quality": "3"}, "cbr_quality"),  # libspeex's; this encoder does not know it
        ({"b:a": "many"}, "many"),
    ],
)
def test_options_that_are_not_accepted(options: dict[str, str], message: str) -> None:
    class Wrong(Declared):
        def settings(self, point: Point) -> dict[str, str]:
            return options

    with pytest.raises(CodecError, match=message):
        Wrong().encode(probe(16000, 0.05), Declared.points[0])


def test_silent_resampling_is_refused() -> None:
    class Wrong(Declared):
        encoder = decoder = "libspeex"
        container = "ogg"
        rates = (44100,)

    with pytest.raises(CodecError, match="at 32000 Hz, not 1 at 44100"):
        Wrong().encode(probe(44100, 0.1), Declared.points[0])


def test_unknown_encoder_is_unavailable() -> None:
    class Wrong(Declared):
        encoder = "no_such_encoder"

    assert "needs an ffmpeg with no_such_encoder" in (Wrong().available() or "")
    assert "imageio-ffmpeg==0.6.0" in (Wrong().available() or "")
    assert "ffmpeg" not in Wrong().versions()


def test_unknown_decoder_is_unavailable() -> None:
    class Wrong(Declared):
        decoder = "no_such_decoder"

    assert "no decoder no_such_decoder" in (Wrong().available() or "")


@pytest.mark.usefixtures("no_program")
@pytest.mark.parametrize("name", NAMES)
def test_without_any_program(name: str) -> None:
    codec = registry.get(name)
    reason = codec.available()
    assert reason is not None
    assert codec.encoder in reason  # type: ignore[attr-defined]
    assert "no ffmpeg was found" in reason
    assert "pip install imageio-ffmpeg==0.6.0" in reason
    assert _ffmpeg.VARIABLE in reason
    with pytest.raises(CodecError, match="no ffmpeg was found"):
        codec.encode(probe(codec.rates[0], 0.05), codec.points[0])


LISTS = """case "$2" in
-encoders) printf ' ------\\n A....D %s  x\\n' pcm_s16le;;
-version) printf 'ffmpeg version 1.2.3 Copyright\\nconfiguration: %s\\n' "$0";;
*) echo {said} >&2; exit {code};;
esac"""


def test_order_of_programs(no_program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Declared()
    on_path = script(no_program / "ffmpeg", "printf ' ------\\n A....D libother  x\\n'")
    assert f"not in {on_path}" in (codec.available() or "")
    mine = script(no_program / "mine", LISTS.format(said="boom", code=4))
    monkeypatch.setenv(_ffmpeg.VARIABLE, str(mine))
    assert codec.available() is None
    assert _ffmpeg.find("pcm_s16le") == str(mine)
    assert _ffmpeg.find("libother") == str(on_path), "the first that has the encoder"
    versions = codec.versions()
    assert versions["ffmpeg"] == "1.2.3"
    assert len(versions["ffmpeg-build"]) == 16
    with pytest.raises(CodecError, match=r"exit code 4\): boom"):
        codec.encode(probe(16000, 0.05), codec.points[0])


def test_a_named_program_that_cannot_run_is_not_passed_over(no_program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_ffmpeg.VARIABLE, str(no_program / "absent"))
    assert "absent cannot be run" in (Declared().available() or "")


def test_empty_output_of_the_program(no_program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = script(no_program / "silent", LISTS.format(said="''", code=0))
    monkeypatch.setenv(_ffmpeg.VARIABLE, str(program))
    with pytest.raises(CodecError, match="output cannot be read"):
        Declared().encode(probe(16000, 0.05), Declared.points[0])


def test_empty_clip() -> None:
    with pytest.raises(CodecError, match="empty"):
        Declared().encode(Clip(np.zeros((1, 0), np.float32), 16000), Declared.points[0])


def test_ogg_is_read_by_ffmpeg() -> None:
    """Pages, lacing and checksums, against FFmpeg's demuxer; packets around the lacing's 255 bytes."""
    import av

    codec = registry.get("speex_wb")
    header = codec.encode(probe(16000, 0.05), codec.points[0]).setup
    packets = [
        bytes([index % 251]) * size for index, size in enumerate([1, 254, 255, 256, 509, 510, 511, *([30] * 300)])
    ]
    with av.open(io.BytesIO(_ogg.mux(header, packets, 320)), format="ogg") as container:
        read = [bytes(packet) for packet in container.demux() if packet.size]
    assert read == packets
    with pytest.raises(CodecError, match="does not fit"):
        _ogg.mux(header, [bytes(65025)], 320)
    with pytest.raises(CodecError, match="no packets"):
        _ogg.mux(header, [], 320)


def _crc_by_definition(data: bytes) -> int:
    """RFC 3533: polynomial 0x04c11db7, initial value and final XOR 0."""
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x104C11DB7 if crc & 0x80000000 else 0)
    return crc


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=80))
def test_ogg_checksum(data: bytes) -> None:
    assert int.from_bytes(_ogg._checksum(data), "little") == _crc_by_definition(data)
