"""`Encoded` goes through bytes unharmed, and refuses what is none."""

from __future__ import annotations

import pickle

import pytest
from codecbench.codecs import Encoded, Packet
from hypothesis import given, settings
from hypothesis import strategies as st

packets = st.binary(max_size=40).flatmap(lambda b: st.builds(Packet, st.just(b), st.integers(0, 8 * len(b))))
clips = st.builds(
    Encoded,
    st.lists(packets, max_size=6).map(tuple),
    st.sampled_from([8000, 44100, 48000]),
    st.integers(1, 2),
    st.binary(max_size=20),
)


@settings(deadline=None, max_examples=60)
@given(clips)
def test_round_trip(encoded):
    assert Encoded.from_bytes(encoded.to_bytes()) == encoded
    assert pickle.loads(pickle.dumps(encoded)) == encoded
    assert encoded.bits == sum(packet.bits for packet in encoded.packets)


@settings(deadline=None, max_examples=150)
@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda tail: b"CBE1" + tail)))
def test_arbitrary_bytes_are_refused(blob):
    with pytest.raises(ValueError, match="not an encoded clip"):
        Encoded.from_bytes(blob)


@settings(deadline=None, max_examples=150)
@given(clips, st.data())
def test_changed_bytes_are_refused_or_parsed(encoded, data):
    blob = bytearray(encoded.to_bytes())
    at = data.draw(st.integers(0, len(blob) - 1))
    blob[at] ^= data.draw(st.integers(1, 255))
    try:
        parsed = Encoded.from_bytes(bytes(blob))
    except ValueError:
        return
    assert isinstance(parsed, Encoded)
    assert all(isinstance(packet.data, bytes) for packet in parsed.packets)


@settings(deadline=None, max_examples=60)
@given(clips, st.integers(1, 8))
def test_cut_or_longer_bytes_are_refused(encoded, count):
    blob = encoded.to_bytes()
    for changed in (blob[:-count], blob + b"x" * count):
        with pytest.raises(ValueError, match="not an encoded clip"):
            Encoded.from_bytes(changed)
