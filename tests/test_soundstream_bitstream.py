"""The container `.sstr` and the entropy coding: bit exact, cut exactly, any bytes parsed or refused."""

from __future__ import annotations

import io
import runpy
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from codecbench.bench.audio import Clip
from codecbench.codecs import CodecError, Packet
from codecbench.codecs import registry as codecs
from codecbench.codecs.soundstream import bitstream, entropy
from codecbench.codecs.soundstream.bitstream import BitstreamError, Header
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

MODEL = "0123456789abcdef"


@st.composite
def streams(draw):
    """A header and codes [F, channels, stages] that fit it."""
    channels, stages, frames = draw(st.integers(1, 2)), draw(st.integers(2, 24)), draw(st.integers(0, 6))
    cut = draw(st.integers(0, 319)) if frames > 2 else 0
    samples = draw(st.sampled_from([None, (frames - 2) * 320 - cut])) if frames > 1 else None
    model = draw(st.binary(min_size=8, max_size=8)).hex()
    codes = draw(arrays(np.uint16, (frames, channels, stages), elements=st.integers(0, 1023)))
    return Header(model, stages, channels, samples), codes


@settings(deadline=None, max_examples=100)
@given(streams())
def test_round_trip(stream):
    header, codes = stream
    data = bitstream.to_bytes(header, codes)
    assert len(data) == bitstream.HEADER_BYTES + len(codes) * header.packet_bytes
    assert header.packet_bits == 10 * header.stages * header.channels
    assert 0 <= 8 * header.packet_bytes - header.packet_bits < 8
    parsed, back = bitstream.from_bytes(data)
    assert parsed == header
    np.testing.assert_array_equal(back, codes)


@settings(deadline=None, max_examples=60)
@given(streams(), st.data())
def test_truncation_is_the_stream_of_fewer_stages(stream, data):
    header, codes = stream
    stages = data.draw(st.integers(2, header.stages))
    want = bitstream.to_bytes(replace(header, stages=stages), codes[:, :, :stages])
    assert bitstream.truncate(bitstream.to_bytes(header, codes), stages) == want


def test_truncation_cannot_add_stages():
    data = bitstream.to_bytes(Header(MODEL, 4), np.zeros((1, 1, 4), int))
    with pytest.raises(BitstreamError, match="has 4 stages, so 5 cannot be cut"):
        bitstream.truncate(data, 5)
    with pytest.raises(BitstreamError, match="1 stages; a stream has 2 to 24"):
        bitstream.truncate(data, 1)


def test_the_example_of_the_documentation():
    codes = np.array([[[1, 2, 1023, 512]], [[0, 1, 2, 3]], [[4, 5, 6, 7]]])
    data = bitstream.to_bytes(Header(MODEL, 4, samples=300), codes)
    assert data.hex(" ") == (
        "53 53 54 52 03 01 04 00 00 5d c0 01 23 45 67 89 ab cd ef 00 00 00 00 00 00 01 2c "
        "00 40 2f fe 00 00 00 10 08 03 01 00 50 18 07"
    )
    assert bitstream.truncate(data, 2)[27:].hex(" ") == "00 40 20 00 00 10 01 00 50"


@pytest.mark.parametrize("n", [1, 3, 4, 12, 24, 48])
def test_packets_hold_codes_most_significant_bit_first(n):
    codes = np.random.default_rng(n).integers(0, 1024, (5, n))
    data = bitstream.pack(codes)
    size = len(data) // 5
    for i, row in enumerate(codes):
        bits = "".join(f"{code:010b}" for code in row)
        packet = data[i * size : (i + 1) * size]
        assert "".join(f"{byte:08b}" for byte in packet) == bits.ljust(8 * size, "0")
        # any packet alone gives its frame
        np.testing.assert_array_equal(bitstream.unpack(packet, n), [row])


