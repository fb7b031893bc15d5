"""Coding chunk by chunk equals coding at once, causally, with a delay of three frames, in bounded memory."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
import tiny_soundstream
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from codecbench.codecs.soundstream import engine, packaged, search, streaming  # noqa: E402
from codecbench.codecs.soundstream.bitstream import ABSENT  # noqa: E402
from codecbench.codecs.soundstream.model import load  # noqa: E402
from codecbench.codecs.soundstream.streaming import StreamingDecoder, StreamingEncoder, decode, encode  # noqa: E402

HOP = 320


def packaged_or_tiny(name):
    if name == "tiny":
        return tiny_soundstream.model()
    if not packaged.WEIGHTS.exists():
        pytest.skip("no packaged weights")
    return load()


@pytest.fixture(scope="module", params=["tiny", "packaged"])
def model(request):
    return packaged_or_tiny(request.param)


@pytest.fixture(scope="module")
def tiny():
    return tiny_soundstream.model()


def in_chunks(coder, data, sizes):
    """What `coder.push` gives for pieces of these sizes in turn."""
    parts, at, i = [], 0, 0
    while at < len(data):
        parts.append(coder.push(data[at : at + sizes[i % len(sizes)]]))
        at += sizes[i % len(sizes)]
        i += 1
    return parts


def by_torch(model, x, stages):
    """Codes [F, stages] of the whole signal by the plain network in float64, where nothing is a matter of rounding, and
    the samples in float32."""
    padded = torch.from_numpy(np.pad(x, (0, -len(x) % HOP)))[None, None]
    codes = copy.deepcopy(model).double().encode(padded.double(), stages)
    return codes[0].T.numpy(), model.decode(codes)[0, 0].numpy()


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(0, 12 * HOP), start=st.integers(0, 8 * 24000), stages=st.integers(2, 24),
    sizes=st.lists(st.integers(1, 5 * HOP), min_size=1, max_size=4),
    frames=st.lists(st.integers(1, 5), min_size=1, max_size=3),
)  # fmt: skip
def test_chunks_of_any_size_give_what_the_whole_gives(model, length, start, stages, sizes, frames):
    x = tiny_soundstream.speech()[start : start + length]
    codes = encode(model, x, stages)
    assert codes.shape == (-(-length // HOP), stages)
    encoder = StreamingEncoder(model, stages)
    pushed = in_chunks(encoder, x, sizes)
    assert sum(map(len, pushed)) == length // HOP  # every frame as soon as it is whole
    np.testing.assert_array_equal(np.concatenate([*pushed, encoder.finish()]), codes)
    samples = decode(model, codes)
    assert samples.shape == (len(codes) * HOP,)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(
        np.concatenate([samples[:0], *in_chunks(StreamingDecoder(model), codes, frames)]), samples, rtol=0, atol=1e-5
    )


@settings(max_examples=10, deadline=None)
@given(
    length=st.integers(0, 60 * HOP), start=st.integers(0, 8 * 24000), stages=st.integers(4, 24),
    sizes=st.lists(st.integers(1, 9 * HOP), min_size=1, max_size=4),
)  # fmt: skip
def test_so_do_they_at_a_variable_bitrate(model, length, start, stages, sizes):
    x = tiny_soundstream.speech()[start : start + length]
    codes = encode(model, x, stages, variable=True)
    encoder = StreamingEncoder(model, stages, variable=True)
    for _ in range(2):  # after the end it starts anew
        found = np.concatenate([*in_chunks(encoder, x, sizes), encoder.finish()])
        np.testing.assert_array_equal(found, codes)
    samples = decode(model, codes)
    chunks = np.concatenate([samples[:0], *in_chunks(StreamingDecoder(model), codes, [1, 3])])
    np.testing.assert_allclose(chunks, samples, rtol=0, atol=1e-5)


def test_frames_without_their_first_stages_are_refused(tiny):
    codes = encode(tiny, tiny_soundstream.speech()[:24000], 8)
    for at, stages in ((3, slice(0, 8)), (5, slice(1, 8)), (74, slice(4, 5))):
        damaged = codes.copy()
        damaged[at, stages] = ABSENT
        with pytest.raises(ValueError, match="a frame has the first stages"):
            decode(tiny, damaged)


@pytest.mark.parametrize("stages", [2, 8, 24])
def test_it_equals_the_network_in_torch(model, stages):
    x = tiny_soundstream.speech()[: 24000 * 4 + 77]
    codes, samples = by_torch(model, x, stages)
    np.testing.assert_array_equal(encode(model, x, stages), codes)
    np.testing.assert_allclose(decode(model, codes), samples, rtol=0, atol=1e-5)


def test_blocks_of_a_long_signal_leave_no_trace(tiny, monkeypatch):
    x = tiny_soundstream.speech()
    codes = encode(tiny, x, 24)
    samples = decode(tiny, codes)
    monkeypatch.setattr(streaming, "BLOCK", 7)
    np.testing.assert_array_equal(encode(tiny, x, 24), codes)
    np.testing.assert_allclose(decode(tiny, codes), samples, rtol=0, atol=1e-5)


def test_codes_do_not_depend_on_the_number_of_threads(model):
    x, before = tiny_soundstream.speech()[: 24000 * 3], torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            codes = encode(model, x, 24)
            found.append((codes, decode(model, codes)))
            assert torch.get_num_threads() == threads  # the process's own number is restored
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_where_float32_is_unsure_float64_decides(tiny, monkeypatch):
    """All frames by float64 are what the mixture gives; and with noise of float32's size, the mixture stays."""
    x = tiny_soundstream.speech()[: 24000 * 4]
    codes = encode(tiny, x, 24)
    plain = engine.engine(tiny)
    step = plain.encoder.step
    rng, size = np.random.default_rng(0), 2e-7

    def rounded_otherwise(samples, past):
        z, past = step(samples, past)
        noise = rng.standard_normal(z.shape) * size * np.linalg.norm(z, axis=1, keepdims=True)
        return z + noise.astype(np.float32), past

    monkeypatch.setattr(plain.encoder, "step", rounded_otherwise)
    np.testing.assert_array_equal(encode(tiny, x, 24), codes)
    monkeypatch.setattr(search, "UNSURE", np.inf)
    np.testing.assert_array_equal(encode(tiny, x[:24000], 24), codes[:75])
    # The test would see a difference: without float64 such noise changes codes, in so few frames if it is larger.
    monkeypatch.setattr(search, "UNSURE", 0)
    size = 1e-5
    noisy = [encode(tiny, x, 24) for _ in range(5)]
    assert any((one != codes).any() for one in noisy)


