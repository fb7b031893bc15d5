"""Codecs by PyAV: exact bits, no option ignored, streams equal to whole encodings."""

from __future__ import annotations

import numpy as np
import pytest
from codecbench.bench.audio import Clip
from codecbench.bench.delay import probe
from codecbench.codecs import CodecError, Encoded, Packet, Point, registry
from codecbench.codecs._av import AvCodec, library_version, missing
from codecbench.codecs.amr_nb import AmrNb
from codecbench.codecs.g722 import G722
from codecbench.codecs.opus import Opus


def usable(name):
    """The codec, or the test is skipped with the reason."""
    codec = registry.get(name)
    reason = codec.available()
    if reason:
        pytest.skip(reason)
    return codec


AV = [codec for codec in registry if isinstance(codec, AvCodec) and codec.encode_route == "inprocess"]

#: bits of one packet: AMR, 3GPP TS 26.101 table 2; G.711, G.722, G.726 and Opus, rate times 20 ms; MP3,
#: ISO/IEC 13818-3: 72 * bitrate / sample rate bytes, 144 at 32 kHz and above; G.723.1 table 6
PACKETS = [
    ("amr_nb", "4.75", "speech", 8000, 95),
    ("amr_nb", "7.95", "speech", 8000, 159),
    ("amr_nb", "12.2", "speech", 8000, 244),
    ("g711_mulaw", "64", "speech", 8000, 1280),
    ("g711_alaw", "64", "speech", 8000, 1280),
    ("g722", "64", "speech", 16000, 1280),
    ("g723_1", "6.3", "speech", 8000, 189),
    ("g726", "16", "speech", 8000, 320),
    ("g726", "24", "speech", 8000, 480),
    ("g726", "32", "speech", 8000, 640),
    ("g726", "40", "speech", 8000, 800),
    ("mp3", "16", "speech", 16000, 576),
    ("mp3", "32", "speech", 24000, 768),
    ("mp3", "128", "music", 48000, 3072),
    ("opus", "6", "speech", 16000, 120),
    ("opus", "9", "speech", 16000, 184),
    ("opus", "12", "music", 48000, 240),
    ("opus", "64", "music", 48000, 1280),
    ("opus_evs", "7.2", "speech", 16000, 144),
    ("opus_evs", "8", "speech", 16000, 160),
    ("opus_evs", "9.6", "speech", 16000, 192),
    ("opus_evs", "13.2", "speech", 16000, 264),
    ("opus_evs", "16.4", "speech", 16000, 328),
    ("opus_evs", "24.4", "speech", 16000, 488),
]


@pytest.mark.parametrize(("name", "label", "content", "rate", "bits"), PACKETS)
def test_bits_of_a_packet(name, label, content, rate, bits):
    codec = usable(name)
    point = codec.point(label, content)
    encoded = codec.encode(probe(rate, 0.5, "speech"), point)
    assert {packet.bits for packet in encoded.packets} == {bits}
    seconds = len(encoded.packets) * codec.frame(rate, point) / rate
    assert encoded.bits / seconds / 1000 == pytest.approx(point.kbps, rel=1e-9)
    assert encoded.setup == b""


@pytest.mark.parametrize("name", ["opus", "mp3", "amr_nb", "g726"])
def test_constant_bitrate_does_not_depend_on_the_signal(name):
    codec = usable(name)
    point = codec.points[0]
    rate = max(point.rates or codec.rates)
    noise = np.random.default_rng(0).uniform(-1, 1, (1, rate)).astype(np.float32)
    sizes = {
        packet.bits
        for samples in (noise, np.zeros_like(noise))
        for packet in codec.encode(Clip(samples, rate), point).packets
    }
    assert len(sizes) == 1


@pytest.mark.parametrize("codec", AV, ids=lambda codec: codec.name)
def test_stream_equals_whole(codec):
    usable(codec.name)
    for point in {point.content: point for point in codec.points}.values():
        rate = max(point.rates or codec.rates)
        clip = probe(rate, 0.4)
        steps = codec.frames(clip, point)
        if steps is None:
            assert codec.name == "g726"
            continue
        streamed = [data for step in steps for data in step]
        whole = [packet.data for packet in codec.encode(clip, point).packets]
        # What is left is the encoder's look-ahead, which only the end of the clip brings out.
        assert streamed == whole[: len(streamed)]
        assert 0 <= len(whole) - len(streamed) <= 4