@pytest.mark.parametrize("code", [-1, 1024, 70000])
def test_codes_out_of_range_are_refused(code):
    with pytest.raises(BitstreamError, match="a code has 10 bits"):
        bitstream.pack(np.array([[0, code]]))


def test_unpack_wants_whole_packets():
    with pytest.raises(BitstreamError, match="7 bytes are no whole packets of 5"):
        bitstream.unpack(bytes(7), 4)


def test_writing_checks_shape_and_number_of_frames():
    with pytest.raises(BitstreamError, match=r"not \[frames, 1, 4\]"):
        bitstream.to_bytes(Header(MODEL, 4), np.zeros((2, 1, 3), int))
    with pytest.raises(BitstreamError, match="2 frames for 400 samples, which take 4"):
        bitstream.to_bytes(Header(MODEL, 4, samples=400), np.zeros((2, 1, 4), int))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "0123"}, "16 hex digits"),
        ({"model": MODEL.upper()}, "16 hex digits"),
        ({"stages": 1}, "1 stages; a stream has 2 to 24"),
        ({"stages": 25}, "25 stages"),
        ({"channels": 3}, "3 channels"),
        ({"samples": -1}, "-1 samples"),
        ({"samples": 2**64 - 1}, "samples"),
    ],
)
def test_header_limits(values, message):
    with pytest.raises(BitstreamError, match=message):
        Header(**({"model": MODEL, "stages": 4} | values))


def test_two_packets_more_bring_the_end():
    """The decoder is two frames late: the last samples come with two frames after them."""
    for samples, packets in ((0, 2), (1, 3), (320, 3), (321, 4), (640, 4)):
        assert Header(MODEL, 4, samples=samples).packets == packets
    assert Header(MODEL, 4).packets is None


def test_bitrates():
    assert [Header(MODEL, n).kbps for n in (2, 4, 8, 12, 16, 24)] == [1.5, 3, 6, 9, 12, 18]
    assert Header(MODEL, 8, channels=2).kbps == 12


def test_another_model_is_refused_by_name():
    Header(MODEL, 4).need(MODEL)
    with pytest.raises(BitstreamError, match=f"{MODEL}, which decoding needs; the model here is {'0' * 16}"):
        Header(MODEL, 4).need("0" * 16)


WHOLE = bitstream.to_bytes(Header(MODEL, 4, samples=300), np.arange(12).reshape(3, 1, 4))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"RIFF", "not a SoundStream stream"),
        (WHOLE[:3], "cut in the header: 3 bytes of 27"),
        (WHOLE[:26], "cut in the header"),
        (WHOLE[:4] + b"\x01" + WHOLE[5:], "version 1 of the format: it needs an older codecbench"),
        (WHOLE[:4] + b"\x02" + WHOLE[5:], "version 2 of the format: it needs an older codecbench"),
        (WHOLE[:4] + b"\x04" + WHOLE[5:], "version 4 of the format; this program reads version 3: update it"),
        (WHOLE[:7] + b"\x00\x00\xbb\x80" + WHOLE[11:], "48000 Hz"),
        (WHOLE[:-1], "cut short: it ends after 2 whole packets of 3"),
        (WHOLE[:-5], "cut short: it ends after 2 whole packets of 3"),
        (WHOLE + b"\x00", "bytes follow its 3 packets"),
        (WHOLE[:19] + b"\xff" * 8 + WHOLE[27:-1], "cut short: it ends after 2 whole packets"),
        (WHOLE[:19] + b"\x7f" + b"\xff" * 7 + WHOLE[27:], "cut short: it ends after 3 whole packets of"),
    ],
)
def test_damaged_streams(data, message):
    with pytest.raises(BitstreamError, match=message):
        bitstream.from_bytes(data)


def test_frames_before_a_cut_are_given():
    header, blocks = bitstream.read(io.BytesIO(WHOLE[:-1]))
    assert header.packets == 3
    np.testing.assert_array_equal(next(blocks), np.arange(8).reshape(2, 1, 4))
    with pytest.raises(BitstreamError, match="cut short"):
        next(blocks)