def test_changed_weights_are_coded_with():
    model = copy.deepcopy(tiny_soundstream.model(8))
    x = tiny_soundstream.speech()[:9600]
    codes = encode(model, x, 8)
    with torch.no_grad():
        model.encoder.frame_layers[-1].conv.weight.mul_(1.5)
    np.testing.assert_array_equal(encode(model, x, 8), by_torch(model, x, 8)[0])
    assert (encode(model, x, 8) != codes).any()


def test_in_inference_mode(tiny):
    x = tiny_soundstream.speech()[:9600]
    codes = encode(tiny, x, 8)
    with torch.inference_mode():
        model = copy.deepcopy(tiny)
        np.testing.assert_array_equal(encode(model, x, 8), codes)
        decode(model, codes)


@settings(max_examples=10, deadline=None)
@given(n=st.integers(0, 30 * HOP - 1))
def test_nothing_before_a_change_knows_of_it(model, n):
    """Output before the frame that holds sample n does not depend on samples from n on."""
    x = tiny_soundstream.speech()[: 30 * HOP].copy()
    codes = encode(model, x, 24)
    x[n:] = 0.3 * np.random.default_rng(n).standard_normal(len(x) - n)
    changed = encode(model, x, 24)
    frame = n // HOP
    np.testing.assert_array_equal(changed[:frame], codes[:frame])
    early, late = (decode(model, some)[: frame * HOP] for some in (codes[: frame + 1], codes))
    np.testing.assert_allclose(early, late, rtol=0, atol=1e-5)
    if n <= 29 * HOP:  # the transform's window hardly sees the last samples of the last frame
        assert (changed[frame:] != codes[frame:]).any()


def test_the_delay_is_three_frames(model):
    """An impulse is heard two frames later, and that can be sent when the last sample of the frame after the next is
    there."""
    for at in (20 * HOP, 20 * HOP + 100, 21 * HOP - 1):
        x = np.zeros(40 * HOP, np.float32)
        x[at] = 0.9
        encoder, decoder = StreamingEncoder(model, 24), StreamingDecoder(model)
        codes = encoder.push(x[: 23 * HOP - 1])
        assert len(codes) == 22
        decoder.push(codes)
        heard = decoder.push(encoder.push(x[23 * HOP - 1 : 23 * HOP]))
        assert len(heard) == HOP
        silence = decode(model, encode(model, np.zeros(23 * HOP, np.float32), 24))[-HOP:]
        assert np.abs(heard - silence).max() > 0.005
        whole = decode(model, encode(model, x, 24))
        assert abs(int(np.abs(whole).argmax()) - 2 * HOP - at) <= HOP // 2


def test_finish_fills_up_and_starts_anew(tiny):
    x = tiny_soundstream.speech()[:1000]
    encoder = StreamingEncoder(tiny, 4)
    first = np.concatenate([encoder.push(x), encoder.finish()])
    np.testing.assert_array_equal(first, encode(tiny, np.pad(x, (0, 280)), 4))
    np.testing.assert_array_equal(np.concatenate([encoder.push(x), encoder.finish()]), first)
    assert encoder.finish().shape == (0, 4)


def test_what_is_no_signal_or_no_codes_is_refused(tiny):
    with pytest.raises(ValueError, match="25 stages; these weights have 2 to 24"):
        StreamingEncoder(tiny, 25)
    with pytest.raises(ValueError, match="one channel"):
        StreamingEncoder(tiny, 4).push(np.zeros((1, 320), np.float32))
    decoder = StreamingDecoder(tiny)
    for stages in (25, 1, 0):
        with pytest.raises(ValueError, match=f"{stages} stages; these weights have 2 to 24"):
            decoder.push(np.zeros((3, stages), int))
    with pytest.raises(ValueError, match=r"codes \[frames, stages\], not \(3,\)"):
        decoder.push(np.zeros(3, int))
    with pytest.raises(ValueError, match="codes from 0 to 64; the model has 64"):
        decoder.push(np.array([[0, 64]]))


MEMORY = """
import resource, sys
import numpy as np, tiny_soundstream
from codecbench.codecs.soundstream import streaming
model = tiny_soundstream.model()
encoder, decoder = streaming.StreamingEncoder(model, 8), streaming.StreamingDecoder(model)
minute = np.resize(tiny_soundstream.speech(), 24000 * 60)
peaks = []
for _ in range(6):
    decoder.push(encoder.push(minute))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
print(*peaks)
"""


def test_memory_does_not_grow_with_the_signal():
    from pathlib import Path

    done = subprocess.run([sys.executable, "-c", MEMORY], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    peaks = [int(word) for word in done.stdout.split()]
    assert peaks[-1] - peaks[1] < 20, peaks
