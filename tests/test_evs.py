"""EVS by a stand-in for its programs (`fake_evs.py`), and the G.192 parser."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from codecbench.bench import pipeline
from codecbench.bench.audio import Clip
from codecbench.bench.delay import lag, probe
from codecbench.codecs import CodecError, Encoded, Packet, _g192, registry
from hypothesis import given, settings
from hypothesis import strategies as st

EVS = registry.get("evs")
SCRIPT = Path(__file__).with_name("fake_evs.py")
RATES = [(point.label, rate) for point in EVS.points for rate in {point.rates[0], point.rates[-1]}]


def wrapper(folder: Path, program: str, body: str | None = None) -> Path:
    """An executable of that name; by default the stand-in."""
    path = folder / program
    path.write_text(body or f'#!/bin/sh\nexec "{sys.executable}" "{SCRIPT}" {program} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for program, variable in (("EVS_cod", "CODECBENCH_EVS_COD"), ("EVS_dec", "CODECBENCH_EVS_DEC")):
        monkeypatch.setenv(variable, str(wrapper(tmp_path, program)))
    return tmp_path


def test_absent_programs_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CODECBENCH_EVS_COD", raising=False)
    monkeypatch.delenv("CODECBENCH_EVS_DEC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = EVS.available()
    assert reason is not None
    assert "TS 26.443" in reason
    assert "CODECBENCH_EVS_COD" in reason
    assert EVS.versions() == {}
    with pytest.raises(CodecError, match="EVS_cod"):
        EVS.encode(probe(16000, 0.1), EVS.point("13.2"))
    wrapper(tmp_path, "EVS_cod")
    assert "CODECBENCH_EVS_DEC" in (EVS.available() or "")
    wrapper(tmp_path, "EVS_dec")
    assert EVS.available() is None, "found on the PATH"
    monkeypatch.setenv("CODECBENCH_EVS_DEC", str(tmp_path / "nowhere"))
    assert "nowhere is not a program" in (EVS.available() or "")


def test_versions_are_the_programs_hashes(programs: Path) -> None:
    before = EVS.versions()
    assert {len(value) for value in before.values()} == {64}
    with (programs / "EVS_dec").open("a") as file:
        file.write("# changed\n")
    after = EVS.versions()
    assert before["EVS_cod"] == after["EVS_cod"]
    assert before["EVS_dec"] != after["EVS_dec"]


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(("label", "rate"), RATES)
def test_bits_length_and_delay(label: str, rate: int) -> None:
    point = EVS.point(label)
    clip = probe(rate, 0.96)
    encoded = EVS.encode(clip, point)
    assert len(encoded.packets) == 48
    assert encoded.bits / 0.96 / 1000 == pytest.approx(point.kbps)
    if point.mode == "cbr":
        assert {packet.bits for packet in encoded.packets} == {round(float(label) * 20)}
    out = EVS.decode(Encoded.from_bytes(encoded.to_bytes()), point)
    assert (out.rate, out.length) == (rate, clip.length)
    if float(label) >= 9.6:  # the stand-in's band is too narrow below for a sharp peak
        measured, _ = lag(clip.samples[0], out.samples[0], rate)
        assert abs(measured - EVS.delay(rate, point)) <= 1


def test_frame_and_delay_add_up_to_the_standards() -> None:
    for rate, ms in ((8000, 30.9375), (16000, 32), (32000, 32), (48000, 32)):
        samples = EVS.frame(rate, EVS.points[0]) + EVS.delay(rate, EVS.points[0])
        assert abs(samples - ms * rate / 1000) < 1


def test_bandwidths_of_the_points() -> None:
    assert EVS.native_rate(48000, EVS.point("7.2")) == 16000
    assert EVS.native_rate(48000, EVS.point("9.6")) == 32000
    assert EVS.native_rate(44100, EVS.point("16.4")) == 48000
    assert EVS.native_rate(8000, EVS.point("24.4")) == 8000
    assert EVS.native_rate(8000, EVS.point("48")) == 16000


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("length", [1, 319, 320, 4001])
def test_through_the_pipeline(length: int) -> None:
    clip = Clip(np.ascontiguousarray(probe(16000, 1.0).samples[:, :length]), 16000)
    stream, out = pipeline.code(EVS, EVS.point("13.2"), clip)
    assert out.samples.shape == clip.samples.shape
    assert stream.kbps == pytest.approx(13.2)


@pytest.mark.usefixtures("programs")
def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    body = f'#!/bin/sh\necho "$@" >> "{log}"\nexec "{sys.executable}" "{SCRIPT}" EVS_cod "$@"\n'
    monkeypatch.setenv("CODECBENCH_EVS_COD", str(wrapper(tmp_path, "spy", body)))
    EVS.encode(probe(32000, 0.04), EVS.point("9.6"))
    assert log.read_text().split()[:6] == ["-q", "-no_delay_cmp", "-max_band", "SWB", "9600", "32"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("#!/bin/sh\necho Error: no licence >&2\nexit 3\n", r"exit code 3\): Error: no licence"),
        ("#!/bin/sh\nexit 0\n", "failed"),
        ('#!/bin/sh\nfor last; do :; done\nprintf abc > "$last"\n', "not a G.192 stream"),
        ('#!/bin/sh\nfor last; do :; done\n: > "$last"\n', "wrote 0 frames, not 2"),
        ("not a program\n", "cannot be run|failed"),
    ],
)
def test_failing_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str) -> None:
    monkeypatch.setenv("CODECBENCH_EVS_COD", str(wrapper(tmp_path, "broken", body)))
    with pytest.raises(CodecError, match=message):
        EVS.encode(probe(16000, 0.04), EVS.point("13.2"))


@pytest.mark.usefixtures("programs")
def test_wrong_rate_of_the_encoder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # arguments: -q -no_delay_cmp -max_band B R Fs in out
    body = f'#!/bin/sh\nexec "{sys.executable}" "{SCRIPT}" EVS_cod "$1" "$2" 24400 "$6" "$7" "$8"\n'
    monkeypatch.setenv("CODECBENCH_EVS_COD", str(wrapper(tmp_path, "liar", body)))
    with pytest.raises(CodecError, match="488 bits in frame 0"):
        EVS.encode(probe(16000, 0.04), EVS.point("13.2"))


@pytest.mark.usefixtures("programs")
def test_damaged_packets() -> None:
    point = EVS.point("13.2")
    encoded = EVS.encode(probe(16000, 0.06), point)
    first = encoded.packets[0]
    for bad in (Packet(first.data[:-1], first.bits), Packet(first.data[:2], 16), Packet(b"", 0)):
        with pytest.raises(CodecError):
            EVS.decode(Encoded((bad, *encoded.packets[1:]), 16000, 1), point)
    flipped = Packet(bytes(255 - byte for byte in first.data), first.bits)
    assert EVS.decode(Encoded((flipped, *encoded.packets[1:]), 16000, 1), point).length == 960


@pytest.mark.usefixtures("programs")
def test_nan_is_refused() -> None:
    with pytest.raises(CodecError, match="NaN"):
        EVS.encode(Clip(np.full((1, 320), np.nan, np.float32), 16000), EVS.point("13.2"))


FRAMES = st.integers(0, 600).flatmap(
    lambda count: st.builds(
        lambda bits, lost: _g192.Frame(np.packbits(np.array(bits, np.uint8)).tobytes(), len(bits), lost),
        st.lists(st.integers(0, 1), min_size=count, max_size=count),
        st.booleans(),
    )
)


@settings(deadline=None, max_examples=30)
@given(st.lists(FRAMES, max_size=4))
def test_g192_round_trip(frames: list[_g192.Frame]) -> None:
    assert _g192.parse(_g192.build(frames)) == frames


def test_g192_golden() -> None:
    """Two frames by hand: bits 1 0 1, and a lost frame of none."""
    stream = bytes.fromhex("216b 0300 8100 7f00 8100 206b 0000")
    assert _g192.parse(stream) == [_g192.Frame(b"\xa0", 3), _g192.Frame(b"", 0, lost=True)]
    assert _g192.parse(b"") == []


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from([0x6B21, 0x6B20, 0x7F, 0x81, 0, 1, 2, 3, 0xFFFF]), max_size=40).map(
            lambda words: np.array(words, "<u2").tobytes()
        ),
    )
)
def test_g192_takes_any_bytes(data: bytes) -> None:
    try:
        frames = _g192.parse(data)
    except CodecError:
        return
    assert _g192.build(frames) == data


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ("21", "whole 16-bit words"),
        ("1234 0000", "begins with 0x3412"),
        ("216b", "cut short"),
        ("216b 0200 7f00", "1 of 2 bits"),
        ("216b 0100 8000", "no bits"),
    ],
)
def test_g192_errors_say_where(stream: str, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        _g192.parse(bytes.fromhex(stream))