def test_errors_are_those_of_codecs_and_of_values():
    assert issubclass(BitstreamError, CodecError)
    assert issubclass(BitstreamError, ValueError)


def parse(data):
    """The stream in the bytes, or None where they are refused."""
    try:
        header, codes = bitstream.from_bytes(data)
    except BitstreamError:
        return None
    assert codes.shape == (len(codes), header.channels, header.stages)
    assert codes.size == 0 or codes.max() < 1024
    assert header.packets in (None, len(codes))
    return header, codes


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda tail: bitstream.MAGIC + b"\x03" + tail)))
def test_any_bytes_are_parsed_or_refused(data):
    parse(data)


@settings(deadline=None, max_examples=200)
@given(streams(), st.data())
def test_changed_bytes_are_parsed_or_refused(stream, data):
    blob = bytearray(bitstream.to_bytes(*stream))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(blob) - 1))
        blob[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(blob)))
    parse(bytes(blob[:end]))


def test_a_header_that_claims_much_costs_nothing():
    claim = Header(MODEL, 24, 2, samples=2**63).to_bytes() + bytes(60)
    tracemalloc.start()
    with pytest.raises(BitstreamError, match="cut short"):
        bitstream.from_bytes(claim)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


class Trickle(io.BytesIO):
    """A pipe that gives a byte or two at a time."""

    def read(self, size=-1):
        return super().read(min(size, 2))


def test_a_pipe_may_give_less_than_was_asked_for():
    header, blocks = bitstream.read(Trickle(WHOLE))
    assert header.samples == 300
    np.testing.assert_array_equal(np.concatenate(list(blocks)), np.arange(12).reshape(3, 1, 4))


def test_long_streams_come_in_blocks():
    codes = np.random.default_rng(0).integers(0, 1024, (2000, 2, 3))
    data = bitstream.to_bytes(Header(MODEL, 3, 2, samples=639360), codes)
    blocks = list(bitstream.read(io.BytesIO(data))[1])
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate(blocks), codes)


def tables(seed=0, stages=24):
    """Tables with counts from 1 to thousands, as uneven as those of real codebooks."""
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(4, 1.2, (stages, 1024))).astype(np.int64) + 1


class TestEntropy:
    coder = None

    @pytest.fixture(autouse=True)
    def _coder(self):
        pytest.importorskip("constriction")
        TestEntropy.coder = TestEntropy.coder or entropy.FrameCoder(tables())

    @settings(deadline=None, max_examples=100)
    @given(arrays(np.uint16, st.integers(1, 24), elements=st.integers(0, 1023)))
    def test_lossless_and_bits_exact(self, codes):
        data, bits = self.coder.pack(codes)
        assert len(data) == -(-bits // 8)
        np.testing.assert_array_equal(self.coder.unpack(data, len(codes)), codes)
        # a prefix code: the bits are the sum of what each stage takes alone, and a lower bitrate is a prefix
        assert bits == sum(length(self.coder, i, code) for i, code in enumerate(codes))
        np.testing.assert_array_equal(self.coder.unpack(data, 1), codes[:1])
        with pytest.raises(BitstreamError, match="ends before its"):
            self.coder.unpack(data[:-1], len(codes))

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=40), st.integers(1, 24))
    def test_any_bytes_are_decoded_or_refused(self, data, n):
        try:
            codes = self.coder.unpack(data, n)
        except BitstreamError:
            return
        assert codes.shape == (n,)
        assert codes.max() < 1024

    def test_code_words_are_as_short_as_the_counts_allow(self):
        weights = tables()
        p = weights / weights.sum(1, keepdims=True)
        rng = np.random.default_rng(1)
        codes = np.stack([rng.choice(1024, 400, p=row) for row in p[:8]], axis=1)
        bits = np.mean([self.coder.pack(row)[1] for row in codes])
        information = -np.log2(p[np.arange(8), codes]).sum(1).mean()
        assert information - 0.3 < bits < information + 0.4

    def test_codes_out_of_range_are_refused(self):
        with pytest.raises(BitstreamError, match="a code has 10 bits"):
            self.coder.pack(np.array([5, 1024]))