def test_unknown_option_is_refused():
    class Wrong(G722):
        name = "wrong"

        def settings(self, point: Point) -> dict[str, str]:
            return {"bitrate_typo": "1"}

    class WrongDecoder(G722):
        name = "wrong_decoder"

        def decoder_settings(self, point: Point) -> dict[str, str]:
            return {"decoder_typo": "1"}

    clip = probe(16000, 0.1)
    with pytest.raises(CodecError, match="bitrate_typo"):
        Wrong().encode(clip, Wrong.points[0])
    decoder = WrongDecoder()
    with pytest.raises(CodecError, match="decoder_typo"):
        decoder.decode(decoder.encode(clip, decoder.points[0]), decoder.points[0])


def test_value_out_of_range_is_refused():
    class Wrong(Opus):
        def settings(self, point: Point) -> dict[str, str]:
            return super().settings(point) | {"packet_loss": "101"}

    wrong = Wrong("wrong", "x", "x", registry.get("opus").points)
    with pytest.raises(CodecError, match="packet_loss"):
        wrong.encode(probe(16000, 0.1), wrong.points[0])


@pytest.mark.parametrize("codec", AV, ids=lambda codec: codec.name)
def test_every_point_opens_and_every_option_is_known(codec):
    usable(codec.name)
    for point in codec.points:
        for rate in point.rates or codec.rates:
            for channels in codec.channels:
                context = codec._open_encoder(rate, channels, point)
                assert context.frame_size in (0, codec.frame(rate, point)) or codec.name == "g726"
                assert context.thread_count == 1


def test_amr_refuses_a_frame_that_is_none():
    codec, point = registry.get("amr_nb"), AmrNb.points[0]
    assert isinstance(codec, AmrNb)
    assert codec.payload_bits(b"\x04" + bytes(12), point) == 95
    with pytest.raises(CodecError, match="type 0 in 3 bytes"):
        codec.payload_bits(b"\x04\0\0", point)
    with pytest.raises(CodecError, match="type 15"):
        codec.payload_bits(b"\x7c", point)


def test_aac_sends_its_configuration_once():
    codec = registry.get("aac")
    point = codec.point("64", "music")
    clip = Clip(np.repeat(probe(32000, 0.5, "music").samples, 2, axis=0), 32000)
    encoded = codec.encode(clip, point)
    # AudioSpecificConfig, ISO/IEC 14496-3 1.6.2.1: object type 2 (LC), frequency index 5 (32 kHz), 2 channels
    bits = int.from_bytes(encoded.setup[:2], "big")
    assert (bits >> 11, bits >> 7 & 15, bits >> 3 & 15) == (2, 5, 2)
    assert b"Lavc" not in encoded.packets[0].data
    assert encoded.setup_bits == 40


def test_opus_application_follows_the_content():
    codec = registry.get("opus")
    assert codec.point("12", "speech").params["application"] == "voip"
    assert codec.point("12", "music").params["application"] == "audio"


def test_refusals_say_why():
    codec = usable("amr_nb")
    point = codec.points[0]
    with pytest.raises(CodecError, match="8000 Hz, not at 16000"):
        codec.encode(probe(16000, 0.1), point)
    with pytest.raises(CodecError, match="empty"):
        codec.encode(Clip(np.zeros((1, 0), np.float32), 8000), point)
    with pytest.raises(CodecError, match="channels"):
        codec.encode(Clip(np.zeros((2, 800), np.float32), 8000), point)
    first = codec.encode(probe(8000, 0.1), point).packets[0]
    with pytest.raises(CodecError, match="packet 1 of 2 is empty"):
        codec.decode(Encoded((first, Packet(b"", 0)), 8000, 1), point)
    with pytest.raises(CodecError, match="0 packets"):
        codec.decode(Encoded((), 8000, 1), point)


def test_versions_and_reasons():
    found = registry.get("opus").versions()
    assert set(found) >= {"av", "libavcodec"}
    assert missing("libopus", "libopus") is None
    assert "without the encoder libnone" in str(missing("libnone", "libopus"))
    assert "without the decoder libnone" in str(missing("libopus", "libnone"))
    assert library_version("libnone", "version") is None
