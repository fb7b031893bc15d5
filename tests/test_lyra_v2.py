"""The codec `lyra_v2`: packing and quantiser with made-up codebooks, the rest with Google's weights where they are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from codecbench.bench import pipeline
from codecbench.bench.audio import Clip, read, resample
from codecbench.bench.conformance import check
from codecbench.bench.metrics import evaluate
from codecbench.bench.metrics import registry as metrics
from codecbench.codecs import CodecError, Encoded, Packet, lyra_v2, registry
from codecbench.corpora import registry as corpora
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

codec = registry.get("lyra_v2")
STAGES = {"3.2": 16, "6": 30, "9.2": 46}


@pytest.fixture
def weights(monkeypatch):
    """Google's weights, from the store or from `shared/models` beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "models"
    if codec.available() and beside.is_dir():
        monkeypatch.setenv("CODECBENCH_MODELS", str(beside))
    if reason := codec.available():
        pytest.skip(reason)


@pytest.fixture
def codebooks(monkeypatch):
    """Made-up ones, of entries that become smaller from stage to stage."""
    books = np.random.default_rng(0).standard_normal((46, 64, 16)) * 0.93 ** np.arange(46)[:, None, None]
    monkeypatch.setattr(lyra_v2, "codebooks", lambda: books.astype(np.float32))
    return books.astype(np.float32)


def speech():
    """Six seconds of a reader of LibriVox, embedded, at 16 kHz."""
    (item,) = [item for item in corpora.get("speech").items(None) if item.id == "16-en-librivox"]
    return resample(read(item.path, item.start, 6.0), 16000)


def latents(count, seed=0):
    random = np.random.default_rng(seed)
    return (random.standard_normal((count, 64)) * random.uniform(0.1, 20, (count, 1))).astype(np.float32)


def test_declaration():
    assert [point.label for point in codec.points] == list(STAGES)
    for point in codec.points:
        assert point.params["stages"] == STAGES[point.label]
        assert point.kbps == float(point.label)
        assert (point.mode, point.content) == ("cbr", ("speech",))
        assert (codec.frame(16000, point), codec.delay(16000, point)) == (320, 0)
    assert (codec.rates, codec.channels, codec.family) == ((16000,), (1,), "SoundStream (Lyra V2)")
    assert codec.model is not None
    assert codec.model.bytes == 3_583_372
    assert set(codec.versions()) == {"ai-edge-litert", "weights"}
    assert len(codec.versions()["weights"]) == 16


def test_unavailable_without_weights_or_runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("CODECBENCH_MODELS", str(tmp_path))
    assert "bench models get lyra_v2" in codec.available()
    with pytest.raises(CodecError, match="bench models get lyra_v2"):
        codec.encode(Clip(np.zeros((1, 320), np.float32), 16000), codec.points[0])
    monkeypatch.setattr(lyra_v2, "find_spec", lambda name: None)
    assert "pip install ai-edge-litert" in codec.available()


def test_damaged_weights_are_refused(weights, tmp_path, monkeypatch):
    folder = tmp_path / "lyra_v2"
    folder.mkdir()
    for file in lyra_v2.MODEL.files:
        (folder / file.name).write_bytes(lyra_v2.models.checked(lyra_v2.MODEL).joinpath(file.name).read_bytes())
    with (folder / "lyragan.tflite").open("r+b") as file:
        file.seek(100_000)
        file.write(b"\xff\x00\xff")
    monkeypatch.setenv("CODECBENCH_MODELS", str(tmp_path))
    with pytest.raises(CodecError, match=r"lyragan\.tflite"):
        codec.encode(speech(), codec.points[0])


@given(st.sampled_from(list(STAGES.values())), st.integers(0, 5), st.data())
@settings(deadline=None, max_examples=30)
def test_packets_hold_four_bits_a_stage_first_stage_first(stages, frames, data):
    codes = data.draw(arrays(np.uint8, (frames, stages), elements=st.integers(0, 15)))
    packets = lyra_v2.pack(codes)
    assert [packet.bits for packet in packets] == [4 * stages] * frames
    for packet, row in zip(packets, codes, strict=True):
        assert int.from_bytes(packet.data, "big") == int("".join(f"{code:x}" for code in row), 16)
    assert np.array_equal(lyra_v2.unpack(packets, stages), codes)


@pytest.mark.parametrize("size", [0, 1, 14, 16, 23])
def test_packet_of_another_size_is_refused(size):
    damaged = Encoded((Packet(bytes(15), 120), Packet(bytes(size), 8 * size)), 16000, 1)
    for call in (codec.decode, codec.tokens):
        with pytest.raises(CodecError, match=f"packet 1 has {size} bytes, not 15"):
            call(damaged, codec.point("6"))


def test_quantiser_codes_a_frame_alike_wherever_it_lies(codebooks):
    x = latents(150)
    codes = lyra_v2.quantise(x, 46)
    assert codes.shape == (150, 46)
    assert codes.max() == 15
    assert all(np.array_equal(lyra_v2.quantise(x[i : i + 1], 46)[0], codes[i]) for i in (0, 63, 64, 149))
    assert np.array_equal(lyra_v2.quantise(x, 16), codes[:, :16])
    assert lyra_v2.quantise(x[:0], 16).shape == (0, 16)