def length(coder, stage, code):
    """Bits of one code word, from a coder of that stage alone."""
    one = LENGTHS.setdefault(stage, entropy.FrameCoder(tables()[stage : stage + 1]))
    return one.pack(np.array([code]))[1]


LENGTHS: dict[int, entropy.FrameCoder] = {}


def test_tables_round_trip(tmp_path):
    path = tmp_path / "tables.npz"
    entropy.save(path, tables(), MODEL)
    np.testing.assert_array_equal(entropy.load(path, MODEL), tables())
    with pytest.raises(entropy.TablesError, match=rf"tables.npz: tables of the model {MODEL}, not of {'f' * 16}"):
        entropy.load(path, "f" * 16)


@pytest.mark.parametrize("wrong", [np.ones((25, 1024), int), np.ones((3, 64), int), np.zeros((3, 1024), int)])
def test_tables_of_a_wrong_shape(tmp_path, wrong):
    with pytest.raises(entropy.TablesError, match=r"whole numbers >= 1 \[n, 1024\]"):
        entropy.save(tmp_path / "tables.npz", wrong, MODEL)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x00" * 100])
def test_tables_that_are_none(tmp_path, content):
    (tmp_path / "tables.npz").write_bytes(content)
    with pytest.raises(entropy.TablesError, match="not tables of code frequencies"):
        entropy.load(tmp_path / "tables.npz")


def test_counting():
    counts = entropy.count(np.array([[0, 5], [0, 6], [3, 5]]))
    assert counts.shape == (2, 1024)
    assert (counts[0, 0], counts[0, 3], counts[1, 5], counts.sum()) == (2, 1, 2, 6)


def test_fitting_adds_much_where_files_differ_and_little_where_they_are_alike():
    counts = np.zeros((2, 1024), np.int64)
    counts[:, :512] = 100
    other = counts.copy()
    other[1] = np.roll(counts[1], 512)
    fitted = entropy.fit(counts, other)
    assert fitted.min() >= 1
    alike, apart = fitted - counts - other
    assert len(set(alike)) == len(set(apart)) == 1
    assert alike[0] < 4 < 1000 < apart[0]
    # never worse than no table: where the files share nothing, close to 10 bits each
    p = (counts[1] + apart) / (counts[1] + apart).sum()
    assert -np.log2(p[other[1] > 0]).mean() < 10.01


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(entropy, "find_spec", lambda name: None)
    assert "pip install constriction" in str(entropy.missing())
    monkeypatch.setattr(entropy, "find_spec", lambda name: object())
    monkeypatch.setattr(entropy, "TABLES", tmp_path / "tables.npz")
    assert "no tables" in str(entropy.missing())
    entropy.save(tmp_path / "tables.npz", tables(), MODEL)
    monkeypatch.setattr(entropy.packaged, "model_id", lambda: MODEL)
    assert entropy.missing() is None
    monkeypatch.setattr(entropy.packaged, "model_id", lambda: "f" * 16)
    assert f"tables of the model {MODEL}, not of" in str(entropy.missing())


