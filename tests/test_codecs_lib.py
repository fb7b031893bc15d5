"""LC3 and Codec2: bits, delays, purity, errors."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from codecbench.bench.audio import Clip
from codecbench.bench.delay import envelope_lag, lag, probe
from codecbench.codecs import CodecError, Encoded, Packet, registry

LC3, CODEC2 = registry.get("lc3"), registry.get("codec2")


@pytest.fixture(autouse=True)
def needs_libraries(request: pytest.FixtureRequest) -> None:
    if "broken_import" not in request.fixturenames:
        for codec in (LC3, CODEC2):
            reason = codec.available()
            if reason:
                pytest.skip(reason)


@pytest.mark.parametrize("rate", LC3.rates)
@pytest.mark.parametrize("label", ["16", "32", "64"])
def test_lc3_bits_and_delay(label: str, rate: int) -> None:
    point = LC3.point(label)
    clip = probe(rate, 1.0)
    encoded = LC3.encode(clip, point)
    assert [packet.bits for packet in encoded.packets] == [10 * int(label)] * 100
    raw = LC3.decode(encoded, point)
    assert (raw.rate, raw.length) == (rate, clip.length)
    measured, clarity = lag(clip.samples[0], raw.samples[0], rate)
    assert clarity > 0.1
    assert LC3.delay(rate, point) == rate // 400  # 40 at 16 kHz, 120 at 48 kHz
    assert abs(measured - rate // 400) <= 1


def test_lc3_damaged_frames() -> None:
    point = LC3.point("32")
    encoded = LC3.encode(probe(16000, 0.1), point)
    with pytest.raises(CodecError, match="packet 1 has 39 bytes, not 40"):
        LC3.decode(Encoded((encoded.packets[0], Packet(bytes(39), 312)), 16000, 1), point)
    noise = np.random.default_rng(0)
    packets = tuple(Packet(noise.bytes(40), 320) for _ in range(50))
    raw = LC3.decode(Encoded(packets, 16000, 1), point)
    assert raw.length == 50 * 160
    assert np.isfinite(raw.samples).all()


def test_lc3_streams() -> None:
    steps = LC3.frames(probe(16000, 0.1), LC3.point("32"))
    assert steps is not None
    assert sum(1 for _ in steps) == 10


#: bits and samples of a frame, as codec2.h of libcodec2 1.2 has them
CODEC2_FRAMES = {"3200": (64, 160), "2400": (48, 160), "1300": (52, 320), "700C": (28, 320)}


@pytest.mark.parametrize("label", CODEC2_FRAMES)
def test_codec2_bits_and_delay(label: str) -> None:
    point = CODEC2.point(label)
    bits, samples = CODEC2_FRAMES[label]
    clip = probe(8000, 2.0)
    encoded = CODEC2.encode(clip, point)
    assert [packet.bits for packet in encoded.packets] == [bits] * (16000 // samples)
    assert bits * 8000 / samples / 1000 == point.kbps
    raw = CODEC2.decode(encoded, point)
    assert (raw.rate, raw.length) == (8000, clip.length)
    measured, _ = envelope_lag(clip.samples[0], raw.samples[0], 8000)
    assert abs(measured - CODEC2.delay(8000, point)) <= 160


def test_codec2_decodes_the_same_every_time() -> None:
    """libcodec2's phases come from a generator of the process; in one process they would differ."""
    point = CODEC2.point("1300")
    encoded = CODEC2.encode(probe(8000, 0.4), point)
    one, two = (CODEC2.decode(encoded, point) for _ in range(2))
    assert np.array_equal(one.samples, two.samples)
    assert CODEC2.encode(probe(8000, 0.4), point) == encoded


def test_codec2_wrong_packet() -> None:
    point = CODEC2.point("2400")
    with pytest.raises(CodecError, match="packet 0 has 5 bytes, not 6"):
        CODEC2.decode(Encoded((Packet(bytes(5), 40),), 8000, 1), point)


def test_codec2_streams_and_fills_the_last_frame() -> None:
    steps = CODEC2.frames(Clip(np.zeros((1, 161), np.float32), 8000), CODEC2.point("2400"))
    assert steps is not None
    assert sum(1 for _ in steps) == 2


@pytest.fixture
def broken_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lc3", None)
    monkeypatch.setitem(sys.modules, "pycodec2", None)


@pytest.mark.usefixtures("broken_import")
def test_a_library_that_is_missing() -> None:
    assert "pip install lc3py" in (LC3.available() or "")
    assert "pip install pycodec2" in (CODEC2.available() or "")