def test_quantiser_finds_nearest_entries(codebooks):
    x = latents(20, seed=1)
    codes, residual = lyra_v2.quantise(x, 46), x.astype(np.float64)
    for stage, book in enumerate(codebooks.transpose(0, 2, 1)):
        distances = np.square(residual[:, None] - book).sum(-1)
        chosen = np.take_along_axis(distances, codes[:, stage, None], 1)[:, 0]
        assert np.allclose(chosen, distances.min(1), rtol=1e-5)
        residual -= book[codes[:, stage]]
    assert np.allclose(x - lyra_v2.dequantise(codes), residual, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 17, 64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_distances_are_added_up_in_order(count, order):
    random = np.random.default_rng(count)
    vectors, book = (random.standard_normal((64, n)).astype(np.float32) for n in (count, 16))
    expected = np.zeros((16, count), np.float32)
    for vector, entries in zip(vectors, book, strict=True):
        expected += np.square(vector[None] - entries[:, None])
    assert np.array_equal(lyra_v2.distances(np.array(vectors, order=order), np.array(book, order=order)), expected)


def graph_of_the_quantiser():
    """With the kernels that Lyra opens it with; XNNPACK adds in another order and decides some ties otherwise."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    path = lyra_v2.models.checked(lyra_v2.MODEL) / "quantizer.tflite"
    return Interpreter(str(path), num_threads=1, experimental_op_resolver_type=plain)


@pytest.mark.parametrize("stages", [1, 16, 30, 46])
@pytest.mark.parametrize("kind", ["random", "speech"])
def test_quantiser_equals_the_graph(weights, kind, stages):
    x = latents(100) if kind == "random" else lyra_v2.encoder()(lyra_v2.frames_of(speech()))[50:200]
    graph = graph_of_the_quantiser()
    encode, decode = graph.get_signature_runner("encode"), graph.get_signature_runner("decode")
    codes = lyra_v2.quantise(x, stages)
    vectors = lyra_v2.dequantise(codes)
    for frame, row, vector in zip(x, codes, vectors, strict=True):
        theirs = encode(input_frames=frame[None, None], num_quantizers=np.int32(stages))["output_0"]
        assert np.array_equal(theirs[:stages, 0, 0], row)
        indices = np.full((46, 1, 1), -1, np.int32)
        indices[:stages, 0, 0] = row
        assert np.array_equal(decode(encoding_indices=indices)["output_0"][0, 0], vector)


def test_lower_rates_are_prefixes_of_higher_ones(weights):
    high = codec.encode(speech(), codec.point("9.2"))
    for label, stages in STAGES.items():
        low = codec.encode(speech(), codec.point(label))
        assert [packet.data for packet in low.packets] == [packet.data[: stages // 2] for packet in high.packets]


@pytest.mark.parametrize("label", STAGES)
def test_shapes_bits_and_tokens(weights, label):
    point, clip = codec.point(label), Clip(speech().samples[:, :16123], 16000)
    stream = pipeline.encode(codec, point, clip)
    (encoded,) = stream.parts
    assert stream.kbps == pytest.approx(point.kbps, rel=1e-12)
    assert len(encoded.packets) == 51
    assert {(packet.bits, len(packet.data)) for packet in encoded.packets} == {(4 * STAGES[label], STAGES[label] // 2)}
    assert codec.decode(encoded, point).samples.shape == (1, 51 * 320)
    tokens = codec.tokens(encoded, point)
    assert tokens.sizes == (16,) * STAGES[label]
    assert {codes.shape for codes in tokens.codes} == {(51,)}
    assert np.array_equal(np.stack(tokens.codes, 1), lyra_v2.unpack(encoded.packets, STAGES[label]))


def test_frame_by_frame_is_the_same(weights):
    clip, point = Clip(speech().samples[:, 16000:48000], 16000), codec.point("6")
    whole = codec.decode(codec.encode(clip, point), point)
    steps = [np.ravel(step) for step in codec.frames(clip, point)]
    assert np.array_equal(np.concatenate(steps), whole.samples[0])


#: PESQ and ViSQOL of 6 s of the clip were 2.36, 3.07, 3.39 and 2.93, 3.47, 3.66; codes vary with the processor
FLOORS = {"3.2": (2.2, 2.7), "6": (2.85, 3.2), "9.2": (3.15, 3.4)}


@pytest.mark.parametrize("label", FLOORS)
def test_quality(weights, label):
    clip = speech()
    _, decoded = pipeline.code(codec, codec.point(label), clip)
    for name, floor in zip(("pesq_wb", "visqol_speech"), FLOORS[label], strict=True):
        score = evaluate(metrics.get(name), clip, decoded)
        assert floor < score.value < floor + 0.6, (name, score)


def test_keeps_the_contract(weights):
    failed = [f"{one.name} {one.point}: {one.detail}" for one in check(codec) if not one.passed]
    assert not failed, "\n".join(failed)


def test_says_nothing(weights):
    """LiteRT greets on stderr when a process opens its first graph."""
    code = (
        "import numpy as np\n"
        "from codecbench.bench.audio import Clip\n"
        "from codecbench.codecs import registry\n"
        "codec = registry.get('lyra_v2')\n"
        "clip, point = Clip(np.zeros((1, 640), np.float32), 16000), codec.points[0]\n"
        "assert codec.decode(codec.encode(clip, point), point).length == 640\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