class TestAdapter:
    """The codec `soundstream-ec`, with a tiny model of random weights and tables made of its codes."""

    @pytest.fixture(autouse=True)
    def _packaged(self, tmp_path, monkeypatch):
        torch = pytest.importorskip("torch")
        pytest.importorskip("safetensors")
        pytest.importorskip("constriction")
        from codecbench.codecs.soundstream import packaged
        from codecbench.codecs.soundstream.model import PRESETS, SoundStream, save

        torch.manual_seed(0)
        tiny = SoundStream(PRESETS["tiny"])
        tiny.quantizer.levels.codebooks.normal_()
        tiny.quantizer.shapes.codebooks.normal_()
        monkeypatch.setattr(packaged, "WEIGHTS", tmp_path / "tiny.safetensors")
        monkeypatch.setattr(entropy, "TABLES", tmp_path / "tables.npz")
        save(tiny, packaged.WEIGHTS, {})
        rng = np.random.default_rng(0)
        self.clip = Clip((0.3 * rng.standard_normal((1, 9600))).astype(np.float32), 24000)
        codes = tiny.encode(torch.from_numpy(self.clip.samples[None]), 8)[0].T.numpy()
        entropy.save(entropy.TABLES, entropy.count(codes) + 1, packaged.model_id())

    @pytest.mark.parametrize("label", ["3", "6"])
    def test_decodes_to_what_soundstream_decodes_from_fewer_bits(self, label):
        plain, coded = codecs.get("soundstream"), codecs.get("soundstream-ec")
        assert coded.available() is None
        point, other = coded.point(label), plain.point(label)
        encoded, fixed = coded.encode(self.clip, point), plain.encode(self.clip, other)
        np.testing.assert_array_equal(coded.decode(encoded, point).samples, plain.decode(fixed, other).samples)
        assert len(encoded.packets) == len(fixed.packets) == 30
        assert encoded.bits < fixed.bits
        assert all(len(packet.data) == -(-packet.bits // 8) for packet in encoded.packets)
        framed = np.concatenate(list(coded.frames(self.clip, point)))
        np.testing.assert_allclose(framed, coded.decode(encoded, point).samples[0], atol=1e-5)

    def test_a_packet_that_is_cut_is_refused(self):
        codec = codecs.get("soundstream-ec")
        encoded = codec.encode(self.clip, codec.point("6"))
        cut = replace(encoded, packets=(Packet(encoded.packets[0].data[:-1], 0),))
        with pytest.raises(CodecError, match="ends before its 8 codes"):
            codec.decode(cut, codec.point("6"))

    def test_it_is_another_codec_to_the_cache_with_other_tables(self):
        codec = codecs.get("soundstream-ec")
        before = codec.versions()
        assert {"torch", "weights", "constriction", "tables"} <= set(before)
        entropy.save(entropy.TABLES, tables(), before["weights"])
        assert codec.versions()["tables"] != before["tables"]
        entropy.TABLES.unlink()
        assert "no tables" in str(codec.available())


def test_the_tool_makes_tables_for_a_model(tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    pytest.importorskip("constriction")
    tool = Path(__file__).parent.parent / "tools" / "soundstream_tables.py"
    if not tool.is_file():
        pytest.skip("tools/ is not here")
    from codecbench.codecs.soundstream.model import PRESETS, SoundStream, model_id, save

    weights, out = tmp_path / "tiny.safetensors", tmp_path / "out.npz"
    torch.manual_seed(0)
    tiny = SoundStream(PRESETS["tiny"])
    tiny.quantizer.levels.codebooks.normal_()
    tiny.quantizer.shapes.codebooks.normal_()
    save(tiny, weights, {})
    rng = np.random.default_rng(0)
    for i in range(6):
        sf.write(tmp_path / f"{i}.wav", rng.uniform(-0.3, 0.3, 24000), 24000)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    monkeypatch.setattr("sys.argv", [str(tool), str(tmp_path), "--model", str(weights), "--out", str(out)])
    runpy.run_path(str(tool), run_name="__main__")
    counts = entropy.load(out, model_id(weights))
    assert counts.shape == (8, 1024)
    # 6 seconds of 75 frames, and one number added to every count of a stage
    assert set((counts.astype(int).sum(1) - 450) % 1024) == {0}
    captured = capsys.readouterr()
    assert "broken.wav" in captured.err
    assert captured.out.count("\n") == 4
